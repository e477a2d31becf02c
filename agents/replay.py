"""A recorded run driven again with one edit: everything before it from the record, everything it touches live.

A recording and an edit are plain JSON (OpenAI chat messages)::

    {"run": "r", "calls": [{"model": "m", "messages": [...], "tools": [...], "settings": {...}, "output": {...}}, ...],
     "selections": [{"selector": "argmax", "candidates": [{"text", "score", "scored_by": call or null}], "chosen": 0,
                     "kept": [], "after": call}]}
    {"call": 1, "message": 3, "text": "..."}      input message 3 of call 1: a prompt, a tool output, a document
    {"call": 1, "output": {...}}                  what call 1 said
    {"selection": 0, "candidate": 2, "score": 9}  what a branch was valued at

The edit changes texts. A later call is asked again when its recorded messages hold a changed text (or the answer that
replaces it is another one), and answered from the record when they do not. Where the record branched off into tool
calls, the loop of tool calls is run anew until the model answers without them. Tools marked pure run again; others
answer from the record where the same call was recorded, else the replay stops with the reason.

Not seen: dependences of the agent's own code that do not show in a text (a counter, a clock), and texts shorter than
six characters, which are replaced only where they are a whole line.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from agents.selectors import choose, score_of

Json = Mapping[str, Any]
Ask = Callable[[Json], Json]
"""Request ({model, messages, tools, settings}) -> assistant message."""
MOST_TURNS = 24
"""Live calls that one edit may set off in a row."""
_SHORT = 6


class Stopped(Exception):
    """The replay cannot go on; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of it. `decision` is the text the run ends in; `calls` says of each: `record`, `edit` or `live`."""

    decision: str
    calls: tuple[str, ...]
    messages: tuple[Json, ...]
    """The last call's messages and its output."""
    chosen: tuple[int, ...] = ()
    """What each selector took."""


def replay(recording: Json, edit: Json, ask: Ask, pure: Mapping[str, Callable[..., str]] | None = None) -> Replayed:
    """Drive a recording again. `pure` tools (name -> function of the arguments) may run; Stopped says why it ended."""
    return _Drive(recording, ask, pure or {}).run(edit)


def chat(
    base_url: str, run: str, seed: int, *, headers: Mapping[str, str] | None = None, timeout: float = 120.0
) -> Ask:
    """An `Ask` that calls an OpenAI-compatible address (a recording proxy), marked as a continuation of ours."""
    own = {"x-audit-purpose": "counterfactual", "x-audit-run": run, **(headers or {})}

    def ask(request: Json) -> Json:
        body = {"model": request["model"], "messages": request["messages"], "seed": seed, **request["settings"]}
        if request["tools"]:
            body["tools"] = request["tools"]
        with httpx2.Client(timeout=timeout) as client:
            answer = client.post(f"{base_url.rstrip('/')}/chat/completions", json=body, headers=own)
        if answer.status_code != 200:
            raise Stopped(f"the model's address answered {answer.status_code}: {answer.text[:200]}")
        message: Json = answer.json()["choices"][0]["message"]
        return {key: value for key, value in message.items() if value is not None}

    return ask


