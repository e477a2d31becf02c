"""Free continuation of a recorded run after one edit: agents.replay, given what the ledger holds of the run.

Implements evidence.protocol.Rollout. Runs of chat completions and imported runs can be driven again; messages of other
dialects have parts that chat messages cannot say, and are refused in words.
"""

from collections.abc import Callable, Mapping
from typing import Any

from agents.replay import Ask, Stopped, replay
from auditor.errors import BadInput
from auditor.records.messages import Message, Reasoning, Text, ToolCall, ToolResult, part_text
from auditor.records.structure import ModelCall, Selection, Step, Structure

Chat = dict[str, Any]
Messages = Callable[[Structure], Mapping[str, Message]]
Tools = Callable[[ModelCall], list[Mapping[str, Any]]]
_DIALECTS = (None, "openai_chat")


class AgentRollout:
    """`structure` and `messages` read a run, `tools` the schemas a call was offered; `ask` makes, from run and seed,
    what calls the model; `pure` are tools that may run again."""

    def __init__(
        self, structure: Callable[[str], Structure], messages: Messages, tools: Tools,
        ask: Callable[[str, int], Ask], pure: Mapping[str, Callable[..., str]] | None = None,
    ) -> None:  # fmt: skip
        self._structure = structure
        self._messages = messages
        self._tools = tools
        self._ask = ask
        self._pure = pure or {}

    def continue_from(self, run: str, step: str, replacement: str, seed: int) -> str:
        """The decision text that the agent reaches when `replacement` stands in place of a step's text. BadInput when
        the step cannot be edited or the run cannot be driven on; the text says why."""
        structure = self._structure(run)
        messages = self._messages(structure)
        recorded = recording(structure, messages, self._tools)
        edited = edit(structure, messages, step, replacement)
        try:
            return replay(recorded, edited, self._ask(run, seed), self._pure).decision
        except Stopped as fault:
            raise BadInput("replay", str(fault), "choose another step, or mark its tools pure") from fault


def recording(structure: Structure, messages: Mapping[str, Message], tools: Tools) -> Chat:
    """What agents.replay needs of a run, as plain JSON."""
    return {
        "run": structure.run,
        "calls": [_call(call, messages, tools(call)) for call in structure.calls],
        "selections": [_selection(one, structure, messages) for one in structure.selections],
    }


def edit(structure: Structure, messages: Mapping[str, Message], step: str, replacement: str) -> Chat:
    """The edit that puts a text in a step's place."""
    found = next((one for one in structure.steps if one.id == step), None)
    if found is None:
        raise BadInput("step", f"the run has no step {step!r:.80}", "take a step id from the run's steps")
    if found.span is None or found.message is None or found.kind == "selection":
        raise BadInput("step", f"a {found.kind} has no text of its own", "edit what it was made from")
    changed = _replaced(messages[found.message], found, replacement)
    for number, call in enumerate(structure.calls):
        if found.message in call.outputs:
            (output,) = _chat(changed)
            return {"call": number, "output": output}
        if found.message in call.inputs:
            earlier = call.inputs[: call.inputs.index(found.message)]
            before = [one for own in earlier for one in _chat(messages[own])]
            rows = _chat(changed)
            place = sum(isinstance(part, ToolResult) for part in changed.parts[: found.span.part])
            return {"call": number, "message": len(before) + place, "text": rows[place]["content"]}
    raise BadInput("step", "no call of the run saw it", "edit a step that some call's input or output holds")


def _replaced(message: Message, step: Step, replacement: str) -> Message:
    assert step.span is not None
    part = message.parts[step.span.part]
    data = part_text(part).encode()
    text = (data[: step.span.start] + replacement.encode() + data[step.span.end :]).decode()
    name = "arguments" if isinstance(part, ToolCall) else "text"
    changed = type(part)(**{**vars(part), name: text})
    return Message(
        role=message.role, name=message.name,
        parts=(*message.parts[: step.span.part], changed, *message.parts[step.span.part + 1 :]),
    )  # fmt: skip


def _call(call: ModelCall, messages: Mapping[str, Message], tools: list[Mapping[str, Any]]) -> Chat:
    if call.dialect not in _DIALECTS:
        raise BadInput("run", f"its calls are {call.dialect}", "only chat completions can be driven again")
    if not call.outputs:
        raise BadInput("run", "a call of it has no output", "choose a run whose calls were answered")
    (output,) = _chat(messages[call.outputs[0]])
    return {
        "model": call.model, "messages": [one for own in call.inputs for one in _chat(messages[own])],
        "tools": [dict(tool) for tool in tools], "settings": dict(call.settings), "output": output,
    }  # fmt: skip


def _selection(selection: Selection, structure: Structure, messages: Mapping[str, Message]) -> Chat:
    steps = {step.id: step for step in structure.steps}
    numbers = {call.id: number for number, call in enumerate(structure.calls)}
    scored = {branch.step: branch.scored_by for branch in structure.branches}
    candidates: list[Chat] = []
    last = -1
    for own, score in zip(selection.candidates, selection.scores, strict=True):
        step = steps.get(own)
        if step is None or step.span is None:
            raise BadInput("run", "a candidate of a selection was written by no recorded call", "choose another run")
        judge = steps.get(scored.get(own) or "")
        data = part_text(messages[step.span.message].parts[step.span.part]).encode()
        by = None if judge is None or judge.call is None else numbers[judge.call]
        text = data[step.span.start : step.span.end].decode()
        candidates.append({"text": text, "score": score, "scored_by": by})
        last = max(last, *(numbers[one.call] for one in (step, judge) if one is not None and one.call is not None), -1)
    return {"selector": selection.selector, "candidates": candidates, "chosen": selection.chosen,
            "kept": list(selection.kept), "after": last}  # fmt: skip


def _chat(message: Message) -> list[Chat]:
    """A message in the form of chat completions: one, or one per tool result."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return [{"role": "tool", "tool_call_id": part.call_id, "content": part.text} for part in results]
    content = "\n".join(part.text for part in message.parts if isinstance(part, Text))
    if any(not isinstance(part, Text | ToolCall | Reasoning) for part in message.parts):
        raise BadInput("run", "a message holds a part that chat completions cannot say", "choose another run")
    asked = [
        {"id": part.call_id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in message.parts
        if isinstance(part, ToolCall)
    ]
    row: Chat = {"role": message.role, "content": content}
    return [row | {"tool_calls": asked} if asked else row]
