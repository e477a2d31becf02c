"""Items of OpenAI's Responses -> messages and parts. What has no word here is kept as an Other part, never an error.

One assistant message for each run of items the model (or a tool its server runs) made, so that the items of an answer
are one message when they come and the same message, with the same identity, when a client sends them back.

Fields that clients drop or change when they do (ids, status, annotations, log-probabilities, phase) go to `extra`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from auditor.capture.dialects.bodies import compact, string, without_nulls
from auditor.capture.dialects.openai_parts import ROLES, thinking_first
from auditor.records.messages import Message, Other, Part, Reasoning, Role, Text, ToolCall, ToolResult

KNOWN_FIELDS = {
    "id", "status", "phase", "annotations", "logprobs", "namespace", "caller", "async", "created_by", "server",
    "server_label", "approval", "approval_request_id", "error", "container_id", "environment", "execution", "result",
    "pending_safety_checks", "acknowledged_safety_checks", "max_output_length", "fingerprint", "kind", "instructions",
    "encrypted_content", "empty_items", "output_format", "quality", "size", "background", "revised_prompt",
    "svg_usage", "item", "outputs", "name", "detail", "prompt_cache_breakpoint", "inline",
}  # fmt: skip
"""Fields we have words for beside the texts; others in `extra` are counted as unknown."""
KNOWN_KINDS = {
    "input_image", "input_file", "input_audio", "output_audio", "audio_transcript", "mcp_list_tools", "compaction",
    "compaction_trigger", "item_reference", "computer_screenshot", "kept_context", "additional_tools",
    "configuration_update",
}  # fmt: skip
"""Kinds of Other parts that are understood, though not as text."""

_CALLS: Mapping[str, tuple[str | None, str | None, str | None]] = {
    # item type: (tool's name where the item has none, field of its arguments, server that runs it)
    "function_call": (None, "arguments", None),
    "custom_tool_call": (None, "input", None),
    "mcp_call": (None, "arguments", "mcp"),
    "mcp_approval_request": (None, "arguments", "mcp"),
    "web_search_call": ("web_search", "action", "web_search"),
    "file_search_call": ("file_search", "queries", "file_search"),
    "code_interpreter_call": ("code_interpreter", "code", "code_interpreter"),
    "image_generation_call": ("image_generation", "revised_prompt", "image_generation"),
    "computer_call": ("computer", "action", None),
    "local_shell_call": ("local_shell", "action", None),
    "shell_call": ("shell", "action", None),
    "apply_patch_call": ("apply_patch", "operation", None),
    "tool_search_call": ("tool_search", "arguments", None),
    "program": ("program", "code", "program"),
}
_RESULTS: Mapping[str, tuple[str | None, str]] = {
    # item type: (tool's name where the item has none, field of what the tool gave)
    "function_call_output": (None, "output"),
    "custom_tool_call_output": (None, "output"),
    "computer_call_output": ("computer", "output"),
    "local_shell_call_output": ("local_shell", "output"),
    "shell_call_output": ("shell", "output"),
    "apply_patch_call_output": ("apply_patch", "output"),
    "tool_search_output": ("tool_search", "tools"),
    "program_output": ("program", "result"),
}
_OBJECTS = ("file_search_call", "code_interpreter_call", "image_generation_call", "program")
"""Their arguments are recorded as an object with the one field, so that the text is JSON."""


def input_messages(sent: Any, tool_names: dict[str, str]) -> tuple[Message, ...]:
    """Messages of a request's `input`: a text or a list of items.

    `tool_names` (call id -> tool) is read for results and filled from calls.
    """
    if sent is None:
        return ()
    if isinstance(sent, str):
        return (Message(role="user", parts=(Text(text=sent),)),) if sent else ()
    if not isinstance(sent, list):
        return (Message(role="other", parts=(Other(kind="input", data=sent),)),)
    found: list[Message] = []
    run: list[Any] = []
    for item in sent:
        if _is_assistant(item):
            run.append(item)
            continue
        found.extend(answer(run, tool_names))
        run = []
        found.append(_outside(item, tool_names))
    return (*found, *answer(run, tool_names))


def answer(items: Iterable[Any], tool_names: dict[str, str]) -> tuple[Message, ...]:
    """One assistant message of all these items, or none where they say nothing."""
    parts: list[Part] = []
    silent: list[object] = []
    for item in items:
        own = _assistant(item, tool_names)
        if not own and isinstance(item, Mapping) and item.get("id"):
            silent.append(item["id"])
        elif own and silent:
            own[0] = _with_extra(own[0], empty_items=silent)
            silent = []
        parts.extend(own)
    if silent and parts:
        parts[-1] = _with_extra(parts[-1], empty_items=silent)
    return (Message(role="assistant", parts=tuple(parts)),) if parts else ()


def _is_assistant(item: Any) -> bool:
    """Whether the model, or a tool that its server ran, made an item. Unknown items: all but results and roles."""
    if not isinstance(item, Mapping):
        return False
    kind = _kind_of(item)
    if isinstance(item.get("role"), str):
        return bool(item["role"] == "assistant")
    if kind == "shell_call_output":
        # The hosted shell's results come in the answer; they carry an id, which a client's own results do not.
        return string(item.get("id")) is not None and item.get("status") is not None
    if kind == "tool_search_output":
        return item.get("execution") == "server"
    if kind in _RESULTS:
        return kind == "program_output"
    if kind is None:
        return "id" in item  # an item reference may leave its type out
    return not kind.endswith(("_output", "_response", "_trigger"))


def _outside(item: Any, tool_names: Mapping[str, str]) -> Message:
    """What came from a user, a developer or a tool that the client ran."""
    if not isinstance(item, Mapping):
        return Message(role="other", parts=(Other(kind="item", data=item),))
    kind = _kind_of(item)
    if kind is not None and kind in _RESULTS:
        return Message(role="tool", parts=tuple(_result(item, kind, tool_names)))
    if kind == "mcp_approval_response":
        text = compact({"approve": item.get("approve"), "reason": item.get("reason")})
        part = ToolResult(call_id=string(item.get("approval_request_id")), name=None, text=text,
                          extra=_extra(item, "approval_request_id", "approve", "reason"))  # fmt: skip
        return Message(role="tool", parts=(part,))
    said = item.get("role")
    role: Role = ROLES.get(said, "other") if isinstance(said, str) else "other"
    if "content" not in item or kind not in (None, "message"):
        return Message(role=role, parts=(_other(item),))
    parts = [part for part in _content(item["content"], _extra(item, "role", "content")) if not _is_empty(part)]
    return Message(role=role, parts=tuple(parts))


def _assistant(item: Any, tool_names: dict[str, str]) -> list[Part]:
    if not isinstance(item, Mapping):
        return [Other(kind="item", data=item)]
    kind = _kind_of(item)
    if kind == "reasoning":
        return _reasoning(item)
    if kind is not None and kind in _CALLS:
        return _call(item, kind, tool_names)
    if kind is not None and kind in _RESULTS:
        return _result(item, kind, tool_names)
    if kind in (None, "message") and "content" in item:
        # A message of another role inside an answer (a compaction keeps those of the user) is no text of the model.
        if item.get("role") not in (None, "assistant"):
            return [Other(kind="kept_context", data=without_nulls(dict(item)))]
        said = thinking_first(_content(item["content"], _extra(item, "role", "content")))
        return [part for part in said if not _is_empty(part)]
    return [_other(item)]


def _other(item: Mapping[str, Any]) -> Other:
    kind = _kind_of(item) or ("item_reference" if set(item) == {"id"} else "item")
    if kind == "item_reference":
        return Other(kind=kind, data={"id": item.get("id")})
    return Other(kind=kind, data=without_nulls(dict(item)) if kind in KNOWN_KINDS else dict(item))


def _content(content: Any, extra: Mapping[str, object] | None) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content, extra=extra)]
    if not isinstance(content, list):
        return [Other(kind="content", data=content)]
    return [_piece(piece, extra) for piece in content]


def _piece(piece: Any, extra: Mapping[str, object] | None) -> Part:
    if isinstance(piece, str):
        return Text(text=piece, extra=extra)
    if not isinstance(piece, Mapping):
        return Other(kind="content", data=piece)
    kind = _kind_of(piece)
    if kind in ("input_text", "output_text", "text", "summary_text") and isinstance(piece.get("text"), str):
        return Text(text=piece["text"], extra=_joined(extra, _extra(piece, "text")))
    if kind == "refusal" and isinstance(piece.get("refusal"), str):
        return Text(text=piece["refusal"], extra=_joined(extra, _extra(piece, "refusal"), {"kind": "refusal"}))
    if kind == "reasoning_text" and isinstance(piece.get("text"), str):
        return Reasoning(text=piece["text"], extra=_joined(extra, _extra(piece, "text")))
    named = kind or "content"
    return Other(kind=named, data=without_nulls(dict(piece)) if named in KNOWN_KINDS else dict(piece))


def _reasoning(item: Mapping[str, Any]) -> list[Part]:
    """Summaries, then the thinking itself; encrypted content is the signature of the last, or stands alone."""
    extra = _extra(item, "summary", "content", "encrypted_content")
    parts: list[Part] = []
    for field, summary in (("summary", True), ("content", False)):
        rows = item.get(field)
        if isinstance(rows, str):
            rows = [rows]
        for row in rows if isinstance(rows, list) else []:
            text = row.get("text") if isinstance(row, Mapping) else row
            if isinstance(text, str):
                own = _extra(row, "text") if isinstance(row, Mapping) else None
                parts.append(Reasoning(text=text, summary=summary, extra=_joined(extra, own)))
            else:
                parts.append(Other(kind="reasoning", data=row))
    parts = [part for part in parts if not _is_empty(part)]
    hidden = string(item.get("encrypted_content"))
    if hidden is not None:
        last = parts[-1] if parts else None
        if isinstance(last, Reasoning):
            parts[-1] = Reasoning(text=last.text, signature=hidden, summary=last.summary, extra=last.extra)
        else:
            parts.append(Reasoning(text="", signature=hidden, redacted=True, extra=extra))
    return parts


def _call(item: Mapping[str, Any], kind: str, tool_names: dict[str, str]) -> list[Part]:
    """A tool call; with its result where a server ran the tool and the item holds what it gave."""
    fixed, field, server = _CALLS[kind]
    field = "actions" if kind == "computer_call" and item.get("actions") else field or "arguments"
    name = string(item.get("name")) or fixed or ""
    call_id = string(item.get("call_id")) or string(item.get("id"))
    result = _own_result(item, kind, call_id, name)
    value = item.get(field)
    dropped = ["name", "call_id", field]
    if kind == "web_search_call" and isinstance(value, Mapping):
        value = {key: part for key, part in value.items() if key != "sources"}
    if result is not None:
        dropped += ["output", "outputs", "results"]
    arguments = value if isinstance(value, str) and kind not in _OBJECTS else compact(
        {field: value} if kind in _OBJECTS else {} if value is None else value
    )  # fmt: skip
    if kind == "shell_call" and _kind_of(item.get("environment")) == "container_reference":
        server = "shell"
    if kind == "tool_search_call" and item.get("execution") == "server":
        server = "tool_search"
    more: dict[str, object] = {} if server is None else {"server": server}
    if kind == "custom_tool_call":
        more["kind"] = "custom"
    if kind == "mcp_approval_request":
        more["approval"] = "asked"
    if call_id:
        tool_names[call_id] = name
    call = ToolCall(call_id=call_id, name=name, arguments=arguments, extra=_joined(_extra(item, *dropped), more))
    return [call] if result is None else [call, result]


def _own_result(item: Mapping[str, Any], kind: str, call_id: str | None, name: str) -> ToolResult | None:
    failed: bool | None = None
    extra: Mapping[str, object] | None = None
    if kind == "mcp_call":
        value = item.get("output")
        if item.get("error") is not None:
            value, failed = (item["error"] if value is None else value), True
    elif kind == "web_search_call":
        action = item.get("action")
        value = action.get("sources") if isinstance(action, Mapping) else None
    elif kind == "image_generation_call":
        value = "" if item.get("result") is not None else None
    elif kind == "code_interpreter_call":
        value = item.get("outputs")
        if isinstance(value, list) and all(_kind_of(row) == "logs" for row in value):
            value = "".join(row["logs"] for row in value if isinstance(row.get("logs"), str)) if value else None
    else:
        value = item.get("results") if kind == "file_search_call" else None
    if value is None:
        return None
    text = value if isinstance(value, str) else compact(value)
    return ToolResult(call_id=call_id, name=name or None, text=text, is_error=failed, extra=extra)


def _result(item: Mapping[str, Any], kind: str, tool_names: Mapping[str, str]) -> list[Part]:
    """One result for each text of an output; other content (images, files) stays beside it."""
    fixed, field = _RESULTS[kind]
    call_id = string(item.get("call_id")) or (string(item.get("id")) if kind == "local_shell_call_output" else None)
    name = string(item.get("name")) or (tool_names.get(call_id) if call_id else None) or fixed
    value = item.get(field)
    extra = _extra(item, "call_id", "name", field)
    failed = True if kind == "apply_patch_call_output" and item.get("status") == "failed" else None

    def result(text: str, own: Mapping[str, object] | None = None) -> ToolResult:
        return ToolResult(call_id=call_id, name=name, text=text, is_error=failed, extra=_joined(extra, own))

    if kind == "computer_call_output":
        return [result(""), Other(kind=_kind_of(value) or "computer_screenshot", data=without_nulls(value))]
    if value is None or isinstance(value, str):
        return [result(value or "")]
    if not isinstance(value, list) or kind not in ("function_call_output", "custom_tool_call_output"):
        return [result(compact(value))]
    parts: list[Part] = []
    for part in _content(value, None):
        parts.append(result(part.text, part.extra) if isinstance(part, Text) else part)
    return parts if any(isinstance(part, ToolResult) for part in parts) else [result(""), *parts]


def _kind_of(value: Any) -> str | None:
    return string(value.get("type")) if isinstance(value, Mapping) else None


def _extra(raw: Mapping[str, Any], *used: str) -> dict[str, object] | None:
    """Fields that say something and were not read."""
    rest = {
        key: value for key, value in raw.items() if key not in used and key != "type" and value not in (None, [], {})
    }
    return rest or None


def _joined(*extras: Mapping[str, object] | None) -> dict[str, object] | None:
    whole: dict[str, object] = {}
    for extra in extras:
        whole |= extra or {}
    return whole or None


def _with_extra(part: Part, **more: object) -> Part:
    if isinstance(part, Other):
        return part
    values = {**vars(part), "extra": _joined(part.extra, more)}
    return type(part)(**values)


def _is_empty(part: Part) -> bool:
    if isinstance(part, Reasoning):
        return not (part.text or part.signature or part.redacted)
    return isinstance(part, Text) and not part.text
