"""Anthropic Messages: recorded request and response bytes -> one Call. Never raises for what the bytes hold.

`/v1/messages/count_tokens` is read too: no answer, the count in `usage`, and `about` set to COUNT_ONLY, which makes it
no step of a run. Batches pass through unread.
"""

from collections.abc import Mapping
from typing import Any, Literal

from auditor.capture.dialects.anthropic_parts import message, output, system_messages, unknown
from auditor.capture.dialects.anthropic_stream import Assembled, assemble, error_text
from auditor.capture.dialects.bodies import sent_messages
from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.exact import NotJson, exact, parse_json, whole_text
from auditor.capture.stream import SseEvent, events
from auditor.records.exchange import Exchange
from auditor.records.messages import COUNT_ONLY, Call

_NOT_SETTINGS = {"messages", "model", "tools", "system"}
_SAID = {"id", "type", "role", "content", "model", "stop_reason", "usage"}
"""Fields of a response that have their place in a Call; what else it says is kept beside its parts."""
_ERRORS = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error",
}  # fmt: skip
_CONTENT = {"text_delta": "text", "thinking_delta": "thinking"}


def error(text: str, code: str) -> dict[str, Any]:
    """Anthropic's error envelope; a code that is none of its types stands beside `api_error`."""
    if code in _ERRORS:
        return {"type": "error", "error": {"type": code, "message": text}}
    return {"type": "error", "error": {"type": "api_error", "message": text, "code": code}}


def moment(event: SseEvent) -> Literal["content", "tool"] | None:
    """What an event brings; an event that is no JSON brings nothing."""
    if event.event not in ("content_block_delta", "content_block_start", "message"):
        return None
    try:
        body = parse_json(event.data)
    except NotJson:
        return None
    if not isinstance(body, dict):
        return None
    delta, block = body.get("delta"), body.get("content_block")
    if isinstance(delta, dict) and isinstance(kind := delta.get("type"), str):
        if kind == "input_json_delta":
            return "tool"
        return "content" if kind in _CONTENT and delta.get(_CONTENT[kind]) else None
    if isinstance(block, dict) and isinstance(kind := block.get("type"), str):
        if kind.endswith("tool_use"):
            return "tool"
        return "content" if block.get("text") or block.get("thinking") else None
    return None


def parse(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """The call in these bytes.

    `unparsed` names what was not understood (request first); everything that was understood is there all the same.
    """
    sent, request_fault = sent_messages(request, exchange.request_headers)
    answer, response_fault = _response(response, exchange.response_headers)
    counting = exchange.path.partition("?")[0].endswith("/count_tokens")
    tool_names: dict[str, str] = {}
    rows = sent.get("messages")
    messages = system_messages(sent.get("system"))
    messages += [message(row, tool_names) for row in (rows if isinstance(rows, list) else [])]
    said = answer.message
    outputs = () if counting or not _answered(said) else (output(said, _beside(said), tool_names),)
    named, reason, usage = sent.get("model") or said.get("model"), said.get("stop_reason"), said.get("usage")
    if counting:
        usage = {"input_tokens": said["input_tokens"]} if "input_tokens" in said else {}
    return Call(
        record=record,
        model=whole_text(named) if isinstance(named, str) else "unknown",
        messages=tuple(messages),
        outputs=outputs,
        tools=_tools(sent.get("tools")),
        settings=exact({key: value for key, value in sent.items() if key not in _NOT_SETTINGS}),
        finish=(whole_text(reason) if isinstance(reason, str) else "unknown",) if outputs else (),
        usage=exact(usage) if isinstance(usage, dict) else {},
        response_id=whole_text(said["id"]) if isinstance(said.get("id"), str) else None,
        about=COUNT_ONLY if counting else None,
        unknown=unknown((*messages, *outputs)),
        unparsed=request_fault or response_fault or answer.error,
    )


def _response(body: bytes, headers: Mapping[str, str]) -> tuple[Assembled, str | None]:
    try:
        plain = decode(body, headers.get("content-encoding"))
    except NotDecoded as fault:
        return Assembled(), f"the response cannot be read: {fault}"
    if not plain.strip():
        return Assembled(), "there is no response"
    if "text/event-stream" in headers.get("content-type", "") or plain.lstrip()[:5] in (b"data:", b"event"):
        return assemble(events(plain)), None
    try:
        answer = parse_json(plain)
    except NotJson as fault:
        return Assembled(), f"the response is no JSON: {fault}"
    if not isinstance(answer, dict):
        return Assembled(), "the response is no JSON object"
    if answer.get("type") == "error" or "error" in answer:
        return Assembled(), error_text(answer.get("error"))
    return Assembled(message=answer), None


def _answered(said: Mapping[str, Any]) -> bool:
    """Whether there is an answer: some block, or the word that it ended."""
    return bool(said.get("content") or said.get("stop_reason"))


def _beside(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a response says beside the fields a Call has a place for; unset ones left out."""
    return {key: value for key, value in said.items() if key not in _SAID and value is not None}


def _tools(tools: Any) -> tuple[Mapping[str, Any], ...]:
    """Tools a client defines in the form of `Call.tools`, the rest of their fields beside; others as they came."""
    found: list[Mapping[str, Any]] = []
    for tool in exact(tools) if isinstance(tools, list) else []:
        if not isinstance(tool, dict):
            continue
        if tool.get("type", "custom") not in ("custom", None) or "input_schema" not in tool:
            found.append(tool)
            continue
        function = {"name": tool.get("name"), "description": tool.get("description"),
                    "parameters": tool["input_schema"]}  # fmt: skip
        rest = {key: value for key, value in tool.items() if key not in ("type", "input_schema", *function)}
        form = {key: value for key, value in function.items() if value is not None}
        found.append({**rest, "type": "function", "function": form})
    return tuple(found)
