"""OTLP trace requests, protobuf or JSON -> span values, span by span: one bad span does not cost the others."""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture.exact import NotJson, exact, parse_json
from auditor.errors import BadInput
from auditor.records.telemetry import SpanEvent, SpanLink, TelemetrySpan
from auditor.records.times import time_text

STATUS = {0: "unset", 1: "ok", 2: "error"}
_HEX = set("0123456789abcdef")


class _BadSpan(Exception):
    """Why one span cannot be accepted."""


@dataclass(kw_only=True)
class ReadBatch:
    spans: list[TelemetrySpan] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """One per rejected span."""


def read_protobuf(body: bytes) -> ReadBatch:
    """Spans of an ExportTraceServiceRequest; BadInput when the bytes are none."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as fault:
        raise BadInput("body", f"is no ExportTraceServiceRequest: {fault}", "send OTLP protobuf") from fault
    batch = ReadBatch()
    for group in request.resource_spans:
        resource = _pairs((row.key, _proto_value(row.value)) for row in group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                _take(batch, lambda s=span, r=resource, n=scope.scope.name: _proto_span(s, r, n))  # type: ignore[misc]
    return batch


def read_json(body: bytes) -> ReadBatch:
    """Spans of an OTLP/JSON request: ids are hex text there, not base64. BadInput when the body is none."""
    try:
        request = exact(parse_json(body))
    except NotJson as fault:
        raise BadInput("body", f"is no JSON: {fault}", "send OTLP/JSON") from fault
    batch = ReadBatch()
    for group in _rows(_object(request, "body"), "resourceSpans"):
        resource = _json_attributes(_part(group, "resource"))
        for scope in _rows(group, "scopeSpans"):
            name = _part(scope, "scope").get("name")
            for span in _rows(scope, "spans"):
                _take(batch, lambda s=span, r=resource, n=name: _json_span(s, r, n))  # type: ignore[misc]
    return batch


def _take(batch: ReadBatch, make: Callable[[], TelemetrySpan]) -> None:
    try:
        batch.spans.append(make())
    except _BadSpan as fault:
        batch.reasons.append(str(fault))


# --- protobuf


def _proto_span(span: Any, resource: Mapping[str, object], scope: str) -> TelemetrySpan:
    return TelemetrySpan(
        trace_id=_id(span.trace_id.hex(), 32, "trace_id"), span_id=_id(span.span_id.hex(), 16, "span_id"),
        parent_span_id=_id(span.parent_span_id.hex(), 16, "parent_span_id") if span.parent_span_id else None,
        name=span.name, kind=span.kind, started=_time(span.start_time_unix_nano),
        ended=_time(span.end_time_unix_nano), attributes=_proto_attributes(span.attributes), resource=resource,
        scope=scope or None, status=STATUS.get(span.status.code, "unset"),
        status_message=span.status.message or None,
        events=tuple(
            SpanEvent(name=row.name, at=_time(row.time_unix_nano), attributes=_proto_attributes(row.attributes))
            for row in span.events
        ),
        links=tuple(
            SpanLink(trace_id=_id(row.trace_id.hex(), 32, "link trace_id"),
                     span_id=_id(row.span_id.hex(), 16, "link span_id"), attributes=_proto_attributes(row.attributes))
            for row in span.links
        ),
    )  # fmt: skip


def _proto_attributes(rows: Iterable[Any]) -> dict[str, object]:
    return _pairs((row.key, _proto_value(row.value)) for row in rows)


def _proto_value(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_proto_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _pairs((row.key, _proto_value(row.value)) for row in value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return exact(getattr(value, kind))  # type: ignore[no-any-return]


def _pairs(rows: Iterable[tuple[str, object]]) -> dict[str, object]:
    return dict(rows)


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
    return [_object(row, name) for row in rows]


def _json_span(span: Mapping[str, Any], resource: Mapping[str, object], scope: Any) -> TelemetrySpan:
    try:
        status = _part(span, "status")
        parent = span.get("parentSpanId")
        return TelemetrySpan(
            trace_id=_id(span.get("traceId"), 32, "traceId"), span_id=_id(span.get("spanId"), 16, "spanId"),
            parent_span_id=_id(parent, 16, "parentSpanId") if parent else None,
            name=str(span.get("name", "")), kind=_integer(span.get("kind", 0), "kind"),
            started=_time(_integer(span.get("startTimeUnixNano", 0), "startTimeUnixNano")),
            ended=_time(_integer(span.get("endTimeUnixNano", 0), "endTimeUnixNano")),
            attributes=_json_attributes(span), resource=resource,
            scope=scope if isinstance(scope, str) and scope else None,
            status=STATUS.get(_integer(status.get("code", 0), "status.code"), "unset"),
            status_message=status.get("message") if isinstance(status.get("message"), str) else None,
            events=tuple(
                SpanEvent(name=str(row.get("name", "")), attributes=_json_attributes(row),
                          at=_time(_integer(row.get("timeUnixNano", 0), "timeUnixNano")))
                for row in _rows(span, "events")
            ),
            links=tuple(
                SpanLink(trace_id=_id(row.get("traceId"), 32, "link traceId"),
                         span_id=_id(row.get("spanId"), 16, "link spanId"), attributes=_json_attributes(row))
                for row in _rows(span, "links")
            ),
        )  # fmt: skip
    except BadInput as fault:
        raise _BadSpan(f"{fault.field} {fault.problem}") from fault


def _json_attributes(holder: Mapping[str, Any]) -> dict[str, object]:
    return {str(row.get("key", "")): _json_value(row.get("value")) for row in _rows(holder, "attributes")}


def _json_value(value: Any) -> object:
    """An AnyValue in its JSON form; integers come as text there."""
    if not isinstance(value, dict) or not value:
        return None
    kind, inner = next(iter(value.items()))
    if kind == "intValue":
        return exact(_integer(inner, "intValue"))  # type: ignore[no-any-return]
    if kind == "arrayValue":
        holder = _object(inner, "arrayValue").get("values") or []
        return [_json_value(item) for item in holder] if isinstance(holder, list) else None
    if kind == "kvlistValue":
        rows = _rows(_object(inner, "kvlistValue"), "values")
        return {str(row.get("key", "")): _json_value(row.get("value")) for row in rows}
    return inner  # type: ignore[no-any-return]


# --- both


def _id(text: Any, digits: int, name: str) -> str:
    """Lower-case hex of the right length that is not all zeros."""
    if not isinstance(text, str) or len(text) != digits or not _HEX.issuperset(text.lower()):
        raise _BadSpan(f"{name} is not {digits} hex digits")
    if set(text) == {"0"}:
        raise _BadSpan(f"{name} is all zeros")
    return text.lower()


def _integer(value: Any, name: str) -> int:
    try:
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass
    raise _BadSpan(f"{name} is no integer")


def _time(unix_ns: int) -> str | None:
    """RFC 3339 text; zero means that no time was given."""
    if unix_ns == 0:
        return None
    try:
        return time_text(unix_ns)
    except (ValueError, OverflowError, OSError) as fault:
        raise _BadSpan(f"time {unix_ns} is out of range") from fault
