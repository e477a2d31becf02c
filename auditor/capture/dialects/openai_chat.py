"""OpenAI chat completions: recorded request and response bytes -> one Call. Never raises for what the bytes hold."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from auditor.capture.dialects.bodies import count_unknown, sent_messages, string
from auditor.capture.dialects.openai_parts import KNOWN_FIELDS, KNOWN_KINDS, message, with_extra
from auditor.capture.dialects.openai_stream import CHOICE, KNOWN, Assembled, assemble, error_text
from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.exact import NotJson, exact, parse_json
from auditor.capture.stream import SseEvent
from auditor.records.exchange import Exchange
from auditor.records.messages import Call, Message

_NOT_SETTINGS = {"messages", "model", "tools", "functions"}
_CONTENT = ("content", "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "refusal")


def error(text: str, code: str) -> dict[str, Any]:
    """OpenAI's error envelope."""
    return {"error": {"message": text, "type": "auditor_error", "param": None, "code": code}}


def moment(event: SseEvent) -> Literal["content", "tool"] | None:
    """What a chunk brings. Looks at the text only as far as needed; a chunk that is no JSON brings nothing."""
    if '"delta"' not in event.data:
        return None
    try:
        body = parse_json(event.data)
    except NotJson:
        return None
    rows = body.get("choices") if isinstance(body, dict) else None
    found = [row.get("delta") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    deltas = [delta for delta in found if isinstance(delta, dict)]
    if any(delta.get("tool_calls") or delta.get("function_call") for delta in deltas):
        return "tool"
    return "content" if any(delta.get(field) for delta in deltas for field in _CONTENT) else None


def parse(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """The call in these bytes.

    `unparsed` names what was not understood (request first); everything that was understood is there all the same.
    """
    sent, request_fault = sent_messages(request, exchange.request_headers)
    answer, response_fault = _response(response, exchange.response_headers)
    tool_names: dict[str, str] = {}
    rows = sent.get("messages")
    messages = tuple(message(row, tool_names) for row in exact(rows if isinstance(rows, list) else []))
    choices = [row for row in exact(answer.choices) if isinstance(row, dict)]
    rest = {"response": exact(answer.rest)} if answer.rest else {}
    outputs = tuple(_output(row, dict(tool_names), {} if place else rest) for place, row in enumerate(choices))
    named = sent.get("model") or answer.model
    return Call(
        record=record,
        model=exact(named) if isinstance(named, str) else "unknown",
        messages=messages,
        outputs=outputs,
        tools=tuple(exact(_tools(sent))),
        settings=exact({key: value for key, value in sent.items() if key not in _NOT_SETTINGS}),
        finish=tuple(_finish(row) for row in choices),
        usage=exact(answer.usage),
        response_id=exact(answer.id) if answer.id else None,
        unknown=count_unknown((*messages, *outputs), KNOWN_KINDS, KNOWN_FIELDS),
        logprobs=_logprobs(choices),
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
        return assemble(plain), None
    try:
        answer = parse_json(plain)
    except NotJson as fault:
        return Assembled(), f"the response is no JSON: {fault}"
    if not isinstance(answer, dict):
        return Assembled(), "the response is no JSON object"
    rows, usage, model = answer.get("choices"), answer.get("usage"), answer.get("model")
    return Assembled(
        choices=rows if isinstance(rows, list) else [],
        model=model if isinstance(model, str) else None,
        usage=usage if isinstance(usage, dict) else {},
        id=string(answer.get("id")),
        rest={key: value for key, value in answer.items() if key not in KNOWN and value not in (None, [], {})},
        error=error_text(answer["error"]) if answer.get("error") else None,
    ), None


def _output(row: Mapping[str, Any], tool_names: dict[str, str], more: Mapping[str, object]) -> Message:
    said = message(row.get("message") or {}, tool_names, default_role="assistant")
    beside = {key: value for key, value in row.items() if key not in CHOICE and value not in (None, [], {})}
    if beside:
        more = {**more, "choice": beside}
    # Without a part to hold them these are no message of their own: the answer said nothing.
    return replace(said, parts=with_extra(said.parts, more)) if said.parts else said


def _finish(row: Mapping[str, Any]) -> str:
    reason = row.get("finish_reason")
    return reason if isinstance(reason, str) else "unknown"


def _tools(sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tool schemas in today's form; the older `functions` are wrapped."""
    tools, functions = sent.get("tools"), sent.get("functions")
    found = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    old = [one for one in functions if isinstance(one, dict)] if isinstance(functions, list) else []
    return found + [{"type": "function", "function": one} for one in old]


def _logprobs(choices: list[dict[str, Any]]) -> tuple[float, ...] | None:
    """Log-probabilities of choice 0's output tokens, where every token has one."""
    if not choices or not isinstance(choices[0].get("logprobs"), dict):
        return None
    rows = choices[0]["logprobs"].get("content")
    if not isinstance(rows, list) or not rows:
        return None
    values = [row.get("logprob") if isinstance(row, dict) else None for row in rows]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return None
    return tuple(float(value) for value in values if value is not None)
