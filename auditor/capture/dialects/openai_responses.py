"""OpenAI Responses: recorded bytes of `/v1/responses` and its sub-routes -> one Call. Never raises for bytes.

What the sub-routes are:

=====================================  ==============================================================================
route                                  call
=====================================  ==============================================================================
POST /v1/responses                     a model call; in background mode its answer may come with a later GET
WEBSOCKET /v1/responses                the last `response.create` of the frames is the call (capture records each as
                                       one); earlier ones and what they gave stand before its messages
GET, cancel, DELETE of {id}            `about` = id: outputs (none for DELETE) replace those of that answer
GET …/{id}/input_items                 `about` = id, the listed items as messages in order
POST /v1/responses/compact             a model call whose output is what the context shall be replaced by: the
                                       compaction item, and the items that were kept (`kept_context`)
POST /v1/responses/input_tokens        `about` = COUNT_ONLY: counts, calls no model
=====================================  ==============================================================================

`instructions` become the first message, role system, its text marked `instructions` in `extra`: they are not
inherited through `previous_response_id`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from auditor.capture.dialects.bodies import (
    count_unknown,
    is_event_stream,
    json_object,
    plain_body,
    string,
    text_sequence,
)
from auditor.capture.dialects.openai_stream import error_text
from auditor.capture.dialects.responses_items import (
    KNOWN_FIELDS,
    KNOWN_KINDS,
    answer,
    input_messages,
)
from auditor.capture.dialects.responses_stream import CONTENT, TERMINAL, TOOLS, Assembled, assemble, event_texts
from auditor.capture.exact import NotJson, exact, parse_json
from auditor.capture.stream import SseEvent
from auditor.records.exchange import Exchange
from auditor.records.messages import COUNT_ONLY, Call, Message, Other, Text

_NOT_SETTINGS = {"input", "model", "tools", "instructions", "previous_response_id", "conversation", "type"}
_ABOUT = re.compile(r"/v1/responses/(?P<id>[^/?]+)(?P<rest>/cancel|/input_items)?/?(?:\?.*)?")


def moment(event: SseEvent) -> Literal["content", "tool"] | None:
    """What an event brings, by its name, or by the `type` in its data where a server leaves the name out."""
    name = event.event
    if name == "message":
        found = re.search(r'"type"\s*:\s*"([a-z_.]+)"', event.data[:4096])
        name = found[1] if found else ""
    family, _, verb = name.rpartition(".")
    if verb != "delta":
        return None
    return "tool" if family in TOOLS else "content" if family in CONTENT else None


def parse(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """The call in these bytes; `unparsed` names what was not understood (request first)."""
    about, rest = _about(exchange)
    if exchange.method == "WEBSOCKET":
        return _socket(record, exchange, request, response)
    sent: dict[str, Any] = {}
    request_fault: str | None = None
    if about is None or request.strip():
        plain, request_fault = plain_body(request, exchange.request_headers, "request")
        if request_fault is None:
            sent, request_fault = json_object(plain, "request")
    answered, response_fault = _response(response, exchange.response_headers)
    if about is not None and not response.strip():
        response_fault = None  # DELETE may answer with nothing
    call = _call(record, exchange, _Turn(sent=sent, answered=answered), ())
    call = replace(call, unparsed=request_fault or response_fault or answered.error)
    if about is None:
        return replace(call, about=COUNT_ONLY) if _tail(exchange) == "input_tokens" else call
    return _fetched(call, about, rest, exchange, answered)


@dataclass
class _Turn:
    """One request and what answered it."""

    sent: dict[str, Any] = field(default_factory=dict)
    answered: Assembled = field(default_factory=Assembled)


def _call(record: str, exchange: Exchange, turn: _Turn, before: tuple[Message, ...]) -> Call:
    sent, response = exact(turn.sent), exact(turn.answered.response)
    names: dict[str, str] = {}
    for message in before:
        names.update({part.call_id: part.name for part in message.parts if part.type == "tool_call" and part.call_id})
    own = input_messages(sent.get("input"), names)
    instructions = _instructions(sent.get("instructions"))
    output = exact(turn.answered.output)
    outputs = answer(output, dict(names))
    messages = (*instructions, *before, *own)
    named = sent.get("model") or response.get("model")
    conversation = sent.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    strange = count_unknown((*messages, *outputs), KNOWN_KINDS, KNOWN_FIELDS)
    usage = response.get("usage")
    return Call(
        record=record, model=named if isinstance(named, str) else exchange.model or "unknown", messages=messages,
        outputs=outputs, tools=tuple(_tools(sent.get("tools"))),
        settings={key: value for key, value in sent.items() if key not in _NOT_SETTINGS},
        finish=_finish(response), usage=usage if isinstance(usage, dict) else {},
        response_id=string(response.get("id")), previous=string(sent.get("previous_response_id")),
        conversation=string(conversation), unknown=strange + turn.answered.unknown,
        logprobs=_logprobs(output),
    )  # fmt: skip


def _fetched(call: Call, about: str, rest: str, exchange: Exchange, answered: Assembled) -> Call:
    if rest == "/input_items":
        rows = answered.response.get("data")
        items = rows if isinstance(rows, list) else []
        if "order=asc" not in exchange.path:
            items = items[::-1]  # newest first unless asked otherwise
        return replace(call, about=about, messages=input_messages(exact(items), {}), outputs=(), finish=(),
                       response_id=None)  # fmt: skip
    if exchange.method == "DELETE":
        return replace(call, about=about, outputs=(), finish=())
    return replace(call, about=about, previous=string(answered.response.get("previous_response_id")))


def _socket(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """All turns of one socket as one call: the last request, with the earlier turns before it."""
    turns: list[_Turn] = []
    others: list[Message] = []
    """Frames that create nothing (`response.steer`, binary ones), kept as they came."""
    fault: str | None = None
    for text in text_sequence(request):
        try:
            frame = parse_json(text)
        except NotJson as why:
            fault = f"a frame of the request is no JSON: {why}"
            continue
        if isinstance(frame, dict) and frame.get("type") in (None, "response.create"):
            body = frame.get("response")
            turns.append(_Turn(sent=body if isinstance(body, dict) else frame))
        else:
            said = exact(frame)
            kind = string(said.get("type")) if isinstance(said, dict) else None
            others.append(Message(role="other", parts=(Other(kind=kind or "frame", data=said),)))
    if not turns:
        turns, fault = [_Turn()], fault or "no frame of the request creates a response"
    # One stream per answer: each ends with its terminal event or an error.
    streams: list[list[str]] = [[]]
    for text in text_sequence(response):
        streams[-1].append(text)
        found = re.search(r'"type"\s*:\s*"([a-z_.]+)"', text[:4096])
        if found and found[1] in (*TERMINAL, "error"):
            streams.append([])
    for turn, texts in zip(turns, streams, strict=False):
        turn.answered = assemble(texts)
    before: tuple[Message, ...] = ()
    known: set[str] = set()
    first: str | None = None
    for number, turn in enumerate(turns[:-1]):
        call = _call(record, exchange, turn, before)
        first = call.previous if number == 0 else first
        skip = len(_instructions(exact(turn.sent.get("instructions"))))
        before = (*call.messages[skip:], *call.outputs)
        known |= {call.response_id} if call.response_id else set()
    last = turns[-1]
    follows = string(last.sent.get("previous_response_id")) in known
    call = _call(record, exchange, last, before if follows else ())
    if follows:
        call = replace(call, previous=first)
    call = replace(call, messages=(*call.messages, *others), unknown=call.unknown + len(others))
    silent = None if last.answered.response or last.answered.output else "there is no response"
    return replace(call, unparsed=fault or last.answered.error or silent)


def _about(exchange: Exchange) -> tuple[str | None, str]:
    """(id of the answer a sub-route is about, what follows it in the path)."""
    found = _ABOUT.fullmatch(exchange.path)
    if found is None or (exchange.method == "POST" and found["rest"] is None):
        return None, ""
    return found["id"], found["rest"] or ""


def _tail(exchange: Exchange) -> str:
    return exchange.path.partition("?")[0].rstrip("/").rpartition("/")[2]


def _response(body: bytes, headers: Mapping[str, str]) -> tuple[Assembled, str | None]:
    plain, fault = plain_body(body, headers, "response")
    if fault is not None:
        return Assembled(), fault
    if is_event_stream(plain, headers) and plain.strip():
        return assemble(event_texts(plain)), None
    answered, fault = json_object(plain, "response")
    output, error = answered.get("output"), answered.get("error")
    return Assembled(
        response=answered, output=output if isinstance(output, list) else [],
        error=error_text(error) if error else None,
    ), fault  # fmt: skip


def _instructions(sent: Any) -> tuple[Message, ...]:
    """The instructions as the first message; a stored prompt may give a list of items instead of a text."""
    if isinstance(sent, str) and sent:
        return (Message(role="system", parts=(Text(text=sent, extra={"instructions": True}),)),)
    return input_messages(sent, {}) if isinstance(sent, list) else ()


def _tools(sent: Any) -> list[dict[str, Any]]:
    """Function tools in chat's nested form; the provider's own tools as they were sent."""
    found: list[dict[str, Any]] = []
    for tool in sent if isinstance(sent, list) else []:
        if not isinstance(tool, dict):
            continue
        if tool.get("type") == "function" and "function" not in tool:
            body = {key: value for key, value in tool.items() if key != "type" and value is not None}
            tool = {"type": "function", "function": body}
        found.append(tool)
    return found


def _finish(response: Mapping[str, Any]) -> tuple[str, ...]:
    """completed, the reason of an incomplete answer, failed, cancelled, queued, in_progress; none without a status."""
    details = response.get("incomplete_details")
    reason = string(details.get("reason")) if isinstance(details, dict) else None
    status = string(response.get("status"))
    if status is None and response.get("object") == "response.compaction":
        status = "completed"
    found = reason or status
    return (found,) if found else ()


def _logprobs(output: Any) -> tuple[float, ...] | None:
    """Log-probabilities of all output texts in order, where every token of every text has one."""
    values: list[float] = []
    for item in output if isinstance(output, list) else []:
        pieces = item.get("content") if isinstance(item, dict) and item.get("type") == "message" else None
        for piece in pieces if isinstance(pieces, list) else []:
            if not isinstance(piece, dict) or piece.get("type") != "output_text" or not piece.get("text"):
                continue
            rows = piece.get("logprobs")
            for row in rows if isinstance(rows, list) and rows else [None]:
                value = row.get("logprob") if isinstance(row, dict) else None
                if not isinstance(value, int | float) or isinstance(value, bool):
                    return None
                values.append(float(value))
    return tuple(values) or None
