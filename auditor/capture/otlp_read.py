"""OTLP requests, protobuf or JSON -> bodies of `span` and `log` records, item by item: one bad item does not cost the
others.

Bodies are made at once in the wire form of records.telemetry's values: on this path each value would be built only to
be taken apart again. The JSON reader is our own because Protobuf's reads OTLP's hexadecimal ids as base64.
"""

import base64
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture.exact import NotJson, parse_json, whole_text
from auditor.errors import BadInput
from auditor.records.times import time_text

Signal = Literal["traces", "logs"]
STATUS = {0: "unset", 1: "ok", 2: "error"}
MOST_DEPTH = 48
"""Lists and maps in an attribute; deeper ones are refused with their item (Protobuf's own reader stops near here)."""
_SAFE = 2**53
_INT32 = 2**31
_HEX = re.compile("[0-9a-fA-F]*")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_EVENT_NAME = "event.name"


class _BadItem(Exception):
    """Why one span or log record cannot be accepted."""


@dataclass(kw_only=True)
class ReadBatch:
    """`items` are bodies of records; `reasons` has one sentence per rejected item."""

    items: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def read_protobuf(body: bytes, signal: Signal = "traces") -> ReadBatch:
    """Items of an export request; BadInput when the bytes are none."""
    form = ExportTraceServiceRequest if signal == "traces" else ExportLogsServiceRequest
    try:
        request = form.FromString(body)
    except DecodeError as fault:
        raise BadInput("body", f"is no {form.__name__}: {fault}", "send OTLP protobuf") from fault
    batch = ReadBatch()
    if signal == "traces":
        for group in request.resource_spans:
            resource = _outside(lambda g=group: _proto_pairs(g.resource.attributes, 0))
            for scope in group.scope_spans:
                _proto_items(batch, scope.spans, resource, scope.scope.name, signal)
    else:
        for group in request.resource_logs:
            resource = _outside(lambda g=group: _proto_pairs(g.resource.attributes, 0))
            for scope in group.scope_logs:
                _proto_items(batch, scope.log_records, resource, scope.scope.name, signal)
    return batch


def read_json(body: bytes, signal: Signal = "traces") -> ReadBatch:
    """Items of an OTLP/JSON request: ids are hex text there, not base64. BadInput when the body is none."""
    request = _object(_parsed(body), "body")
    groups, scopes, items = _JSON_NAMES[signal]
    batch = ReadBatch()
    for group in _rows(request, groups):
        resource = _outside(lambda g=group: _json_attributes(_part(g, "resource"), 0))
        for scope in _rows(group, scopes):
            name = _part(scope, "scope").get("name")
            name = whole_text(name) if isinstance(name, str) and name else None
            for item in _rows(scope, items):
                try:
                    batch.items.append(
                        _json_span(item, resource, name) if signal == "traces" else _json_log(item, resource, name)
                    )
                except _BadItem as fault:
                    batch.reasons.append(str(fault))
                except BadInput as fault:
                    batch.reasons.append(f"{fault.field} {fault.problem}")
    return batch


