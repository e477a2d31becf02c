"""Masking of OTLP requests before anything of them is stored.

A request in which no rule can match stays the bytes it came as. Else its texts are masked one by one (names, statuses,
attribute values, bodies; ids are left alone), unknown Protobuf fields are dropped, and the request is written anew in
its own encoding: that form is what is stored and read.
"""

import base64
import binascii
import json
import re
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture.exact import NotJson, parse_json
from auditor.capture.redact import Fingerprint, Masker, Rules, merged
from auditor.records.exchange import Redaction

_IDS = {"trace_id", "span_id", "parent_span_id", "traceId", "spanId", "parentSpanId"}
_ID = re.compile(r"[0-9A-Fa-f]{16}|[0-9A-Fa-f]{32}")
"""What is no such id is masked like any text: the request is stored whole, also where the span is refused."""
_ID_SIZES = (8, 16)
_BYTES = "bytesValue"
_BACKSLASH = b"\x00"
"""In place of an escaped one, while the others are undone; JSON has no such byte."""
_ESCAPES = (
    (b'\\"', b'"'), (b"\\/", b"/"), (b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"), (b"\\b", b"\b"), (b"\\f", b"\f"),
)  # fmt: skip
_UNITS = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})+")
MOST_DEPTH = 120
"""Deeper nesting is refused by both readers; here it is masked as one text."""

Found = list[tuple[Redaction, ...]]


def mask_request(
    body: bytes, signal: str, as_json: bool, rules: Rules, fingerprint: Fingerprint
) -> tuple[bytes, tuple[Redaction, ...]]:
    """The request with everything masked, and what was found. Bytes that are no OTLP come back as they are."""
    text = body
    if as_json and b"\\" in body and not (rules.plain and b"\\u" not in body):
        text = _unescaped(body, whole=not rules.plain)  # an escape may hide what a rule looks for
    binary = as_json and _BYTES.encode() in text
    if not (binary or rules.may_hold(text)):
        return body, ()
    found: Found = []
    kept = _json(body, rules, fingerprint, found) if as_json else _protobuf(body, signal, rules, fingerprint, found)
    return (kept, merged(*found)) if found else (body, ())


def _unescaped(body: bytes, whole: bool = True) -> bytes:
    """A JSON text with the escapes of its strings undone where they stand: every string of it is in there as it is.
    Not `whole`: except for the escapes of two characters."""
    text = body.replace(b"\\\\", _BACKSLASH)
    for escape, char in _ESCAPES if whole else ():
        text = text.replace(escape, char)
    if b"\\u" in text:
        text = _UNITS.sub(lambda run: json.loads(b'"%b"' % run[0]).encode("utf-8", "surrogatepass"), text)
    return text.replace(_BACKSLASH, b"\\")


def _mask(text: bytes, rules: Rules, fingerprint: Fingerprint, found: Found) -> bytes | None:
    """The masked text, or None where nothing was found in it."""
    if not rules.may_hold(text):
        return None
    masker = Masker(rules, fingerprint, "request")
    kept = masker.whole(text)
    if not masker.found:
        return None
    found.append(masker.found)
    return kept


class _Pairs(dict[str, Any]):
    """A JSON object that keeps every pair, also of a key that comes twice; the encoder writes what `items` gives."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> list[tuple[str, Any]]:  # type: ignore[override]
        return self._pairs


def _json(body: bytes, rules: Rules, fingerprint: Fingerprint, found: Found) -> bytes:
    try:
        orjson.loads(body)  # strict about surrogates; but it makes floats of integers beyond 64 bits
        form = parse_json(body, _Pairs)
    except NotJson:
        return body
    except orjson.JSONDecodeError:
        try:
            parse_json(body)
        except NotJson:
            return body  # it will be refused, and nothing of it stored
        return _mask(body, rules, fingerprint, found) or body  # with torn surrogates, say: masked as it stands

    def walk(value: Any, name: str, depth: int) -> Any:
        if depth > MOST_DEPTH:
            return None
        if isinstance(value, _Pairs):
            return _Pairs([(_text(key), walk(inner, key, depth + 1)) for key, inner in value.items()])
        if isinstance(value, list):
            return [walk(inner, name, depth + 1) for inner in value]
        if not isinstance(value, str) or (name in _IDS and _ID.fullmatch(value)):
            return value
        if name == _BYTES:
            return _bytes_text(value)
        return _text(value)

    def _text(value: str) -> str:
        kept = _mask(value.encode(), rules, fingerprint, found)
        return value if kept is None else kept.decode("utf-8", "replace")

    def _bytes_text(value: str) -> str:
        try:
            kept = _mask(base64.b64decode(value, validate=True), rules, fingerprint, found)
        except (binascii.Error, ValueError):
            return _text(value)
        return value if kept is None else base64.b64encode(kept).decode()

    kept = walk(form, "", 0)
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() if found else body


def _protobuf(body: bytes, signal: str, rules: Rules, fingerprint: Fingerprint, found: Found) -> bytes:
    form = ExportTraceServiceRequest if signal == "traces" else ExportLogsServiceRequest
    try:
        request = form.FromString(body)
    except DecodeError:
        return body  # it will be refused, and nothing of it stored
    unknown = request.SerializeToString()
    request.DiscardUnknownFields()
    if request.SerializeToString() != unknown and _mask(body, rules, fingerprint, []) is not None:
        found.append(())  # what rules found may lie in a field nobody knows: those go
    _message(request, rules, fingerprint, found)
    return bytes(request.SerializeToString()) if found else body


def _message(message: Message, rules: Rules, fingerprint: Fingerprint, found: Found) -> None:
    for field, value in message.ListFields():
        many = not isinstance(value, (str, bytes, int, float, bool)) and hasattr(value, "__len__")
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if many else (value,):
                _message(inner, rules, fingerprint, found)
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            if field.name in _IDS and len(value) in _ID_SIZES:
                continue
            for place, text in enumerate(value if many else (value,)):
                data = text.encode() if isinstance(text, str) else text
                kept = _mask(data, rules, fingerprint, found)
                if kept is None:
                    continue
                own = kept.decode("utf-8", "replace") if isinstance(text, str) else kept
                if many:
                    value[place] = own
                else:
                    setattr(message, field.name, own)
