"""Anthropic stream events -> the shape a response without streaming has.

Blocks are opened, added to and closed by index; usage of `message_delta` is cumulative and overwrites; `ping` says
nothing; an `error` may follow a 200; `message_stop` may be missing. A delta that is not known is kept with its block
under `deltas`, an event that is not known under `events` of the message.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from auditor.capture.dialects.anthropic_parts import STREAMED
from auditor.capture.exact import NotJson, parse_json, whole_text
from auditor.capture.stream import SseEvent

_JOINED = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "thinking"),
    "input_json_delta": ("partial_json", STREAMED, "tool_use"),
}
"""Delta -> (its field, the block's field its pieces are joined in, the block it opens where none was opened)."""
_SILENT = {"ping", "message_stop", "content_block_stop"}


@dataclass
class Assembled:
    """`message` is in the form of a response, its blocks in `content`."""

    message: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass
class _Block:
    """A block being put together: how it began, and its pieces by field."""

    start: dict[str, Any]
    pieces: dict[str, list[str]] = field(default_factory=dict)

    def whole(self) -> dict[str, Any]:
        """The block; texts that were begun in its start stand before their pieces."""
        done = dict(self.start)
        for name, pieces in self.pieces.items():
            begun = done.get(name)
            done[name] = (begun if isinstance(begun, str) else "") + "".join(pieces)
        return done


def assemble(events: Iterable[SseEvent]) -> Assembled:
    """Put a stream together; what is no JSON ends up in `error`, and everything else still counts."""
    stream = _Stream()
    for event in events:
        data = event.data.strip()
        if not data or data.startswith("[DONE]"):
            continue
        try:
            body = parse_json(data)
        except NotJson as fault:
            stream.error = f"an event of the stream is no JSON: {fault}"
            continue
        if isinstance(body, dict):
            stream.add(body, event.event)
        else:
            stream.keep(body)
    return stream.done()


class _Stream:
    def __init__(self) -> None:
        self.error: str | None = None
        self._message: dict[str, Any] = {}
        self._blocks: list[_Block] = []
        self._open: dict[Any, _Block] = {}
        self._unknown: list[Any] = []

    def add(self, body: dict[str, Any], name: str) -> None:
        kind = body.get("type", name)
        if kind == "message_start":
            self._start(body.get("message"))
        elif kind == "content_block_start":
            self._begin(_index(body), body.get("content_block"))
        elif kind == "content_block_delta":
            self._piece(_index(body), body.get("delta"))
        elif kind == "message_delta":
            self._end(body)
        elif kind == "error" or "error" in body:
            self.error = error_text(body.get("error"))
        elif not (isinstance(kind, str) and kind in _SILENT):
            self.keep(body)

    def keep(self, body: Any) -> None:
        """An event without a word of ours."""
        self._unknown.append(body)

    def done(self) -> Assembled:
        content = [block.whole() for block in self._blocks]
        given = self._message.get("content")
        self._message["content"] = (given if isinstance(given, list) else []) + content
        if self._unknown:
            self._message["events"] = self._unknown
        return Assembled(message=self._message, error=self.error)

    def _start(self, message: Any) -> None:
        if isinstance(message, dict):
            self._usage(message.get("usage"))
            self._message.update({key: value for key, value in message.items() if key != "usage"})

    def _begin(self, index: Any, block: Any) -> None:
        begun = _Block(dict(block) if isinstance(block, dict) else {"type": "unknown", "value": block})
        self._blocks.append(begun)
        self._open[index] = begun

    def _piece(self, index: Any, delta: Any) -> None:
        kind = delta.get("type") if isinstance(delta, dict) else None
        joined = _JOINED.get(kind) if isinstance(kind, str) else None
        if index not in self._open:  # typed clients refuse this; the record keeps what was said
            self._begin(index, {"type": joined[2] if joined else "unknown"})
        block = self._open[index]
        if joined is not None and isinstance(delta.get(joined[0]), str):
            block.pieces.setdefault(joined[1], []).append(delta[joined[0]])
            _beside(block.start, kind, {key: delta[key] for key in delta if key not in ("type", joined[0])})
        elif kind == "signature_delta" and isinstance(delta.get("signature"), str):
            block.start["signature"] = delta["signature"]
        elif kind == "citations_delta" and "citation" in delta:
            _append(block.start, "citations", delta["citation"])
        elif kind == "compaction_delta":
            block.start.update({key: value for key, value in delta.items() if key != "type" and value is not None})
        else:
            _append(block.start, "deltas", delta)

    def _end(self, body: dict[str, Any]) -> None:
        delta = body.get("delta")
        if isinstance(delta, dict):
            self._message.update({key: value for key, value in delta.items() if key not in ("content", "usage")})
            if "usage" in delta:  # it belongs beside the delta, not into it
                self.keep(body)
        self._usage(body.get("usage"))
        more = {key: value for key, value in body.items() if key not in ("type", "delta", "usage")}
        self._message.update({key: value for key, value in more.items() if key not in ("content", "events")})

    def _usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            known = self._message.setdefault("usage", {})
            known.update({key: value for key, value in usage.items() if value is not None})


def _index(body: dict[str, Any]) -> Any:
    index = body.get("index")
    return index if isinstance(index, (int, str)) else None


def _beside(block: dict[str, Any], kind: Any, more: dict[str, Any]) -> None:
    """What a delta says beside its text: increments of an estimate are added up, the rest is kept as it came."""
    estimate, known = more.pop("estimated_tokens", None), block.get("estimated_tokens", 0)
    if isinstance(estimate, int) and isinstance(known, int):
        block["estimated_tokens"] = known + estimate
    elif estimate is not None:
        more["estimated_tokens"] = estimate
    if any(value is not None for value in more.values()):
        _append(block, "deltas", {"type": kind, **more})


def _append(block: dict[str, Any], name: str, value: Any) -> None:
    present = block.get(name)
    if isinstance(present, list):
        present.append(value)
    else:
        block[name] = [value] if present is None else [present, value]


def error_text(error: Any) -> str:
    """The message of an error body in whichever shape it came."""
    named, said = "", error
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        said = error["message"]
        named = f" ({error['type']})" if isinstance(error.get("type"), str) else ""
    return whole_text(f"the upstream answered with an error{named}: {said}")
