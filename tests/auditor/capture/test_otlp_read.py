"""The OTLP readers: the wire form is the value's, and no bytes make them raise anything but BadInput."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture.otlp_read import ReadBatch, Signal, read_json, read_protobuf
from auditor.errors import BadInput
from auditor.records.canonical import canonical_bytes
from auditor.records.telemetry import TelemetryLog, TelemetrySpan
from auditor.records.wire import read, write

FORMS: dict[Signal, Any] = {"traces": TelemetrySpan, "logs": TelemetryLog}
SIGNALS = st.sampled_from(["traces", "logs"])


def check(batch: ReadBatch, signal: Signal) -> None:
    """Every item is the wire form of its value and can be recorded exactly; every rejection has a reason."""
    for item in batch.items:
        assert write(read(FORMS[signal], item)) == item
        canonical_bytes(item)
    assert all(batch.reasons)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), SIGNALS)
def test_any_bytes(body: bytes, signal: Signal) -> None:
    for reader in (read_protobuf, read_json):
        try:
            check(reader(body, signal), signal)
        except BadInput as fault:
            assert fault.fix


KEYS = st.sampled_from([
    "resourceSpans", "resourceLogs", "resource", "scopeSpans", "scopeLogs", "scope", "spans", "logRecords", "traceId",
    "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "timeUnixNano", "attributes", "key", "value",
    "stringValue", "intValue", "doubleValue", "boolValue", "bytesValue", "arrayValue", "kvlistValue", "values",
    "events", "links", "status", "code", "message", "body", "severityNumber", "eventName", "severityText",
])  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4)
    | st.sampled_from(["a" * 32, "b" * 16, "0" * 16, "1544712660300000000", "\ud83d"])
)  # fmt: skip
FORM = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


def wrapped(item: Any, signal: Signal) -> bytes:
    groups, scopes, items = {
        "traces": ("resourceSpans", "scopeSpans", "spans"), "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    }[signal]  # fmt: skip
    return json.dumps({groups: [{scopes: [{items: [item]}]}]}).encode()


@settings(max_examples=400, deadline=None)
@given(FORM, st.dictionaries(KEYS, FORM, max_size=8), SIGNALS)
def test_any_json(form: Any, item: dict[str, Any], signal: Signal) -> None:
    whole = {"traceId": "a" * 32, "spanId": "b" * 16}
    for body in (json.dumps(form).encode(), wrapped(item, signal), wrapped(whole | item, signal)):
        try:
            check(read_json(body, signal), signal)
        except BadInput as fault:
            assert fault.fix


@settings(max_examples=300, deadline=None)
@given(st.data(), SIGNALS)
def test_mutated_protobuf(data: st.DataObject, signal: Signal) -> None:
    body = bytearray(example(signal).SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        check(read_protobuf(bytes(body), signal), signal)
    except BadInput as fault:
        assert fault.fix


def example(signal: Signal) -> Any:
    if signal == "logs":
        logs = ExportLogsServiceRequest()
        log = logs.resource_logs.add().scope_logs.add().log_records.add(trace_id=b"t" * 16, span_id=b"s" * 8)
        log.body.array_value.values.add().string_value = "x"
        log.time_unix_nano = 10**18
        log.event_name = "e"
        return logs
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "é"
    span = group.scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="s", kind=3)
    span.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.double_value = 0.5
    span.attributes.add(key="empty").value.string_value = ""
    span.attributes.add(key="none")
    span.events.add(name="e", time_unix_nano=10**18).attributes.add(key="n").value.int_value = 2**60
    span.links.add(trace_id=b"l" * 16, span_id=b"m" * 8)
    return request


def test_protobuf_values() -> None:
    [span] = read_protobuf(example("traces").SerializeToString()).items
    assert span["attributes"] == {"map": {"k": 0.5}, "empty": "", "none": None}
    assert span["events"][0]["attributes"] == {"n": str(2**60)}
    assert span["links"][0] == {"trace_id": b"l".hex() * 16, "span_id": b"m".hex() * 8, "attributes": {}}


@pytest.mark.parametrize(("name", "signal"), [("trace", "traces"), ("logs", "logs"), ("events", "logs")])
def test_the_specification_s_examples(shared_data: Path, name: str, signal: Signal) -> None:
    batch = read_json((shared_data / "otlp" / f"{name}.json").read_bytes(), signal)
    assert len(batch.items) == 1 and not batch.reasons
    check(batch, signal)
