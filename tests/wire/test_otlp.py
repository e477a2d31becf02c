"""OTLP over HTTP as exporters speak it: protobuf, JSON, gzip, and everything that can be wrong with it."""

import gzip
import http.client
import json
import sqlite3
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from auditor.capture.otlp import Limits
from auditor.errors import Unavailable
from auditor.ledger.sqlite import SqliteLedger
from auditor.records.canonical import canonical_bytes
from auditor.records.telemetry import TelemetryLog, TelemetrySpan
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
    counts = server.intake.counts()
    assert (counts["spans"], counts["spans_rejected"], counts["batches_refused"]) == (2, 0, 0)


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
    (gzip.compress(b"\xff\xff", mtime=0), {"content_encoding": "gzip"}),
    (gzip.compress(b"", mtime=0)[:-4], {"content_encoding": "gzip"}),
])  # fmt: skip
def test_malformed_protobuf_is_refused_with_the_reason(server: Any, body: bytes, headers: dict[str, str]) -> None:
    status, kind, answer = post(server.port, "/v1/traces", body, "application/x-protobuf", **headers)
    assert (status, kind) == (400, "application/x-protobuf")
    error = Status.FromString(answer)
    assert error.code == 3 and error.message
    assert server.intake.counts()["batches_refused"] == 1


def test_another_content_type_is_refused(server: Any) -> None:
    assert post(server.port, "/v1/traces", b"a=b", "application/x-www-form-urlencoded")[0] == 415


def test_metrics_are_answered_politely(server: Any, upstream: Any, shared_data: Path) -> None:
    assert post(server.port, "/v1/metrics", b"", "application/x-protobuf") == (200, "application/x-protobuf", b"")
    assert json.loads(post(server.port, "/v1/metrics", (shared_data / "otlp" / "metrics.json").read_bytes())[2]) == {}
    assert upstream.received == []


def test_logs_and_events_become_records(server: Any, shared_data: Path) -> None:
    for name in ("logs", "events"):
        body = (shared_data / "otlp" / f"{name}.json").read_bytes()
        status, _, answer = post(server.port, "/v1/logs", body)
        assert (status, json.loads(answer)) == (200, {})
    one, two = (read(TelemetryLog, dict(stored.record.body)) for stored in server.records(2, kind="log"))
    assert (one.trace_id, one.span_id) == (TRACE, SPAN)
    assert (one.body, one.severity, one.severity_text) == ("Example log record", 10, "Information")
    assert one.attributes["int.attribute"] == 10 and one.resource == {"service.name": "my.service"}
    assert (two.event, two.trace_id, two.span_id) == ("browser.page_view", None, None)
    assert isinstance(two.body, dict) and two.body["type"] == 0
    assert [stored.record.body["logs"] for stored in server.records(2, kind="telemetry")] == [1, 1]
    assert server.intake.counts()["logs"] == 2


def test_logs_in_protobuf(server: Any) -> None:
    request = ExportLogsServiceRequest()
    rows = request.resource_logs.add().scope_logs.add().log_records
    good = rows.add(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN), severity_number=99)
    good.event_name = "gen_ai.user.message"
    good.body.kvlist_value.values.add(key="content").value.string_value = "hi"
    rows.add(trace_id=b"short")
    status, _, answer = post(server.port, "/v1/logs", request.SerializeToString(), "application/x-protobuf")
    partial = ExportLogsServiceResponse.FromString(answer).partial_success
    assert (status, partial.rejected_log_records) == (200, 1)
    assert "trace_id is not 32 hex digits" in partial.error_message
    found = read(TelemetryLog, dict(server.records(1, kind="log")[0].record.body))
    assert (found.event, found.body, found.severity) == ("gen_ai.user.message", {"content": "hi"}, 99)


@pytest.mark.parametrize(("body", "kind"), [(b"[]", "application/json"), (b"\xff", "application/x-protobuf")])
def test_what_is_no_log_request_is_refused(server: Any, body: bytes, kind: str) -> None:
    assert post(server.port, "/v1/logs", body, kind)[0] == 400


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd", "br"])
def test_every_encoding_is_read_and_a_bomb_is_refused(serve: Any, name: str) -> None:
    server = serve(limits=Limits(body_bytes=2**20))
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress, "br": brotli.compress}[name]
    assert post(server.port, "/v1/traces", pack(batch(span())), content_encoding=name)[0] == 200
    bomb = pack(b" " * 50 * 2**20)
    status, _, answer = post(server.port, "/v1/traces", bomb, content_encoding=name)
    assert (status, json.loads(answer)["code"]) == (413, 8)
    assert "smaller batches" in json.loads(answer)["message"]
    assert len(spans(server, 1)) == 1


