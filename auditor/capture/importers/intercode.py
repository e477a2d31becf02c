"""InterCode logs (princeton-nlp/intercode): agents that act on a shell or database turn by turn, with rewards.

A file is a JSON object of episodes by number (or a list of them): `{"task_id", "query", "environment", "turn_history":
{"actions", "observations", "rewards", "valid_action", "thoughts" of ReAct runs}, "summary", …}`, the lists of one
length. A turn becomes an assistant message (its thought, and a tool call whose arguments are the action as written) and
the tool's result. A ReAct action `name[…]` or a lone word names the tool; any other goes to the environment by its own
name. Call ids are the places of the turns, which is how the file ties an observation to its action.

Rewards, `valid_action` and whatever else the episode says are facts. No log names the model: `unknown`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.capture.importers.imported import Imported
from auditor.capture.importers.rows import Progress, Source, a_list, a_text, an_object, rows, silent
from auditor.errors import BadInput
from auditor.records.messages import Message, Part, Text, ToolCall, ToolResult

FORMAT = "intercode"
WHAT = "an InterCode log: a JSON object of episodes with `query` and `turn_history`"
_FIX = f"give {WHAT}"
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})(?:\[.*|\s*)", re.DOTALL)
_SAID = ("thoughts", "actions", "observations")


def read(source: Source, progress: Progress = silent) -> Iterator[Imported]:
    """Runs of a file; BadInput names the episode and field that are wrong."""
    for row in rows(source, WHAT, progress, keys=("turn_history",)):
        if "turn_history" in row.value:
            yield _episode(row.value, row.where)
            continue
        if not row.value:
            raise BadInput(row.where, "holds no episode", _FIX)
        for own, one in row.value.items():
            where = f"episode {own}"
            yield _episode(an_object(one, where, WHAT), where)


def _episode(episode: Mapping[str, Any], where: str) -> Imported:
    asked = a_text(episode, "query", where, WHAT)
    environment, task = a_text(episode, "environment", where, WHAT), episode.get("task_id")
    if type(task) is not int and not (isinstance(task, str) and task):
        raise BadInput(f"{where}.task_id", "is missing or neither number nor text", _FIX)
    at = f"{where}.turn_history"
    turns = an_object(episode.get("turn_history"), at, WHAT)
    actions, observations = _texts(turns, "actions", at), _texts(turns, "observations", at)
    thoughts = _texts(turns, "thoughts", at) if "thoughts" in turns else None
    for name in turns:
        if len(a_list(turns, name, at, WHAT)) != len(actions):
            raise BadInput(f"{at}.{name}", f"has not one entry for each of {len(actions)} actions", _FIX)
    messages = [Message(role="user", parts=(Text(text=asked),))]
    for turn, (action, observation) in enumerate(zip(actions, observations, strict=True)):
        tool = _tool(action) if thoughts is not None else None
        call = ToolCall(call_id=str(turn), name=tool or environment, arguments=action)
        parts: tuple[Part, ...] = (call,) if thoughts is None else (Text(text=thoughts[turn]), call)
        result = ToolResult(call_id=str(turn), name=call.name, text=observation)
        messages += [Message(role="assistant", parts=parts), Message(role="tool", parts=(result,))]
    facts = {key: value for key, value in episode.items() if key not in ("query", "turn_history")}
    facts |= {key: value for key, value in turns.items() if key not in _SAID}
    kind = "multi_turn" if thoughts is None else "react"
    return Imported(
        format=FORMAT, run=f"intercode/{environment}/{kind}/{task}", model="unknown", messages=tuple(messages),
        facts=facts,
    )  # fmt: skip


def _tool(action: str) -> str | None:
    """The tool that a ReAct action names."""
    found = _NAMED.fullmatch(action)
    return found[1] if found else None


def _texts(holder: Mapping[str, Any], name: str, where: str) -> list[str]:
    values = a_list(holder, name, where, WHAT)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise BadInput(f"{where}.{name}[{place}]", "is no text", _FIX)
    return values