@dataclass
class _Drive:
    recording: Json
    ask: Ask
    pure: Mapping[str, Callable[..., str]]
    changed: dict[str, str] = field(default_factory=dict)
    """Recorded text -> what stands in its place now."""
    outputs: dict[int, Json] = field(default_factory=dict)
    """Number of a recorded call -> what stands for its output now."""
    live: set[int] = field(default_factory=set)
    """Numbers of those that are not the recorded ones."""
    ways: list[str] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    last: list[Json] = field(default_factory=list)

    def run(self, edit: Json) -> Replayed:
        calls: Sequence[Json] = self.recording["calls"]
        if not calls:
            raise Stopped("the recording has no calls")
        selections = list(self.recording.get("selections", ()))
        self._edit(edit, calls, selections)
        settled = -1
        for number in range(len(calls)):
            for index, selection in enumerate(selections):
                if selection["after"] == number - 1:
                    self._select(selection, edit if edit.get("selection") == index else None)
            if number > settled:
                settled = self._call(number, calls, edit)
        output = self.outputs[max(self.outputs)]
        return Replayed(
            decision=text_of(output), calls=tuple(self.ways), messages=(*self.last, output), chosen=tuple(self.chosen)
        )

    def _edit(self, edit: Json, calls: Sequence[Json], selections: Sequence[Json]) -> None:
        if "selection" in edit:
            if not 0 <= edit["selection"] < len(selections):
                raise Stopped(f"the recording has {len(selections)} selections, not one numbered {edit['selection']}")
            return
        if not 0 <= edit["call"] < len(calls):
            raise Stopped(f"the recording has {len(calls)} calls, not one numbered {edit['call']}")
        if "message" in edit:
            messages = calls[edit["call"]]["messages"]
            if not 0 <= edit["message"] < len(messages):
                raise Stopped(f"call {edit['call']} has {len(messages)} messages, not one numbered {edit['message']}")
            self.changed[text_of(messages[edit["message"]])] = edit["text"]

    def _call(self, number: int, calls: Sequence[Json], edit: Json) -> int:
        """Answer one recorded call; gives the number of the last recorded call that this settles."""
        call = calls[number]
        begin = _edited_from(call["messages"], calls, edit)
        messages = [*call["messages"][:begin], *(self._now(message) for message in call["messages"][begin:])]
        if edit.get("call") == number and "output" in edit:
            self.ways.append("edit")
            output = edit["output"]
        elif number < edit.get("call", 0) or messages == list(call["messages"]):
            self.ways.append("record")
            self.outputs[number], self.last = call["output"], messages
            return number
        else:
            self.ways.append("live")
            output = self._ask(call, messages)
        if not output.get("tool_calls") and not call["output"].get("tool_calls"):
            self._settle(number, call["output"], output, messages)
            return number
        end = _end_of_loop(number, calls)
        return self._loop(number, end, calls, messages, output)

    def _loop(self, number: int, end: int, calls: Sequence[Json], messages: list[Json], output: Json) -> int:
        """From an output on: tools and live calls until the model answers without a tool."""
        first = calls[number]
        recorded = _results(calls[number : end + 1])
        for _ in range(MOST_TURNS):
            if not output.get("tool_calls"):
                self._settle(end, calls[end]["output"], output, messages)
                return end
            messages = [*messages, output, *(self._tool(one, recorded) for one in output["tool_calls"])]
            following = next(
                (one for one in calls[number + 1 : end + 1] if list(one["messages"]) == messages), None
            )  # what was recorded of the very same messages need not be asked again
            self.ways.append("live" if following is None else "record")
            output = self._ask(first, messages) if following is None else following["output"]
        raise Stopped(f"no answer after {MOST_TURNS} turns of tool calls")

    def _tool(self, asked: Json, recorded: Mapping[tuple[str, str], str]) -> Json:
        function = asked["function"]
        name, arguments = function["name"], _form(function["arguments"])
        if name in self.pure:
            try:
                text = self._changed(self.pure[name](**json.loads(function["arguments"])))
            except (ValueError, TypeError) as fault:
                raise Stopped(f"tool {name} cannot run with {function['arguments']}: {fault}") from fault
        elif (name, arguments) in recorded:
            text = self._changed(recorded[name, arguments])
        else:
            problem = f"tool {name} is not marked pure and was not recorded with {function['arguments'][:200]}"
            raise Stopped(problem)
        return {"role": "tool", "tool_call_id": asked.get("id"), "content": text}

    def _select(self, selection: Json, edit: Json | None) -> None:
        """Run a selector again on what its candidates are worth now."""
        candidates = selection["candidates"]
        scores = [self._score(one) for one in candidates]
        if edit is not None:
            if not 0 <= edit["candidate"] < len(scores):
                raise Stopped(f"the selection has {len(scores)} candidates, not one numbered {edit['candidate']}")
            scores[edit["candidate"]] = edit["score"]
        taken = choose(selection["selector"], scores, len(selection.get("kept") or (0,)))
        if taken is None:
            raise Stopped(f"the selector {selection['selector']} cannot be run again")
        self.chosen.append(taken[0])
        old = candidates[selection["chosen"]]["text"]
        new = self._changed(candidates[taken[0]]["text"])
        if new != old:
            self.changed[old] = new

    def _score(self, candidate: Json) -> float:
        """What a candidate is worth now: the last number its scoring call gave, else the recorded score."""
        call = candidate.get("scored_by")
        if call is None or call not in self.live:
            return float(candidate["score"])
        try:
            return score_of(text_of(self.outputs[call]))
        except ValueError as fault:
            raise Stopped(str(fault)) from fault

    def _settle(self, number: int, old: Json, new: Json, messages: list[Json]) -> None:
        self.outputs[number], self.last = new, messages
        self.live.add(number)
        before, after = text_of(old), text_of(new)
        if before != after and before.strip():
            self.changed[before] = after

    def _ask(self, call: Json, messages: list[Json]) -> Json:
        return self.ask({
            "model": call["model"], "messages": messages, "tools": list(call.get("tools") or ()),
            "settings": dict(call.get("settings") or {}),
        })  # fmt: skip

    def _now(self, message: Json) -> Json:
        content = message.get("content")
        if isinstance(content, str):
            now = self._changed(content)
            return message if now == content else {**message, "content": now}
        if isinstance(content, list):
            parts = [
                {**part, "text": self._changed(part["text"])} if isinstance(part.get("text"), str) else part
                for part in content
            ]
            return message if parts == content else {**message, "content": parts}
        return message

    def _changed(self, text: str) -> str:
        """A text with everything in it that is another one now; longer pieces first, each place once."""
        olds = sorted((old for old in self.changed if old.strip()), key=len, reverse=True)
        if not olds:
            return text
        pieces = [re.escape(old) if len(old) >= _SHORT else rf"(?m:^{re.escape(old)}$)" for old in olds]
        return re.sub("|".join(pieces), lambda hit: self.changed.get(hit[0], hit[0]), text)


def text_of(message: Json) -> str:
    """The text of a message, its text parts joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _edited_from(messages: Sequence[Json], calls: Sequence[Json], edit: Json) -> int:
    """Where in these messages texts may have changed: not before the one that was edited, where they hold that."""
    if "message" not in edit:
        return 0
    own = list(calls[edit["call"]]["messages"][: edit["message"] + 1])
    return int(edit["message"]) if list(messages[: len(own)]) == own else 0


def _end_of_loop(number: int, calls: Sequence[Json]) -> int:
    """Number of the recorded call that ends the loop of tool calls this one is in."""
    end = number
    for following in range(number + 1, len(calls)):
        if not calls[end]["output"].get("tool_calls"):
            break
        if list(calls[following]["messages"][: len(calls[end]["messages"])]) == list(calls[end]["messages"]):
            end = following
    return end


def _results(calls: Sequence[Json]) -> dict[tuple[str, str], str]:
    """(tool, arguments in normal form) -> what it gave, over some calls."""
    asked: dict[str, tuple[str, str]] = {}
    found: dict[tuple[str, str], str] = {}
    for call in calls:
        for message in (*call["messages"], call["output"]):
            for one in message.get("tool_calls") or ():
                asked[one["id"]] = (one["function"]["name"], _form(one["function"]["arguments"]))
            own = message.get("tool_call_id")
            if own in asked:
                found[asked[own]] = text_of(message)
    return found


def _form(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments
