"""Anthropic messages -> messages and parts. What has no word here is kept as an Other part, never an error.

Blocks as in the Messages API reference: text, thinking, redacted_thinking, tool_use, server_tool_use, mcp_tool_use and
tool_result with every `*_tool_result` are words of ours; image, document, container_upload, compaction, fallback and
whatever comes next are Other parts, kept as they came.

Identity of tool calls: this dialect carries arguments as an object, so a client that sends a call back writes them
again. A call that came whole has its object written compactly, keys in their order. A call that was streamed has the
very text that was streamed; where that differs from the compact form it is marked `{"form": "object"}`, and identity
covers the compact form (records.messages).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from auditor.capture.exact import NotJson, exact, parse_json, whole_text
from auditor.records.messages import (
    OBJECT_FORM,
    Message,
    Other,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    object_text,
)

STREAMED = "partial_json"
"""Field the stream assembler puts a block's streamed input text under."""
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_CALLS = {"tool_use", "server_tool_use", "mcp_tool_use"}
_WORDS = {
    "citations", "cache_control", "caller", "form", "server", "server_name", "type", "content", "title", "message",
    "container", "context_management", "stop_sequence", "stop_details", "estimated_tokens",
}  # fmt: skip
"""Fields that may stand in `extra` without being unknown."""


def system_messages(system: Any) -> list[Message]:
    """The top-level `system`, text or blocks, as a first message; none when it says nothing."""
    if system in (None, "", []):
        return []
    return [Message(role="system", parts=_parts(system, {}))]


def message(raw: Any, tool_names: dict[str, str]) -> Message:
    """One message, its parts in the order of its blocks. `tool_names` (call id -> tool) is filled and read.

    `raw` is JSON as parsed, not yet exact: arguments are written from it before large numbers become texts.
    """
    if not isinstance(raw, dict):
        return Message(role="other", parts=(Other(kind="message", data=exact(raw)),))
    said = raw.get("role")
    role = _ROLES.get(said, "other") if isinstance(said, str) else "other"
    more = tuple(
        Other(kind=whole_text(key), data=exact(value))
        for key, value in raw.items()
        if key not in ("role", "content") and value not in (None, [], {})
    )
    return Message(role=role, parts=_parts(raw.get("content"), tool_names) + more)


def output(raw: Mapping[str, Any], about: Mapping[str, Any], tool_names: dict[str, str]) -> Message:
    """The assistant's answer. `about` is what the response says beside its blocks.

    It is kept in the `extra` of the last part that has one, under `message`, where it moves no part and no identity.
    """
    parts = list(_parts(raw.get("content"), tool_names))
    if about:
        place = next((at for at in reversed(range(len(parts))) if not isinstance(parts[at], Other)), None)
        if place is None:
            parts.append(Text(text="", extra={"message": exact(dict(about))}))
        else:
            parts[place] = _with(parts[place], {"message": exact(dict(about))})
    return Message(role="assistant", parts=tuple(parts))


def unknown(messages: Iterable[Message]) -> int:
    """Parts and fields without a word of ours in these messages."""
    count = 0
    for one in messages:
        for part in one.parts:
            if isinstance(part, Other):
                count += 1
                continue
            extra = part.extra or {}
            about = extra.get("message")
            fields = [*extra, *(about if isinstance(about, Mapping) else ())]
            count += sum(field not in _WORDS for field in fields)
    return count


def _parts(content: Any, tool_names: dict[str, str]) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(text=whole_text(content)),) if content else ()
    if not isinstance(content, list):
        return (Other(kind="content", data=exact(content)),)
    parts: list[Part] = []
    for block in content:
        parts.extend(_block(block, tool_names))
    # What says nothing has no place in a message's identity; it must have no index either, or an echo of the message
    # would count its parts differently.
    return tuple(part for part in parts if not _is_empty(part))


def _is_empty(part: Part) -> bool:
    if isinstance(part, Reasoning):
        return not (part.text or part.signature or part.redacted or part.extra)
    return isinstance(part, Text) and not part.text and not part.extra


def _block(block: Any, tool_names: dict[str, str]) -> list[Part]:
    if isinstance(block, str):
        return [Text(text=whole_text(block))]
    if not isinstance(block, dict):
        return [Other(kind="content", data=exact(block))]
    kind = block.get("type")
    if not isinstance(kind, str):
        return [Other(kind="content", data=exact(block))]
    if kind == "text" and isinstance(block.get("text"), str):
        return [Text(text=whole_text(block["text"]), extra=_extra(block, "type", "text"))]
    if kind in ("thinking", "redacted_thinking"):
        return [_thinking(kind, block)]
    if kind in _CALLS and isinstance(block.get("name"), str):
        return [_call(kind, block, tool_names)]
    if kind == "tool_result" or kind.endswith("_tool_result"):
        return _results(kind, block, tool_names)
    return [Other(kind=whole_text(kind), data=exact(block))]