_JSON_NAMES = {
    "traces": ("resourceSpans", "scopeSpans", "spans"), "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}  # fmt: skip


def _parsed(body: bytes) -> Any:
    """JSON by the fast reader; what it refuses is read again by the one that says why (or accepts torn surrogates)."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return parse_json(body)
        except NotJson as fault:
            raise BadInput("body", f"is no JSON: {fault}", "send OTLP/JSON") from fault


def _outside(read: Any) -> dict[str, Any]:
    """A resource's attributes; nothing of the group can be read without them."""
    try:
        return read()  # type: ignore[no-any-return]
    except _BadItem as fault:
        raise BadInput("resource", str(fault), "send OTLP") from fault


# --- protobuf


def _proto_items(batch: ReadBatch, rows: Iterable[Any], resource: dict[str, Any], scope: str, signal: Signal) -> None:
    make = _proto_span if signal == "traces" else _proto_log
    for row in rows:
        try:
            batch.items.append(make(row, resource, scope or None))
        except _BadItem as fault:
            batch.reasons.append(str(fault))


def _proto_span(span: Any, resource: dict[str, Any], scope: str | None) -> dict[str, Any]:
    status = span.status
    return {
        "trace_id": _bytes_id(span.trace_id, 16, "trace_id"), "span_id": _bytes_id(span.span_id, 8, "span_id"),
        "parent_span_id": _bytes_id(span.parent_span_id, 8, "parent_span_id") if span.parent_span_id else None,
        "name": span.name, "kind": span.kind, "started": _time(span.start_time_unix_nano),
        "ended": _time(span.end_time_unix_nano), "attributes": _proto_pairs(span.attributes, 0), "resource": resource,
        "scope": scope, "status": _status(status.code), "status_message": status.message or None,
        "events": [
            {"name": row.name, "at": _time(row.time_unix_nano), "attributes": _proto_pairs(row.attributes, 0)}
            for row in span.events
        ],
        "links": [
            {"trace_id": _bytes_id(row.trace_id, 16, "link trace_id"),
             "span_id": _bytes_id(row.span_id, 8, "link span_id"), "attributes": _proto_pairs(row.attributes, 0)}
            for row in span.links
        ],
    }  # fmt: skip


def _proto_log(log: Any, resource: dict[str, Any], scope: str | None) -> dict[str, Any]:
    attributes = _proto_pairs(log.attributes, 0)
    return {
        "trace_id": _optional_id(log.trace_id.hex(), 32, "trace_id"),
        "span_id": _optional_id(log.span_id.hex(), 16, "span_id"), "time": _time(log.time_unix_nano),
        "observed": _time(log.observed_time_unix_nano), "severity": log.severity_number,
        "severity_text": log.severity_text or None, "event": _event(log.event_name, attributes),
        "body": _proto_value(log.body, 0), "attributes": attributes, "resource": resource, "scope": scope,
    }  # fmt: skip


def _proto_pairs(rows: Iterable[Any], depth: int) -> dict[str, Any]:
    found = {}
    for row in rows:
        value = row.value
        # most attributes are text: one look at it is cheaper than asking which kind it is
        found[row.key] = value.string_value or _proto_value(value, depth)
    return found


def _proto_value(value: Any, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return _whole(value.int_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        return _float(value.double_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if depth >= MOST_DEPTH:
        raise _BadItem("an attribute is nested too deeply")
    if kind == "array_value":
        return [_proto_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _proto_pairs(value.kvlist_value.values, depth + 1)
    return None


# --- JSON


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(name, "is no object", "send OTLP/JSON")
    return value


def _part(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object inside another; an absent one is empty."""
    value = holder.get(name)
    return {} if value is None else _object(value, name)


def _rows(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = holder.get(name)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise BadInput(name, "is no list", "send OTLP/JSON")
    for row in rows:
        if not isinstance(row, dict):
            raise BadInput(name, "is no object", "send OTLP/JSON")
    return rows


def _json_span(span: Mapping[str, Any], resource: dict[str, Any], scope: str | None) -> dict[str, Any]:
    status = _part(span, "status")
    parent = span.get("parentSpanId")
    return {
        "trace_id": _trace_id(span.get("traceId"), "traceId"), "span_id": _span_id(span.get("spanId"), "spanId"),
        "parent_span_id": _span_id(parent, "parentSpanId") if parent else None,
        "name": _text(span.get("name"), "name"), "kind": _enum(span.get("kind"), "kind"),
        "started": _json_time(span, "startTimeUnixNano"), "ended": _json_time(span, "endTimeUnixNano"),
        "attributes": _json_attributes(span, 0), "resource": resource, "scope": scope,
        "status": _status(_enum(status.get("code"), "status.code")),
        "status_message": _text(status.get("message"), "status.message") or None,
        "events": [
            {"name": _text(row.get("name"), "event name"), "at": _json_time(row, "timeUnixNano"),
             "attributes": _json_attributes(row, 0)}
            for row in _rows(span, "events")
        ],
        "links": [
            {"trace_id": _trace_id(row.get("traceId"), "link traceId"),
             "span_id": _span_id(row.get("spanId"), "link spanId"), "attributes": _json_attributes(row, 0)}
            for row in _rows(span, "links")
        ],
    }  # fmt: skip


def _json_log(log: Mapping[str, Any], resource: dict[str, Any], scope: str | None) -> dict[str, Any]:
    attributes = _json_attributes(log, 0)
    return {
        "trace_id": _optional_id(log.get("traceId"), 32, "traceId"),
        "span_id": _optional_id(log.get("spanId"), 16, "spanId"), "time": _json_time(log, "timeUnixNano"),
        "observed": _json_time(log, "observedTimeUnixNano"),
        "severity": _enum(log.get("severityNumber"), "severityNumber"),
        "severity_text": _text(log.get("severityText"), "severityText") or None,
        "event": _event(log.get("eventName"), attributes), "body": _json_value(log.get("body"), 0),
        "attributes": attributes, "resource": resource, "scope": scope,
    }  # fmt: skip


def _json_attributes(holder: Mapping[str, Any], depth: int, name: str = "attributes") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in _rows(holder, name):
        key, value = row.get("key"), row.get("value")
        if type(value) is dict and len(value) == 1 and type(key) is str and key.isascii():
            # most attributes are one plain text: a look at it is cheaper than asking which kind it is
            inner = value.get("stringValue")
            if type(inner) is str and inner.isascii():
                found[key] = inner
                continue
        found[_text(key, "key")] = _json_value(value, depth)
    return found


def _json_value(value: Any, depth: int) -> Any:
    """An AnyValue in its JSON form; integers come as text there. Kinds this version does not know become None."""
    if not isinstance(value, dict) or not value:
        return None
    kind, inner = next(iter(value.items()))
    if kind == "stringValue":
        return _text(inner, kind)
    if kind == "intValue":
        return _whole(_integer(inner, kind))
    if kind == "boolValue":
        return inner if isinstance(inner, bool) else _text(inner, kind)
    if kind == "doubleValue":
        return _float(inner) if isinstance(inner, float) else _number(inner)
    if kind == "bytesValue":
        return _text(inner, kind)
    if depth >= MOST_DEPTH:
        raise _BadItem("an attribute is nested too deeply")
    if kind == "arrayValue":
        holder = _object(inner, kind).get("values") or []
        return [_json_value(item, depth + 1) for item in holder] if isinstance(holder, list) else None
    if kind == "kvlistValue":
        return _json_attributes(_object(inner, kind), depth + 1, "values")
    return None


def _text(value: Any, name: str) -> str:
    """Text; an absent one is empty."""
    if isinstance(value, str):
        return value if value.isascii() else whole_text(value)
    if value is None:
        return ""
    raise _BadItem(f"{name} is no text")


def _number(value: Any) -> Any:
    """A doubleValue that is not written as a float: a whole number, or `NaN` and `Infinity` as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _whole(value)
    return _text(value, "doubleValue")


def _integer(value: Any, name: str) -> int:
    if isinstance(value, str) and len(value) <= 32:
        try:
            return int(value)
        except ValueError:
            pass
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _BadItem(f"{name} is no integer")


def _enum(value: Any, name: str) -> int:
    """An enum's number; an absent one is 0, an unknown one stays what it is."""
    number = 0 if value is None else _integer(value, name)
    if not -_INT32 <= number < _INT32:
        raise _BadItem(f"{name} {number} is out of range")
    return number


def _json_time(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return None if value is None else _time(_integer(value, name))


# --- both


def _trace_id(text: Any, name: str) -> str:
    return _id(text, 32, name)


def _span_id(text: Any, name: str) -> str:
    return _id(text, 16, name)


def _id(text: Any, digits: int, name: str) -> str:
    """Lower-case hex of the right length that is not all zeros."""
    if not isinstance(text, str) or len(text) != digits or not _HEX.fullmatch(text):
        raise _BadItem(f"{name} is not {digits} hex digits")
    if text in (_NO_TRACE, _NO_SPAN):
        raise _BadItem(f"{name} is all zeros")
    return text.lower()


def _bytes_id(data: bytes, size: int, name: str) -> str:
    """The same from bytes."""
    if len(data) != size:
        raise _BadItem(f"{name} is not {2 * size} hex digits")
    if not any(data):
        raise _BadItem(f"{name} is all zeros")
    return data.hex()


def _optional_id(text: Any, digits: int, name: str) -> str | None:
    """A log record's id; absent, empty or all zeros when it belongs to no span."""
    return None if text is None or text == "" or text == "0" * digits else _id(text, digits, name)


def _event(name: Any, attributes: Mapping[str, Any]) -> str | None:
    if isinstance(name, str) and name:
        return whole_text(name)
    older = attributes.get(_EVENT_NAME)
    return older if isinstance(older, str) and older else None


def _status(code: int) -> str:
    return STATUS.get(code) or f"unknown_{code}"


def _whole(value: int) -> int | str:
    return value if -_SAFE <= value <= _SAFE else str(value)


def _float(value: float) -> float | int | str:
    """A finite float; whole ones as integers (their canonical bytes are the same), others as text."""
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) <= _SAFE else value


def _time(unix_ns: int) -> str | None:
    """RFC 3339 text; zero means that no time was given."""
    if unix_ns == 0:
        return None
    try:
        return time_text(unix_ns)
    except (ValueError, OverflowError, OSError) as fault:
        raise _BadItem(f"time {unix_ns} is out of range") from fault
