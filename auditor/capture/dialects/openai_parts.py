"""OpenAI chat messages -> messages and parts. What has no word here is kept as an Other part, never an error."""

import json
from collections.abc import Mapping
from typing import Any

from auditor.records.messages import Message, Other, Part, Reasoning, Role, Text, ToolCall, ToolResult

ROLES: dict[str, Role] = {
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "tool",
}  # fmt: skip
_KNOWN = {
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "reasoning_content", "reasoning",
    "reasoning_details", "thinking_blocks",
}  # fmt: skip


def message(raw: Any, tool_names: dict[str, str], *, default_role: str = "other") -> Message:
    """One message. `tool_names` (call id -> tool) is read for results and filled from calls.

    Order of parts: reasoning, content, tool calls, everything else.
    """
    if not isinstance(raw, dict):
        return Message(role="other", parts=(Other(kind="message", data=raw),))
    said = raw.get("role") or default_role
    role = ROLES.get(said, "other") if isinstance(said, str) else "other"
    parts: list[Part] = [*_reasoning(raw)]
    if role == "tool":
        parts.extend(_results(raw, tool_names))
    else:
        parts.extend(_content(raw.get("content")))
    for call in _calls(raw):
        parts.append(call)
        if isinstance(call, ToolCall) and call.call_id:
            tool_names[call.call_id] = call.name
    parts.extend(
        Other(kind=key, data=value) for key, value in raw.items() if key not in _KNOWN and value not in (None, [], {})
    )
    name = raw.get("name")
    # What says nothing has no place in a message's identity (records.messages); it must have no index either, or an
    # echo of the message would count its parts differently.
    said_parts = tuple(part for part in parts if not _is_empty(part))
    return Message(role=role, parts=said_parts, name=name if isinstance(name, str) and role != "tool" else None)


def _is_empty(part: Part) -> bool:
    if isinstance(part, Reasoning):
        return not (part.text or part.signature or part.redacted)
    return isinstance(part, Text) and not part.text


def _content(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    if isinstance(content, list):
        return [_piece(piece) for piece in content]
    return [Other(kind="content", data=content)]


def _piece(piece: Any) -> Part:
    if isinstance(piece, str):
        return Text(text=piece)
    if not isinstance(piece, dict):
        return Other(kind="content", data=piece)
    kind = piece.get("type")
    if kind == "text" and isinstance(piece.get("text"), str):
        return Text(text=piece["text"])
    if kind in ("thinking", "redacted_thinking", "reasoning"):
        return _thinking(piece)
    return Other(kind=kind if isinstance(kind, str) else "content", data=piece)


def _results(raw: Mapping[str, Any], tool_names: Mapping[str, str]) -> list[Part]:
    """One result per text of a tool message; the tool's name is the one given, else that of the call answered."""
    call_id = _text(raw.get("tool_call_id"))
    name = _text(raw.get("name")) or (tool_names.get(call_id) if call_id else None)
    return [
        ToolResult(call_id=call_id, name=name, text=part.text) if isinstance(part, Text) else part
        for part in _content(raw.get("content"))
    ]


def _calls(raw: Mapping[str, Any]) -> list[Part]:
    found: list[Part] = []
    calls = raw.get("tool_calls")
    for entry in calls if isinstance(calls, list) else []:
        found.append(_call(entry))
    legacy = raw.get("function_call")
    if isinstance(legacy, dict):
        found.append(ToolCall(call_id=None, name=_text(legacy.get("name")) or "", arguments=_arguments(legacy)))
    return found


def _call(entry: Any) -> Part:
    if not isinstance(entry, dict):
        return Other(kind="tool_call", data=entry)
    for field in ("function", "custom"):
        body = entry.get(field)
        if isinstance(body, dict):
            return ToolCall(
                call_id=_text(entry.get("id")), name=_text(body.get("name")) or "", arguments=_arguments(body)
            )
    return Other(kind="tool_call", data=entry)


def _arguments(body: Mapping[str, Any]) -> str:
    """Arguments as received; servers that send an object instead of its text get it written compactly."""
    value = body.get("arguments", body.get("input"))
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _reasoning(raw: Mapping[str, Any]) -> list[Part]:
    """Thinking in whichever field it came; the same text under two fields is one part."""
    parts: list[Part] = []
    for field in ("thinking_blocks", "reasoning_details"):
        blocks = raw.get(field)
        if isinstance(blocks, list) and blocks and not parts:
            parts.extend(_thinking(block) for block in blocks)
    for field in ("reasoning_content", "reasoning"):
        text = raw.get(field)
        if not isinstance(text, str):
            if text not in (None, [], {}):
                parts.append(Other(kind=field, data=text))
        elif text and text not in _said(parts):
            parts.append(Reasoning(text=text))
    return parts


def _said(parts: list[Part]) -> set[str]:
    texts = [part.text for part in parts if isinstance(part, Reasoning)]
    return {*texts, "".join(texts), "\n".join(texts)}


def _thinking(block: Any) -> Part:
    """`thinking`, `redacted_thinking` (LiteLLM) and `reasoning.text/.summary/.encrypted` (OpenRouter) blocks."""
    if not isinstance(block, dict):
        return Other(kind="reasoning", data=block)
    hidden = _text(block.get("data"))
    if hidden is not None:
        return Reasoning(text="", signature=hidden, redacted=True)
    for field in ("thinking", "text", "summary", "content"):
        text = block.get(field)
        if isinstance(text, str):
            return Reasoning(text=text, signature=_text(block.get("signature")))
    if _text(block.get("signature")):
        return Reasoning(text="", signature=block["signature"])
    return Other(kind="reasoning", data=block)


def _text(value: Any) -> str | None:
    """A text that says something, else None."""
    return value if isinstance(value, str) and value else None
