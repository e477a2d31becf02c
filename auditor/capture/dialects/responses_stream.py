"""Events of OpenAI's Responses -> the same object a response without streaming is.

Put together by `output_index` (else `item_id`), then `content_index` or `summary_index`. A `*.done` event replaces what
the pieces gave, `output_item.done` the whole item, and the terminal event's `output` everything. What was cut off is
given as far as it came. Pieces are joined once, at the end: a 3 MB argument in 20-byte pieces costs what it holds.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from auditor.capture.dialects.bodies import string
from auditor.capture.dialects.openai_stream import error_text
from auditor.capture.exact import NotJson, parse_json
from auditor.capture.stream import events

TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_SNAPSHOTS = (*TERMINAL, "response.created", "response.queued", "response.in_progress")

_FIELDS: Mapping[str, tuple[str, str | None, str, str]] = {
    # event family: (item type where none was added, list of the item, field, type of the list's entries)
    "response.output_text": ("message", "content", "text", "output_text"),
    "response.refusal": ("message", "content", "refusal", "refusal"),
    "response.reasoning_text": ("reasoning", "content", "text", "reasoning_text"),
    "response.reasoning_summary_text": ("reasoning", "summary", "text", "summary_text"),
    "response.function_call_arguments": ("function_call", None, "arguments", ""),
    "response.custom_tool_call_input": ("custom_tool_call", None, "input", ""),
    "response.mcp_call_arguments": ("mcp_call", None, "arguments", ""),
    "response.code_interpreter_call_code": ("code_interpreter_call", None, "code", ""),
    "response.shell_call_command": ("shell_call", "commands", "text", ""),
}
TOOLS = (
    "response.function_call_arguments", "response.custom_tool_call_input", "response.mcp_call_arguments",
    "response.code_interpreter_call_code", "response.shell_call_command",
)  # fmt: skip
CONTENT = (
    "response.output_text", "response.refusal", "response.reasoning_text", "response.reasoning_summary_text",
    "response.audio.transcript",
)  # fmt: skip
_PARTS = {"response.content_part": "content", "response.reasoning_summary_part": "summary"}
_INDEX = {"content": "content_index", "summary": "summary_index", "commands": "command_index"}
_SILENT = ("response.audio.delta", "response.audio.done", "response.audio.transcript.done", "keepalive", "ping")
_PROGRESS = ("in_progress", "completed", "failed", "searching", "generating", "interpreting", "partial_image",
             "compacting")  # fmt: skip


@dataclass
class Assembled:
    """`response` is in the form of a response object; `output` is what is known of its items."""

    response: dict[str, Any] = field(default_factory=dict)
    output: list[Any] = field(default_factory=list)
    error: str | None = None
    unknown: int = 0
    """Events of kinds this version does not know."""


def assemble(texts: Iterable[str]) -> Assembled:
    """Put the JSON texts of a stream's events (or of WebSocket frames) together; never raises."""
    builder = _Builder()
    for text in texts:
        data = text.strip()
        if not data or data.startswith("[DONE]"):
            continue
        try:
            event = parse_json(data)
        except NotJson as fault:
            builder.fault(f"an event of the stream is no JSON: {fault}")
            continue
        if isinstance(event, dict):
            builder.event(event)
    return builder.result()


