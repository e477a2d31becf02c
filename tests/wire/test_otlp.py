"""OTLP over HTTP as exporters speak it: protobuf, JSON, gzip, and everything that can be wrong with it."""

import gzip
import http.client
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from auditor.errors import Unavailable
from auditor.ledger.sqlite import SqliteLedger
from auditor.records.canonical import canonical_bytes
from auditor.records.telemetry import TelemetrySpan
from auditor.records.wire import read

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def post(port: int, path: str, body: bytes, kind: str = "application/json", **more: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in more.items()}}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, str(answer.getheader("content-type")), data


def batch(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def span(**more: Any) -> dict[str, Any]:
    return {"traceId": TRACE, "spanId": SPAN, "name": "s", "kind": 1, **more}


def spans(server: Any, count: int) -> list[TelemetrySpan]:
    return [read(TelemetrySpan, dict(one.record.body)) for one in server.records(count, kind="span")]


@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/otel/v1/traces"])
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_official_exporter_is_understood(server: Any, path: str, compression: Compression) -> None:
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{server.port}{path}", compression=compression)
    provider = TracerProvider(resource=Resource({"service.name": "agent"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("scope").start_as_current_span("outer") as outer:
        outer.set_attribute("auditor.run", "r1")
        outer.set_attribute("big", 2**60)
        outer.set_attribute("list", ["a", "é"])
        with provider.get_tracer("scope").start_as_current_span("inner") as inner:
            inner.add_event("e", {"x": 1.5})
            inner.record_exception(ValueError("boom"))
    provider.shutdown()
    one, two = spans(server, 2)
    assert (one.name, two.name) == ("inner", "outer")
    assert two.span_id == f"{outer.get_span_context().span_id:016x}" == one.parent_span_id
    assert two.trace_id == one.trace_id == f"{outer.get_span_context().trace_id:032x}"
    assert two.attributes == {"auditor.run": "r1", "big": str(2**60), "list": ["a", "é"]}
    assert two.resource["service.name"] == "agent"
    assert (two.scope, two.status, two.parent_span_id) == ("scope", "unset", None)
    assert [event.name for event in one.events] == ["e", "exception"]
    assert one.events[0].attributes == {"x": 1.5}
    assert two.started is not None and two.started <= str(one.started) <= str(one.ended) <= str(two.ended)
    assert len(server.records(2, kind="telemetry")) == 2
    assert server.intake.counts() == {"spans": 2, "spans_rejected": 0, "batches_refused": 0}


def test_protobuf_and_json_give_the_same_span(server: Any, shared_data: Path) -> None:
    body = (shared_data / "otlp" / "trace.json").read_bytes()
    status, kind, answer = post(server.port, "/v1/traces", body)
    assert (status, kind, json.loads(answer)) == (200, "application/json", {})
    [found] = spans(server, 1)
    raw = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert found.trace_id == raw["traceId"].lower()
    assert found.span_id == raw["spanId"].lower()
    assert found.parent_span_id == raw["parentSpanId"].lower()
    assert found.started == "2018-12-13T14:51:00.000000000Z"
    request = ExportTraceServiceRequest()
    one = request.resource_spans.add()
    one.resource.attributes.add(key="service.name").value.string_value = "my.service"
    scope = one.scope_spans.add()
    scope.scope.name = "my.library"
    proto = scope.spans.add(name=raw["name"], kind=raw["kind"], trace_id=bytes.fromhex(raw["traceId"]),
                            span_id=bytes.fromhex(raw["spanId"]), parent_span_id=bytes.fromhex(raw["parentSpanId"]),
                            start_time_unix_nano=int(raw["startTimeUnixNano"]),
                            end_time_unix_nano=int(raw["endTimeUnixNano"]))  # fmt: skip
    for row in raw["attributes"]:
        proto.attributes.add(key=row["key"]).value.string_value = row["value"]["stringValue"]
    status, kind, answer = post(server.port, "/v1/traces", request.SerializeToString(), "application/x-protobuf")
    assert (status, kind) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(answer).HasField("partial_success")
    assert spans(server, 2)[1] == found


def test_values_of_every_kind(server: Any) -> None:
    values = {
        "text": {"stringValue": "\ud83d"}, "flag": {"boolValue": True},
        "int": {"intValue": "7"}, "int2": {"intValue": 8},
        "big": {"intValue": str(2**62)}, "float": {"doubleValue": 0.5}, "nan": {"doubleValue": "NaN"},
        "list": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}]}}, "nothing": {}, "null": None,
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}},
        "bytes": {"bytesValue": "AAE="},
    }  # fmt: skip
    rows = [{"key": key, "value": value} for key, value in values.items()]
    assert post(server.port, "/v1/traces", batch(span(attributes=rows, unknownField=1)))[0] == 200
    [found] = spans(server, 1)
    assert found.attributes == {
        "text": "\ufffd", "flag": True, "int": 7, "int2": 8, "big": str(2**62), "float": 0.5, "nan": "NaN",
        "list": [1, "x"], "nothing": None, "null": None, "map": {"k": False}, "bytes": "AAE=",
    }  # fmt: skip
    request = ExportTraceServiceRequest()
    proto = request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN))  # fmt: skip
    proto.attributes.add(key="nan").value.double_value = float("nan")
    proto.attributes.add(key="bytes").value.bytes_value = b"\x00\x01"
    proto.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.int_value = -(2**62)
    assert post(server.port, "/v1/traces", request.SerializeToString(), "application/x-protobuf")[0] == 200
    found = spans(server, 2)[1]
    assert found.attributes == {"nan": "nan", "bytes": "AAE=", "map": {"k": str(-(2**62))}}
    canonical_bytes(dict(found.attributes))


