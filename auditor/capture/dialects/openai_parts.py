"""OpenAI chat messages -> messages and parts. What has no word here is kept, never an error.

Reasoning is read from every field it is found in, and from `<think>…</think>` at the start of an assistant's content:
that becomes a Reasoning part, the rest a Text part. The tags and the blanks around them are kept in the part's `extra`
(`inline`: what stood before and after its text), so that the content can be put together again to the last byte. A
client that sends the content back as it was gives the same parts, hence the same identity; for one that drops the
thinking, threads knows each answer without it too (and its text has no blanks left over from the tags).

Fields without a word here (annotations, audio, what a provider adds) go to the `extra` of the message's first part:
clients drop them when they send a message again, so they are no part of identity.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from auditor.records.messages import Message, Other, Part, Reasoning, Role, Text, ToolCall, ToolResult

ROLES: dict[str, Role] = {
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "tool",
}  # fmt: skip
KNOWN_KINDS = {"image_url", "input_audio", "file", "video_url", "refusal", "audio", "tokens"}
"""Kinds of Other parts that are understood, though not as text."""
KNOWN_FIELDS = {
    "annotations", "audio", "inline", "kind", "cache_control", "index", "logprobs", "form", "format", "id", "echo",
    "content_filter_results", "prompt_filter_results", "choice", "response", "signature", "citations",
    "prompt_cache_breakpoint",
}  # fmt: skip
"""Fields in `extra` we have words for; others are counted as unknown."""
_THINK = re.compile(
    r"(?P<open>\s*<(?P<tag>think|thinking)>\s*)(?P<inner>.*?)(?P<close>\s*</(?P=tag)>\s*|\Z)", re.DOTALL
)
_KNOWN = {
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "reasoning_content", "reasoning",
    "reasoning_details", "thinking_blocks", "refusal",
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
        content = _content(raw.get("content"))
        parts.extend(thinking_first(content) if role == "assistant" else content)
    for call in _calls(raw):
        parts.append(call)
        if isinstance(call, ToolCall) and call.call_id:
            tool_names[call.call_id] = call.name
    if raw.get("refusal") not in (None, ""):
        parts.append(Other(kind="refusal", data=raw["refusal"]))
    name = raw.get("name")
    # What says nothing has no place in a message's identity (records.messages); it must have no index either, or an
    # echo of the message would count its parts differently.
    rest = {key: value for key, value in raw.items() if key not in _KNOWN and value not in (None, "", [], {})}
    said_parts = with_extra(tuple(part for part in parts if not _is_empty(part)), rest)
    return Message(role=role, parts=said_parts, name=name if isinstance(name, str) and role != "tool" else None)


def with_extra(parts: tuple[Part, ...], more: Mapping[str, object]) -> tuple[Part, ...]:
    """The parts with more fields on the first that can hold any; as parts of their own where none can."""
    if not more:
        return parts
    for place, part in enumerate(parts):
        if not isinstance(part, Other):
            held = replace(part, extra={**(part.extra or {}), **more})
            return (*parts[:place], held, *parts[place + 1 :])
    return (*parts, *(Other(kind=key, data=value) for key, value in more.items()))


def thinking_first(content: list[Part]) -> list[Part]:
    """Thinking written in tags at the start of the content, taken apart; no closing tag: it was cut off there."""
    first = content[0] if content else None
    found = _THINK.match(first.text) if isinstance(first, Text) else None
    if found is None or not isinstance(first, Text):
        return content
    inner, rest = found["inner"], first.text[found.end() :]
    if inner:
        held = {} if rest else first.extra or {}
        thought = Reasoning(text=inner, extra={**held, "inline": [found["open"], found["close"]]})
        return [thought, *([replace(first, text=rest)] if rest else []), *content[1:]]
    if not rest:
        return content
    return [replace(first, text=rest, extra={**(first.extra or {}), "inline": [found.group(), ""]}), *content[1:]]


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
        return Text(text=piece["text"], extra=_rest(piece, "type", "text"))
    if kind in ("thinking", "redacted_thinking", "reasoning"):
        return _thinking(piece)
    return Other(kind=kind if isinstance(kind, str) else "content", data=piece)


def _results(raw: Mapping[str, Any], tool_names: Mapping[str, str]) -> list[Part]:
    """One result per text of a tool message; the tool's name is the one given, else that of the call answered."""
    call_id = _text(raw.get("tool_call_id"))
    name = _text(raw.get("name")) or (tool_names.get(call_id) if call_id else None)
    return [
        ToolResult(call_id=call_id, name=name, text=part.text, extra=part.extra) if isinstance(part, Text) else part
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
            extra = {
                **(_rest(entry, "id", "type", "index", field) or {}),
                **(_rest(body, "name", "arguments", "input") or {}),
                **({"kind": "custom"} if field == "custom" else {}),
            }
            return ToolCall(
                call_id=_text(entry.get("id")), name=_text(body.get("name")) or "", arguments=_arguments(body),
                extra=extra or None,
            )  # fmt: skip
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
        return Reasoning(text="", signature=hidden, redacted=True, extra=_rest(block, "type", "data"))
    for field in ("thinking", "text", "summary", "content"):
        text = block.get(field)
        if isinstance(text, str):
            return Reasoning(
                text=text, signature=_text(block.get("signature")), summary=field == "summary",
                extra=_rest(block, "type", "signature", field),
            )  # fmt: skip
    if _text(block.get("signature")):
        return Reasoning(text="", signature=block["signature"])
    return Other(kind="reasoning", data=block)


def _rest(raw: Mapping[str, Any], *used: str) -> dict[str, object] | None:
    """Fields that say something and were not read."""
    rest = {key: value for key, value in raw.items() if key not in used and value not in (None, "", [], {})}
    return rest or None


def _text(value: Any) -> str | None:
    """A text that says something, else None."""
    return value if isinstance(value, str) and value else None