@dataclass
class _Item:
    """One output item while it grows."""

    raw: dict[str, Any]
    ended: bool = False
    lists: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    pieces: dict[tuple[str | None, int, str], list[str]] = field(default_factory=dict)
    rows: dict[tuple[int, str], dict[int, Any]] = field(default_factory=dict)
    """(content index, `annotations` or `logprobs`) -> entries."""

    def add(self, group: str | None, index: int, name: str, text: str, *, whole: bool) -> None:
        known = self.pieces.setdefault((group, index, name), [])
        if whole:
            known.clear()
            target = self.raw if group is None else self.lists.get(group, {}).get(index, {})
            target.pop(name, None)
        known.append(text)

    def replace(self, group: str, index: int, part: dict[str, Any], *, whole: bool) -> None:
        self.lists.setdefault(group, {})[index] = dict(part)
        if whole:
            for key in [key for key in self.pieces if key[:2] == (group, index)]:
                del self.pieces[key]

    def entries(self, index: int, name: str, place: int | None, values: list[Any]) -> None:
        known = self.rows.setdefault((index, name), {})
        for value in values:
            known[len(known) if place is None else place] = value

    def finished(self) -> dict[str, Any]:
        """The item with all its pieces joined."""
        item = dict(self.raw)
        if self.ended:
            return item
        lists = {name: {index: dict(part) for index, part in rows.items()} for name, rows in self.lists.items()}
        for (group, index, name), pieces in self.pieces.items():
            target = item if group is None else lists.setdefault(group, {}).setdefault(index, {})
            before = target.get(name)
            target[name] = (before if isinstance(before, str) else "") + "".join(pieces)
        for (index, name), rows in self.rows.items():
            part = lists.get("content", {}).get(index)
            if part is not None and not part.get(name):
                part[name] = [rows[place] for place in sorted(rows)]
        for group, parts in lists.items():
            if group == "commands":
                action = item.get("action")
                texts = [parts[index].get("text", "") for index in sorted(parts)]
                item["action"] = {**(action if isinstance(action, dict) else {}), "commands": texts}
            else:
                item[group] = [parts[index] for index in sorted(parts)]
        return item