@pytest.mark.parametrize(("bad", "why"), [
    ({"traceId": "abc"}, "traceId is not 32 hex digits"), ({"traceId": "W47/95gDgQPSabYzgT/GDA=="}, "traceId"),
    ({"spanId": "0" * 16}, "all zeros"), ({"spanId": 5}, "spanId"), ({"kind": "x"}, "kind is no integer"),
    ({"startTimeUnixNano": "soon"}, "startTimeUnixNano"), ({"endTimeUnixNano": "9" * 30}, "out of range"),
    ({"attributes": {}}, "attributes is no list"), ({"events": [3]}, "events"),
    ({"parentSpanId": "zz"}, "parentSpanId"),
])  # fmt: skip
def test_a_bad_span_does_not_cost_the_others(server: Any, bad: dict[str, Any], why: str) -> None:
    status, _, answer = post(server.port, "/v1/traces", batch(span(name="good"), span(**bad), span(name="fine")))
    assert status == 200
    partial = json.loads(answer)["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert why in partial["errorMessage"]
    assert [one.name for one in spans(server, 2)] == ["good", "fine"]
    body = server.records(1, kind="telemetry")[0].record.body
    assert (body["spans"], body["rejected"]) == (2, 1)


def test_a_bad_span_in_protobuf(server: Any) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"short", span_id=bytes.fromhex(SPAN))
    status, _, answer = post(server.port, "/v1/traces", request.SerializeToString(), "application/x-protobuf")
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, partial.rejected_spans) == (200, 1)
    assert "trace_id is not 32 hex digits" in partial.error_message


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"1", b"\xff", b"", b'{"resourceSpans":{}}', b'{"resourceSpans":[1]}',
    b'{"resourceSpans":[{"scopeSpans":1}]}',
    b'{"resourceSpans":[{"resource":[]}]}', b'{"resourceSpans":[{"scopeSpans":[{"spans":[1]}]}]}',
])  # fmt: skip
def test_malformed_json_is_refused_with_the_reason(server: Any, body: bytes) -> None:
    status, kind, answer = post(server.port, "/v1/traces", body)
    assert (status, kind) == (400, "application/json")
    error = json.loads(answer)
    assert error["code"] == 3
    assert len(error["message"]) > 10
    assert server.ledger.head().position == -1


@pytest.mark.parametrize(("body", "headers"), [
    (b"\xff\xff\xff", {}), (b"{}", {}),
    (b"not gzip", {"content_encoding": "gzip"}), (b"x", {"content_encoding": "lz4"}),
    (gzip.compress(b"\xff\xff"), {"content_encoding": "gzip"}), (gzip.compress(b"")[:-4], {"content_encoding": "gzip"}),
])  # fmt: skip
def test_malformed_protobuf_is_refused_with_the_reason(server: Any, body: bytes, headers: dict[str, str]) -> None:
    status, kind, answer = post(server.port, "/v1/traces", body, "application/x-protobuf", **headers)
    assert (status, kind) == (400, "application/x-protobuf")
    error = Status.FromString(answer)
    assert error.code == 3 and error.message
    assert server.intake.counts()["batches_refused"] == 1


def test_another_content_type_is_refused(server: Any) -> None:
    assert post(server.port, "/v1/traces", b"a=b", "application/x-www-form-urlencoded")[0] == 415


def test_metrics_and_logs_are_answered_politely(server: Any, upstream: Any, shared_data: Path) -> None:
    assert post(server.port, "/v1/metrics", b"", "application/x-protobuf") == (200, "application/x-protobuf", b"")
    assert json.loads(post(server.port, "/v1/metrics", (shared_data / "otlp" / "metrics.json").read_bytes())[2]) == {}
    status, _, answer = post(server.port, "/v1/logs", (shared_data / "otlp" / "logs.json").read_bytes())
    partial = json.loads(answer)["partialSuccess"]
    assert (status, partial["rejectedLogRecords"]) == (200, "1")
    assert "not recorded" in partial["errorMessage"]
    assert post(server.port, "/v1/logs", b"[]")[0] == 400
    assert post(server.port, "/v1/logs", b"\xff", "application/x-protobuf")[0] == 400
    assert upstream.received == []


def test_only_post_is_ours(server: Any, upstream: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/v1/traces")
    assert connection.getresponse().status == 200
    connection.close()
    assert upstream.received[0].line.startswith(b"GET /v1/traces")


class Full(SqliteLedger):
    def submit(self, entries: Any, fence: Any = None) -> Any:
        raise Unavailable("ledger", "no space left", "make room")


def test_what_cannot_be_stored_is_not_acknowledged(serve: Any, tmp_path: Path) -> None:
    server = serve(intake_ledger=Full(tmp_path / "full.db"))
    status, _, answer = post(server.port, "/v1/traces", batch(span()))
    assert status == 503
    assert "no space left" in json.loads(answer)["message"]
    assert "no space left" in server.intake.trouble()[0]


def test_acknowledged_means_on_disk(server: Any) -> None:
    assert post(server.port, "/v1/traces", batch(span()))[0] == 200
    connection = sqlite3.connect(server.ledger.path)
    assert connection.execute("SELECT count(*) FROM records").fetchone() == (2,)
    connection.close()
    [kept] = server.records(1, kind="telemetry")
    assert server.ledger.payload(kept.record.body["payload"]) == batch(span())


def test_the_exporter_sees_success(server: Any) -> None:
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{server.port}/v1/traces")
    assert exporter.export([]) == SpanExportResult.SUCCESS
    exporter.shutdown()