def test_a_body_that_says_it_is_too_large_is_not_read(serve: Any) -> None:
    server = serve(limits=Limits(body_bytes=1000))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "1001")
    connection.endheaders()
    assert connection.getresponse().status == 413  # not one byte of it was sent
    connection.close()


class Slow(SqliteLedger):
    """Holds every append until it is told to go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate, self.waiting = threading.Event(), threading.Event()

    def submit(self, entries: Any, fence: Any = None) -> Any:
        self.waiting.set()
        assert self.gate.wait(10)
        return super().submit(entries, fence)


def test_back_pressure_asks_to_wait_and_loses_nothing(serve: Any, tmp_path: Path) -> None:
    slow = Slow(tmp_path / "slow.db")
    body = batch(span())
    server = serve(intake_ledger=slow, limits=Limits(waiting_bytes=len(body) + 10))
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(post(server.port, "/v1/traces", body)[0]))
    first.start()
    assert slow.waiting.wait(5)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v1/traces", body, {"content-type": "application/json"})
    refused = connection.getresponse()
    assert (refused.status, refused.getheader("retry-after")) == (429, "1")
    assert "wait to become durable" in json.loads(refused.read())["message"]
    connection.close()
    slow.gate.set()
    first.join()
    assert answers == [200] and server.intake.waiting_bytes == 0
    assert post(server.port, "/v1/traces", body)[0] == 200
    assert server.intake.counts()["batches_waited"] == 1
    slow.close()


def chunked(port: int) -> http.client.HTTPConnection:
    """An upload that does not say how long it will be; `.send` its pieces as chunks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("content-type", "application/json")
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    return connection


def test_uploads_of_unknown_length_are_counted_as_they_come(serve: Any) -> None:
    body = batch(span())
    server = serve(limits=Limits(waiting_bytes=len(body) + 10))
    first, second = chunked(server.port), chunked(server.port)
    first.send(b"%x\r\n%b\r\n" % (len(body), body))
    deadline = time.monotonic() + 5
    while server.intake.waiting_bytes < len(body) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert server.intake.waiting_bytes == len(body)  # though it has not ended
    assert post(server.port, "/v1/traces", body)[0] == 429
    second.send(b"b\r\n           \r\n")
    refused = second.getresponse()  # before it has ended
    assert (refused.status, refused.getheader("retry-after")) == (429, "1")
    second.close()
    first.send(b"0\r\n\r\n")
    assert first.getresponse().status == 200
    first.close()
    assert server.intake.waiting_bytes == 0
    large = chunked(server.port)  # one alone is taken, however little may wait
    longer = body + b" " * 100
    large.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(longer), longer))
    assert large.getresponse().status == 200
    large.close()


def test_the_path_names_the_project(server: Any, upstream: Any) -> None:
    assert post(server.port, "/p/shop/v1/traces", batch(span()))[0] == 200
    assert [one.record.project for one in server.records(1, kind="span")] == ["shop"]
    status, _, answer = post(server.port, "/p/a%20b/v1/traces", batch(span()))
    assert (status, json.loads(answer)["code"]) == (403, 7)
    assert upstream.received == []


def test_a_deep_attribute_costs_its_span_alone(server: Any) -> None:
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(60):
        value = {"arrayValue": {"values": [value]}}
    rows = [{"key": "deep", "value": value}]
    status, _, answer = post(server.port, "/v1/traces", batch(span(name="good"), span(attributes=rows)))
    assert status == 200
    assert "nested too deeply" in json.loads(answer)["partialSuccess"]["errorMessage"]
    deep = b'{"resourceSpans":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    status, _, answer = post(server.port, "/v1/traces", deep)
    assert (status, "nested too deeply" in json.loads(answer)["message"]) == (400, True)


def test_unknown_enums_are_kept_as_they_came(server: Any) -> None:
    assert post(server.port, "/v1/traces", batch(span(kind=77, status={"code": 9})))[0] == 200
    [found] = spans(server, 1)
    assert (found.kind, found.status) == (77, "unknown_9")


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
    for _ in range(2):  # the second is refused before it is read
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