class _Builder:
    def __init__(self) -> None:
        self._out = Assembled()
        self._items: dict[int, _Item] = {}
        self._by_id: dict[str, int] = {}
        self._transcript: list[str] = []
        self._strange: list[dict[str, Any]] = []
        self._ended = False
        self._missing: str | None = None
        self._sequence: int | None = None

    def fault(self, why: str) -> None:
        self._out.error = self._out.error or why

    def result(self) -> Assembled:
        out = self._out
        final = out.response.get("output")
        if not (self._ended and isinstance(final, list) and (final or not self._items)):
            out.output = [self._items[index].finished() for index in sorted(self._items)]
            out.output += self._strange
            if self._missing is not None:
                self.fault(self._missing)
        else:
            out.output = final
        if self._transcript:
            out.output.append({"type": "audio_transcript", "transcript": "".join(self._transcript)})
        return out

    def event(self, event: dict[str, Any]) -> None:
        kind = string(event.get("type")) or ""
        self._count(event.get("sequence_number"))
        family, _, verb = kind.rpartition(".")
        if kind in _SNAPSHOTS:
            self._snapshot(event, kind)
        elif kind == "error" or (not kind and event.get("error")):
            error = event.get("error")
            self.fault(error_text(event if error is None else error))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item_event(event, ended=verb == "done")
        elif family in _PARTS and verb in ("added", "done"):
            part, group = event.get("part"), _PARTS[family]
            item = self._item(event, "message" if group == "content" else "reasoning")
            if isinstance(part, dict) and not item.ended:
                item.replace(group, _whole(event.get(_INDEX[group])), part, whole=verb == "done")
        elif family in _FIELDS and verb in ("delta", "done", "added"):
            self._text(event, family, verb)
        elif kind == "response.output_text.annotation.added":
            self._item(event, "message").entries(
                _whole(event.get("content_index")), "annotations", _whole(event.get("annotation_index")),
                [event.get("annotation")],
            )  # fmt: skip
        elif family == "response.shell_call_output_content":
            self._shell_output(event, verb)
        elif kind == "response.audio.transcript.delta":
            self._transcript.append(string(event.get("delta")) or "")
        elif kind in _SILENT or (verb in _PROGRESS and family.startswith("response.")):
            self._progress(event, verb)
        else:
            self._out.unknown += 1
            self._strange.append(event)

    def _count(self, number: Any) -> None:
        if not isinstance(number, int) or isinstance(number, bool):
            return
        if self._sequence is not None and number > self._sequence + 1 and self._missing is None:
            self._missing = f"events {self._sequence + 1} to {number - 1} of the stream are missing"
        self._sequence = number

    def _snapshot(self, event: dict[str, Any], kind: str) -> None:
        response = event.get("response")
        if isinstance(response, dict):
            self._out.response = {**self._out.response, **response}
        self._ended = self._ended or kind in TERMINAL
        if kind in TERMINAL:
            self._out.response.setdefault("status", kind.rpartition(".")[2])
        error = self._out.response.get("error")
        if kind == "response.failed" or error:
            self.fault(error_text(error))

    def _item_event(self, event: dict[str, Any], *, ended: bool) -> None:
        raw = event.get("item")
        if not isinstance(raw, dict):
            return
        own = raw.get("id")
        given = event.get("output_index")
        index = given if _is_index(given) else self._by_id.get(own, -1) if isinstance(own, str) else -1
        if index < 0:
            index = max(self._items, default=-1) + 1
        if isinstance(own, str):
            self._by_id[own] = index
        item = _Item(dict(raw), ended)
        if not ended:
            for group in ("content", "summary"):
                rows = raw.get(group)
                if isinstance(rows, list):
                    item.lists[group] = {at: dict(row) for at, row in enumerate(rows) if isinstance(row, dict)}
        self._items[index] = item

    def _item(self, event: dict[str, Any], kind: str) -> _Item:
        """The item an event is about; one that was never announced is begun here."""
        given, own = event.get("output_index"), event.get("item_id")
        if _is_index(given):
            index = given
        elif isinstance(own, str) and own in self._by_id:
            index = self._by_id[own]
        else:
            index = max(self._items, default=0)
        if index not in self._items:
            raw: dict[str, Any] = {"type": kind}
            if isinstance(own, str):
                raw["id"] = own
                self._by_id[own] = index
            if kind == "message":
                raw["role"] = "assistant"
            self._items[index] = _Item(raw)
        return self._items[index]

    def _text(self, event: dict[str, Any], family: str, verb: str) -> None:
        kind, group, name, entry = _FIELDS[family]
        text = event.get("delta" if verb == "delta" else "command" if group == "commands" else name)
        item = self._item(event, kind)
        if not isinstance(text, str) or item.ended:
            return
        index = 0 if group is None else _whole(event.get(_INDEX[group]))
        if group is not None and entry:
            item.lists.setdefault(group, {}).setdefault(index, {"type": entry})
        item.add(group, index, name, text, whole=verb == "done")
        logprobs = event.get("logprobs")
        if group == "content" and isinstance(logprobs, list) and logprobs:
            if verb == "done":
                item.rows.pop((index, "logprobs"), None)
            item.entries(index, "logprobs", None, logprobs)

    def _shell_output(self, event: dict[str, Any], verb: str) -> None:
        item = self._item(event, "shell_call_output")
        if item.ended:
            return
        output = event.get("output")
        if verb == "done" and isinstance(output, list):
            item.raw["output"] = output
        elif isinstance(event.get("delta"), dict):
            index = _whole(event.get("command_index"))
            for name, text in event["delta"].items():
                if isinstance(text, str):
                    item.add("output", index, name, text, whole=False)
        if verb == "done":
            for key in [key for key in item.pieces if key[0] == "output"]:
                del item.pieces[key]

    def _progress(self, event: dict[str, Any], verb: str) -> None:
        given = event.get("output_index")
        item = self._items.get(given) if _is_index(given) else None
        if item is not None and not item.ended and verb in ("in_progress", "completed", "failed", "searching"):
            item.raw["status"] = verb


def _is_index(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _whole(value: Any) -> int:
    return value if _is_index(value) else 0


def event_texts(body: bytes) -> Iterable[str]:
    """The data of a server-sent stream's events; the `event:` name stands in where the data has no `type`."""
    for event in events(body):
        if event.event != "message" and '"type"' not in event.data and event.data.lstrip()[:1] == "{":
            rest = event.data.lstrip()[1:]
            yield f'{{"type":{json.dumps(event.event)}{"" if rest.lstrip()[:1] == "}" else ","}{rest}'
        else:
            yield event.data
