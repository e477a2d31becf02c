"""JSON Lines of OpenAI or Anthropic conversations.

A line is one of:

- `{"messages": […], "tools": […], …}`: a whole conversation;
- `{"request": {…}, "response": {…}}`: one call, bodies as on the wire (`response` may be the text of an event stream).

Both are read by the wire dialects. Calls of one agent repeat what was said before: a call whose context another one
goes on from is part of that other one's run, so a tool loop of ten lines is one run. That needs a first pass over the
file, which keeps one hash and the usage of each line.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.capture.dialects import anthropic_messages, openai_chat, openai_responses
from auditor.capture.dialects.catalogue import Parse
from auditor.capture.exact import whole_text
from auditor.capture.importers.imported import Imported
from auditor.capture.importers.rows import Progress, Row, Source, rows, silent
from auditor.errors import BadInput
from auditor.records.exchange import Exchange, Joins, MessageUsage, Times
from auditor.records.messages import Call, Message, message_id

OPENAI, ANTHROPIC = "openai_jsonl", "anthropic_jsonl"
_WHAT = {
    OPENAI: 'JSON Lines of {"messages": […]} or {"request": {…}, "response": {…}} in OpenAI\'s form',
    ANTHROPIC: 'JSON Lines of {"messages": […]} or {"request": {…}, "response": {…}} in Anthropic\'s form',
}
_NAMES = ("run", "id", "custom_id", "conversation_id", "session_id")
"""Fields of a line that may name its run."""
_MOST_FACT = 2**16
"""Bytes of JSON; larger fields beside the messages are left out and counted."""
_MOST_USAGE = 2**12
"""Bytes of JSON; a larger usage is none, and one is kept in memory for each line."""


def read_openai(source: Source, progress: Progress = silent) -> Iterator[Imported]:
    return _read(source, OPENAI, progress)


def read_anthropic(source: Source, progress: Progress = silent) -> Iterator[Imported]:
    return _read(source, ANTHROPIC, progress)


def _read(source: Source, form: str, progress: Progress) -> Iterator[Imported]:
    """Runs of a file; BadInput names the line and field that are wrong."""
    ends: dict[str, str] = {}
    """Id of the last message of a call -> the line it ends."""
    continued: set[str] = set()
    used: dict[str, tuple[str, Mapping[str, object]]] = {}
    """Id of the last message of a call -> the model that gave it and the usage."""
    for row in rows(source, _WHAT[form], lambda done, total: progress(done // 2, total), keys=("messages", "request")):
        call = _call(row, form)
        own, continues = None, None
        for message in (*call.messages, *call.outputs[:1]):
            own = message_id(message, own)
            if own in ends:
                continues = ends[own]
        if continues is not None:
            continued.add(continues)
        if own is not None:
            ends[own] = row.where
            if call.outputs and call.usage and len(_json(call.usage)) <= _MOST_USAGE:
                used[own] = (call.model, call.usage)
    for row in rows(
        source, _WHAT[form], lambda done, total: progress((total + done) // 2, total), keys=("messages", "request")
    ):
        if row.where not in continued:
            yield _imported(row, form, _call(row, form), used)


def _call(row: Row, form: str) -> Call:
    value, what = row.value, _WHAT[form]
    if isinstance(value.get("messages"), list):
        return _parsed(value, b"", form)
    sent = value.get("request")
    if not isinstance(sent, dict):
        raise BadInput(f"{row.where}.messages", "is missing or no list, and there is no `request`", f"give {what}")
    sent = sent.get("body", sent) if isinstance(sent.get("body"), dict) else sent
    if not isinstance(sent.get("messages"), list) and not (form == OPENAI and sent.get("input")):
        raise BadInput(f"{row.where}.request.messages", "is missing or no list", f"give {what}")
    gave = value.get("response")
    if gave is not None and not isinstance(gave, (dict, str)):
        raise BadInput(f"{row.where}.response", "is neither an object nor text", f"give {what}")
    if isinstance(gave, dict) and isinstance(gave.get("body"), dict):
        gave = gave["body"]
    answer = b"" if gave is None else gave.encode() if isinstance(gave, str) else _json(gave)
    return _parsed(sent, answer, form)


def _parsed(sent: Mapping[str, Any], answer: bytes, form: str) -> Call:
    parse: Parse = anthropic_messages.parse
    path = "/v1/messages"
    if form == OPENAI:
        chat = isinstance(sent.get("messages"), list)
        parse = openai_chat.parse if chat else openai_responses.parse
        path = "/v1/chat/completions" if chat else "/v1/responses"
    return parse("", _exchange(path), _json(sent), answer)


def _usages(
    messages: tuple[Message, ...], dialect: str, used: Mapping[str, tuple[str, Mapping[str, object]]]
) -> Iterator[MessageUsage]:
    own: str | None = None
    for place, message in enumerate(messages):
        own = message_id(message, own)
        if message.role == "assistant" and own in used:
            model, usage = used[own]
            yield MessageUsage(message=place, dialect=dialect, model=model, usage=usage)


def _dialect(row: Row, form: str) -> str:
    """Name of the wire dialect a line is read in."""
    if form == ANTHROPIC:
        return "anthropic_messages"
    if isinstance(row.value.get("messages"), list):
        return "openai_chat"
    sent = row.value["request"]
    sent = sent["body"] if isinstance(sent.get("body"), dict) else sent
    return "openai_chat" if isinstance(sent.get("messages"), list) else "openai_responses"


def _imported(
    row: Row, form: str, call: Call, used: Mapping[str, tuple[str, Mapping[str, object]]]
) -> Imported:
    messages: tuple[Message, ...] = (*call.messages, *call.outputs[:1])
    if not messages:
        raise BadInput(f"{row.where}.messages", "is empty", f"give {_WHAT[form]}")
    value = row.value
    named = next((value[name] for name in _NAMES if isinstance(value.get(name), str) and value[name]), None)
    facts: dict[str, object] = {}
    for key, one in value.items():
        if key not in ("messages", "tools", "request", "response", "system", "model", "functions"):
            facts[key] = one if len(_json(one)) <= _MOST_FACT else "too large to keep"
    if call.usage:
        facts["usage"] = call.usage
    if call.settings and "request" in value:
        facts["settings"] = call.settings
    if call.unparsed and (value.get("response") is not None):
        facts["unparsed"] = whole_text(call.unparsed)  # it may quote the answer
    digest = hashlib.sha256(_json([named, [vars_of(one) for one in messages]])).hexdigest()[:16]
    return Imported(
        format=form, run=named or f"{form}/{digest}", model=call.model, messages=messages, tools=call.tools,
        facts=facts, usages=tuple(_usages(messages, _dialect(row, form), used)),
    )  # fmt: skip


def vars_of(message: Message) -> Any:
    """A message as JSON, for its digest."""
    return [message.role, message.name, [vars(part) for part in message.parts]]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict).encode("utf-8", "surrogatepass")


def _exchange(path: str) -> Exchange:
    """What a dialect needs to know beside the bytes."""
    return Exchange(
        dialect=None, method="POST", path=path, upstream="none", status=200, outcome="complete", request=None,
        response=None, request_headers={}, response_headers={},
        times=Times(started="unknown", upstream_headers=None, first_byte=None, last_byte=None), joins=Joins(),
        model=None, model_digest="unknown", relayed=0,
    )  # fmt: skip
