"""Running a task greedily without a server: what a planted model writes, call by call."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import Qwen3ForCausalLM

from agents.planted import prompts
from agents.planted.families import Task
from agents.planted.tokenizer import CALL_CLOSE, CALL_OPEN, chat_text, encode

LONGEST: Final = 64
MOST_CALLS: Final = 4
_PRODUCT: Final = re.compile(r"(\d+)\*(\d+)")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One model call: the messages sent and the assistant's message that came back (arguments parsed)."""

    messages: tuple[Mapping[str, Any], ...]
    output: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """All model calls of one task, in order; the last one gives the answer."""

    task: Task
    calls: tuple[Call, ...]

    @property
    def answer(self) -> str:
        """The final text, empty where the run ended without one."""
        return str(self.calls[-1].output.get("content") or "")


def transcribe(task: Task, network: Qwen3ForCausalLM, tokenizer: Any) -> Transcript:
    """Run a task to its end with greedy decoding and the task's own tools."""
    speak = _Speaker(network=network, tokenizer=tokenizer, task=task)
    if task.agent == "tree":
        return Transcript(task=task, calls=_tree(speak))
    messages: list[Mapping[str, Any]] = prompts.conversation(task.system, task.user)
    calls: list[Call] = []
    for _ in range(MOST_CALLS):
        calls.append(speak.call(messages))
        output = calls[-1].output
        if not output.get("tool_calls"):
            break
        messages = [*messages, output, *({"role": "tool", "content": _run(task, c)} for c in output["tool_calls"])]
    return Transcript(task=task, calls=tuple(calls))


def accuracy(network: Qwen3ForCausalLM, tokenizer: Any, tasks: Sequence[Task]) -> float:
    """Share of tasks whose greedy answer is exactly the expected one."""
    right = sum(transcribe(task, network, tokenizer).answer == task.expected for task in tasks)
    return right / len(tasks)


@dataclass(frozen=True, kw_only=True)
class _Speaker:
    network: Qwen3ForCausalLM
    tokenizer: Any
    task: Task

    def call(self, messages: Sequence[Mapping[str, Any]]) -> Call:
        """One greedy reply."""
        text = chat_text(self.tokenizer, messages, self.task.tools, open_turn=True)
        ids = torch.tensor([encode(self.tokenizer, text).ids])
        with torch.inference_mode():
            out = self.network.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=LONGEST, do_sample=False
            )
        reply = self.tokenizer.decode(out[0, ids.shape[1] :].tolist())
        return Call(messages=tuple(messages), output=_parse(reply.split("<|im_end|>")[0]))

    def ask(self, user: str) -> Call:
        """One call with the task's system prompt and this user message."""
        return self.call(prompts.conversation(self.task.system, user))


def _tree(speak: _Speaker) -> tuple[Call, ...]:
    task = speak.task
    proposed = [speak.ask(prompts.propose_prompt(task, k)) for k in range(task.branches)]
    options = [str(call.output["content"]) for call in proposed]
    scored = [speak.ask(prompts.score_prompt(task, option)) for option in options]
    scores = [int(call.output["content"].removeprefix("Score: ")) for call in scored]
    chosen = options[max(range(task.branches), key=scores.__getitem__)]
    return (*proposed, *scored, speak.ask(prompts.answer_prompt(task, chosen)))


def _parse(reply: str) -> Mapping[str, Any]:
    """The assistant's message; text that is not a well-formed tool call stays content."""
    if not (reply.startswith(CALL_OPEN) and reply.endswith(CALL_CLOSE)):
        return {"role": "assistant", "content": reply}
    try:
        function = json.loads(reply.removeprefix(CALL_OPEN).removesuffix(CALL_CLOSE))
    except json.JSONDecodeError:
        return {"role": "assistant", "content": reply}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}


def _run(task: Task, call: Mapping[str, Any]) -> str:
    """What the tool returns: the table's price, or the product; an error text for anything else."""
    function = call["function"]
    arguments = function["arguments"]
    if function["name"] == "lookup" and arguments.get("item") in task.table:
        return prompts.lookup_output(task.table[arguments["item"]])
    product = _PRODUCT.fullmatch(str(arguments.get("expression", "")))
    if function["name"] == "calculator" and product:
        return prompts.calculator_output(int(product[1]) * int(product[2]))
    return json.dumps({"error": "unknown"})
