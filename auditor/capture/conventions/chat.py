"""Messages as JSON, in whichever of the usual forms, -> messages.

Read are OpenTelemetry's `{role, parts}`, OpenAI's `{role, content, tool_calls}` and Responses items, Anthropic's
content blocks, LangChain's `{type: human}`, the Vercel AI SDK's `tool-call` parts and Pydantic AI's `{kind, parts}`. A
part without a word for it is kept as it came.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from auditor.capture.conventions.reading import HIDDEN, loaded, said, text
from auditor.records.messages import Message, Other, Part, Reasoning, Role, Text, ToolCall, ToolResult

MOST_MESSAGES = 10_000
_ROLES: Mapping[str, Role] = {
    "user": "user", "human": "user", "request": "user", "assistant": "assistant", "ai": "assistant",
    "model": "assistant", "response": "assistant", "system": "system", "developer": "developer", "tool": "tool",
    "function": "tool",
}  # fmt: skip
_TEXT = {"text", "input_text", "output_text", "user-prompt", "system-prompt", "refusal"}
_THINKING = {"reasoning", "thinking", "redacted_thinking", "redacted-reasoning"}
_CALL = {"tool_call", "tool-call", "tool_use", "function_call", "function"}
_RESULT = {"tool_call_response", "tool-result", "tool_result", "tool-return", "function_call_output"}
_HOLDERS = ("messages", "input", "inputs", "prompt", "contents")


def role_of(value: object) -> Role:
    return _ROLES.get(value.lower(), "other") if isinstance(value, str) else "other"


def messages_of(value: object, role: Role = "user") -> tuple[Message, ...]:
    """Messages of JSON text or JSON data: a list, an object that holds one, or one message; plain text is one message
    of `role`."""
    value = loaded(value)
    if isinstance(value, str):
        return (Message(role=role, parts=(written(value),)),) if value else ()
    if isinstance(value, Mapping):
        inner = next((loaded(value[name]) for name in _HOLDERS if value.get(name)), None)
        if isinstance(inner, list) or (isinstance(inner, (str, Mapping)) and "role" not in value):
            system = _system(value)
            return (*system, *messages_of(inner, role))
        return answers_of(value) if isinstance(value.get("choices"), list) else (_message(value, role),)
    if not isinstance(value, list):
        return ()
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # LangChain: a batch of one
    return tuple(
        _message(one, role) if isinstance(one, Mapping) else Message(role=role, parts=(written(said(one)),))
        for one in value[:MOST_MESSAGES]
    )


def answers_of(value: object) -> tuple[Message, ...]:
    """What a model gave: completion objects (`choices`, `content`, `output`), messages, or text."""
    value = loaded(value)
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if isinstance(choices, list):
            inner = [one.get("message", one) for one in choices if isinstance(one, Mapping)]
            return tuple(_message(one, "assistant") for one in inner if isinstance(one, Mapping))
        generations = value.get("generations")
        if isinstance(generations, list) and generations:
            first = generations[0] if isinstance(generations[0], list) else generations
            return tuple(_message(one.get("message", one), "assistant") for one in first if isinstance(one, Mapping))
        if isinstance(value.get("output"), list) and "role" not in value:
            return _items(value["output"])
    return messages_of(value, "assistant")


def parts_of(value: object) -> tuple[Part, ...]:
    """Parts of a content field: text, a part, or a list of them."""
    value = loaded(value) if not isinstance(value, str) else value
    if value is None or value == "":
        return ()
    if isinstance(value, list):
        return tuple(part_of(one) for one in value[:MOST_MESSAGES])
    return (part_of(value),)


def part_of(item: object) -> Part:
    """One part, by its type."""
    if not isinstance(item, Mapping):
        return written(said(item))
    kind = str(item.get("type") or item.get("part_kind") or ("text" if "text" in item else "unknown"))
    if kind in _TEXT:
        value = item.get("content", item.get("text", item.get("refusal")))
        return written(said(value)) if value is not None else Other(kind=kind, data=dict(item))
    if kind in _THINKING:
        return thinking(item, kind)
    if kind in _CALL:
        return tool_call(item)
    if kind in _RESULT:
        return tool_result(item)
    return Other(kind=kind, data=dict(item))


def written(value: str) -> Part:
    """Text, or the mark that it was hidden."""
    return Other(kind="redacted", data={"text": HIDDEN}) if value == HIDDEN else Text(text=value)


def thinking(item: Mapping[str, Any], kind: str = "reasoning") -> Reasoning:
    """Reasoning with the provider's token, wherever a layout puts it."""
    value = next((item[name] for name in ("content", "text", "thinking", "summary") if item.get(name)), "")
    token = text(item, "signature", "encrypted_content", "data", "reasoning_signature")
    if token is None:
        options = item.get("providerOptions") or item.get("providerMetadata")
        for one in options.values() if isinstance(options, Mapping) else ():
            if isinstance(one, Mapping):
                token = token or text(one, "signature", "redactedData", "encryptedContent")
    words = _plain(value)
    hidden = words == HIDDEN
    redacted = hidden or "redacted" in kind or bool(item.get("redacted")) or (not words and token is not None)
    return Reasoning(text="" if hidden else words, signature=token, redacted=redacted)