def _thinking(kind: str, block: Mapping[str, Any]) -> Part:
    """Display may be omitted: then there is a signature and no text."""
    if kind == "redacted_thinking":
        data = _word(block.get("data"))
        if data is None:
            return Other(kind=kind, data=exact(dict(block)))
        return Reasoning(text="", signature=data, redacted=True, extra=_extra(block, "type", "data"))
    text = block.get("thinking", "")
    if not isinstance(text, str):
        return Other(kind=kind, data=exact(dict(block)))
    extra = _extra(block, "type", "thinking", "signature")
    return Reasoning(text=whole_text(text), signature=_word(block.get("signature")), extra=extra)


def _call(kind: str, block: Mapping[str, Any], tool_names: dict[str, str]) -> Part:
    name, call_id = whole_text(block["name"]), _word(block.get("id"))
    if call_id is not None:
        tool_names[call_id] = name
    extra = _extra(block, "type", "id", "name", "input", STREAMED) or {}
    if kind != "tool_use":
        extra["server"] = "mcp" if kind == "mcp_tool_use" else name
    streamed = block.get(STREAMED)
    if isinstance(streamed, str) and streamed:
        arguments = whole_text(streamed)
        if _is_rewritten(arguments):
            extra["form"] = OBJECT_FORM
    else:
        arguments = _arguments(block.get("input"))
    return ToolCall(call_id=call_id, name=name, arguments=arguments, extra=extra or None)


def _arguments(value: Any) -> str:
    """Arguments that came as a value, written compactly."""
    return "" if value is None else object_text(value)


def _is_rewritten(text: str) -> bool:
    """Whether a client that sends these arguments back as an object writes another text."""
    try:
        return object_text(parse_json(text)) != text
    except NotJson:
        return False


def _results(kind: str, block: Mapping[str, Any], tool_names: Mapping[str, str]) -> list[Part]:
    """One result per text; what else a result holds follows it as Other parts. A result of the provider's own tools
    that is no text is written as JSON, keys sorted, and kept as it came in `extra`."""
    call_id, content = _word(block.get("tool_use_id")), block.get("content")
    said = block.get("is_error")
    is_error = said if isinstance(said, bool) else None
    extra = _extra(block, "type", "tool_use_id", "content", "is_error") or {}
    if said is not None and is_error is None:
        extra["is_error"] = exact(said)
    if kind != "tool_result":
        extra["type"] = whole_text(kind)
    name = tool_names.get(call_id) if call_id else None

    def result(text: str, more: Mapping[str, Any]) -> ToolResult:
        return ToolResult(call_id=call_id, name=name, text=text, is_error=is_error, extra={**extra, **more} or None)

    if content is None or isinstance(content, str):
        return [result(whole_text(content or ""), {})]
    if isinstance(content, list) and (kind == "tool_result" or all(_is_text(piece) for piece in content)):
        texts: list[Part] = [
            result(whole_text(piece["text"]), _extra(piece, "type", "text") or {})
            for piece in content if _is_text(piece)
        ]  # fmt: skip
        rest = [Other(kind=_kind(piece), data=exact(piece)) for piece in content if not _is_text(piece)]
        return [*(texts or [result("", {})]), *rest]
    if is_error is None and isinstance(content, dict) and str(content.get("type", "")).endswith("_error"):
        is_error = True
    kept = exact(content)
    return [result(json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True), {"content": kept})]


def _is_text(piece: Any) -> bool:
    return isinstance(piece, dict) and piece.get("type") == "text" and isinstance(piece.get("text"), str)


def _kind(piece: Any) -> str:
    kind = piece.get("type") if isinstance(piece, dict) else None
    return whole_text(kind) if isinstance(kind, str) else "content"


def _extra(block: Mapping[str, Any], *taken: str) -> dict[str, Any] | None:
    """Fields we have no place for, unset ones left out; None when there are none."""
    rest = {whole_text(key): exact(value) for key, value in block.items() if key not in taken and value is not None}
    return rest or None


def _with(part: Part, more: Mapping[str, Any]) -> Part:
    return part if isinstance(part, Other) else replace(part, extra={**(part.extra or {}), **more})


def _word(value: Any) -> str | None:
    """A text that says something, else None."""
    return whole_text(value) if isinstance(value, str) and value else None
