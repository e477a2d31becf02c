"""ReAct in its first, textual form: Thought, Action, Action Input, Observation (Yao et al. 2022, arXiv 2210.03629).

For models without native tool calls. The whole scratchpad is one user message that grows; the model is stopped before
it can write an observation of its own.
"""

import json
import re
from collections.abc import Mapping, Sequence

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

MOST_TURNS = 8
STOP = "\nObservation:"
_ACTION = re.compile(r"^Action:[ \t]*(?P<name>[^\n]+)\n+Action Input:[ \t]*(?P<input>.*)\Z", re.MULTILINE | re.DOTALL)
_FINAL = re.compile(r"^Final Answer:[ \t]*(?P<text>.*)\Z", re.MULTILINE | re.DOTALL)


def react_text(
    model: BaseChatModel, tools: Sequence[BaseTool], system: str, question: str,
    callbacks: Sequence[BaseCallbackHandler] = (),
) -> str:  # fmt: skip
    """Run the loop and give the final text; RuntimeError when there is none after eight turns."""
    named = {tool.name: tool for tool in tools}
    stopped = model.bind(stop=[STOP])
    scratchpad = f"Question: {question}\n"
    for _ in range(MOST_TURNS):
        reply = stopped.invoke([("system", system), ("user", scratchpad)], {"callbacks": list(callbacks)})
        text = str(reply.content).split(STOP)[0].strip()
        final = _FINAL.search(text)
        if final is not None:
            return final["text"].strip()
        action = _ACTION.search(text)
        seen = "no action was named; write `Action:` and `Action Input:`, or `Final Answer:`"
        if action is not None:
            seen = _observe(named, action["name"].strip(), action["input"].strip(), callbacks)
        scratchpad += f"{text}\nObservation: {seen}\n"
    raise RuntimeError(f"no final answer after {MOST_TURNS} turns")


def _observe(
    tools: Mapping[str, BaseTool], name: str, text: str, callbacks: Sequence[BaseCallbackHandler]
) -> str:
    """What a tool says, or what is wrong with how it was asked."""
    tool = tools.get(name)
    if tool is None:
        return f"there is no tool {name!r}; use one of {', '.join(tools)}"
    try:
        given = json.loads(text)
    except ValueError:
        given = text
    if not isinstance(given, dict):
        (only,) = list(tool.args)[:1] or [""]
        given = {only: given}
    try:
        return str(tool.invoke(given, {"callbacks": list(callbacks)}))
    except (ValueError, TypeError) as fault:  # wrong arguments are for the model to mend
        return f"the tool could not run: {fault}"