def tool_call(item: Mapping[str, Any]) -> ToolCall:
    inner = item.get("function")
    function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else item
    name = text(function, "name", "toolName", "tool_name") or "unknown"
    given = next((function[key] for key in ("arguments", "args", "input") if function.get(key) is not None), "")
    signature = text(item, "reasoning_signature", "signature")
    return ToolCall(
        call_id=text(item, "call_id", "id", "toolCallId", "tool_call_id"), name=name, arguments=said(given),
        extra={"signature": signature} if signature else None,
    )  # fmt: skip


def tool_result(item: Mapping[str, Any]) -> ToolResult:
    names = ("response", "result", "output", "content")
    given = next((item[key] for key in names if item.get(key) is not None), "")
    error = item.get("is_error", item.get("isError"))
    return ToolResult(
        call_id=text(item, "tool_use_id", "toolCallId", "tool_call_id", "call_id", "id"),
        name=text(item, "name", "toolName", "tool_name"), text=_plain(given),
        is_error=error if isinstance(error, bool) else None,
    )  # fmt: skip


def tools_of(value: object) -> tuple[Mapping[str, object], ...]:
    """Tool schemas in OpenAI's form, from a list (or JSON text) of theirs, OpenTelemetry's or Anthropic's."""
    value = loaded(value)
    found: list[Mapping[str, object]] = []
    for one in value if isinstance(value, list) else ():
        one = loaded(one)
        if not isinstance(one, Mapping):
            continue
        if isinstance(one.get("function"), Mapping) or not isinstance(one.get("name"), str):
            found.append(dict(one))
            continue
        schema = one.get("parameters", one.get("input_schema", one.get("inputSchema")))
        form = {"name": one["name"], "description": one.get("description"), "parameters": schema}
        found.append({"type": "function", "function": {key: v for key, v in form.items() if v is not None}})
    return tuple(found)


def is_hidden(messages: Sequence[Message]) -> bool:
    """Whether the emitter hid some of it."""
    return any(
        (isinstance(part, Other) and part.kind == "redacted") or (isinstance(part, Text | ToolResult)
         and part.text == HIDDEN) or (isinstance(part, ToolCall) and part.arguments == HIDDEN)
        for message in messages for part in message.parts
    )  # fmt: skip


def _message(row: Mapping[str, Any], role: Role) -> Message:
    inner = row.get("kwargs") if row.get("lc") == 1 else row.get("message", row)  # LangChain's constructor form
    row = inner if isinstance(inner, Mapping) and "role" not in row else row
    kind = row.get("type")
    if isinstance(kind, str) and kind in _CALL | _RESULT | _THINKING and "role" not in row:
        own: Role = "tool" if kind in _RESULT else "assistant"
        return Message(role=own, parts=(part_of(row),))
    known = row.get("role", row.get("kind", row.get("type")))
    found = role_of(known) if isinstance(known, str) and (known.lower() in _ROLES or "role" in row) else role
    name = text(row, "name")
    parts = list(_reasoning(row))
    if isinstance(row.get("parts"), list):
        parts += parts_of(row["parts"])
    elif found == "tool" and not _has_results(row.get("content")):
        parts.append(ToolResult(call_id=text(row, "tool_call_id", "id"), name=name, text=_plain(row.get("content"))))
        name = None
    else:
        parts += parts_of(row.get("content", row.get("text")))
    calls = loaded(row.get("tool_calls", row.get("toolCalls")))
    for one in calls if isinstance(calls, list) else ():
        if isinstance(one, Mapping):
            parts.append(tool_call(one))
    one = loaded(row.get("function_call"))
    if isinstance(one, Mapping):
        parts.append(tool_call(one))
    if any(isinstance(part, ToolResult) for part in parts) and found == "user":
        found = "tool"  # Anthropic and Pydantic AI say results in the user's turn
    return Message(role=found, parts=tuple(parts), name=name)


def _reasoning(row: Mapping[str, Any]) -> list[Part]:
    blocks = row.get("thinking_blocks")
    if isinstance(blocks, list):
        return [part_of(one) for one in blocks]
    words = text(row, "reasoning_content", "reasoning")
    return [Reasoning(text=words)] if words else []


def _items(rows: Sequence[object]) -> tuple[Message, ...]:
    """Output items of a Responses answer as one message."""
    parts: list[Part] = []
    for one in rows[:MOST_MESSAGES]:
        if isinstance(one, Mapping) and one.get("type") == "message":
            parts += parts_of(one.get("content"))
        else:
            parts.append(part_of(one))
    return (Message(role="assistant", parts=tuple(parts)),)


def _system(value: Mapping[str, Any]) -> tuple[Message, ...]:
    parts = parts_of(value.get("system") or value.get("instructions"))
    return (Message(role="system", parts=parts),) if parts else ()


def _has_results(value: object) -> bool:
    rows = value if isinstance(value, list) else ()
    return any(isinstance(one, Mapping) and str(one.get("type")) in _RESULT for one in rows)


def _plain(value: object) -> str:
    """Text of a content field; what is no text becomes JSON."""
    if value is None:
        return ""
    if isinstance(value, Mapping) and value.get("type") in ("text", "json", "error-text", "error-json"):
        return said(value.get("value", value.get("text", value.get("content"))))
    if isinstance(value, list) and value:
        inner = [one.get("text", one.get("content")) for one in value if isinstance(one, Mapping)]
        if len(inner) == len(value) and all(isinstance(one, str) for one in inner):
            return "".join(inner)
    return said(value)
