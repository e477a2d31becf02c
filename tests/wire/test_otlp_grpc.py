"""OTLP over gRPC: same records, same refusals."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from auditor.capture.otlp import Intake, Limits
from auditor.capture.otlp_grpc import GrpcDoor
from auditor.errors import BadSetup, Refused, Unavailable
from auditor.ledger.sqlite import SqliteLedger

grpc: Any = pytest.importorskip("grpc", reason="grpcio is an extra: pip install grpcio")
COLLECTOR = "opentelemetry.proto.collector"


def request(trace_id: bytes = b"t" * 16, name: str = "s") -> bytes:
    form = ExportTraceServiceRequest()
    form.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=b"s" * 8, name=name)
    return bytes(form.SerializeToString())


class Door:
    """A door on a free port and a channel to it."""

    def __init__(self, intake: Intake, ledger: SqliteLedger) -> None:
        self.ledger, self.door = ledger, GrpcDoor(intake, "127.0.0.1", 0)
        self.intake = intake

    async def call(self, service: str, body: bytes, metadata: Any = ()) -> bytes:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.door.port}") as channel:
            answer: bytes = await channel.unary_unary(f"/{COLLECTOR}.{service}/Export")(body, metadata=metadata)
            return answer


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    found = SqliteLedger(tmp_path / "l.db")
    yield found
    found.close()


@pytest.fixture
async def door(ledger: SqliteLedger) -> AsyncIterator[Door]:
    one = Door(Intake(ledger), ledger)
    await one.door.start()
    yield one
    await one.door.stop()


async def test_all_three_services(door: Door) -> None:
    assert await door.call("trace.v1.TraceService", request()) == b""
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(severity_number=9)
    assert await door.call("logs.v1.LogsService", logs.SerializeToString()) == b""
    metrics = ExportMetricsServiceRequest().SerializeToString()
    assert await door.call("metrics.v1.MetricsService", metrics) == b""
    assert [one.record.kind for one in door.ledger.records()] == ["telemetry", "span", "telemetry", "log"]


async def test_a_bad_span_is_a_partial_success(door: Door) -> None:
    answer = ExportTraceServiceResponse.FromString(await door.call("trace.v1.TraceService", request(b"short")))
    assert answer.partial_success.rejected_spans == 1
    assert "32 hex digits" in answer.partial_success.error_message


async def test_what_is_no_request_is_invalid(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.call("trace.v1.TraceService", b"\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ExportTraceServiceRequest" in caught.value.details()


class Full(SqliteLedger):
    def submit(self, entries: Any, fence: Any = None) -> Any:
        raise Unavailable("ledger", "no space left", "make room")


def retry(fault: Any) -> int:
    details = dict(fault.trailing_metadata())["grpc-status-details-bin"]
    info = RetryInfo()
    assert Status.FromString(details).details[0].Unpack(info)
    return int(info.retry_delay.seconds)


async def test_a_ledger_that_cannot_write_is_unavailable(tmp_path: Path) -> None:
    full = Full(tmp_path / "full.db")
    one = Door(Intake(full, limits=Limits(retry_seconds=3)), full)
    await one.door.start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await one.call("trace.v1.TraceService", request())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert retry(caught.value) == 3
    await one.door.stop()
    full.close()


async def test_back_pressure_is_exhaustion(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Door(Intake(ledger, limits=Limits(waiting_bytes=10)), ledger)
    monkeypatch.setattr(one.intake, "_waiting", 5)
    await one.door.start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await one.call("trace.v1.TraceService", request())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry(caught.value) == 1
    await one.door.stop()


async def test_a_message_beyond_the_limit_is_not_taken(ledger: SqliteLedger) -> None:
    one = Door(Intake(ledger, limits=Limits(body_bytes=1000)), ledger)
    await one.door.start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await one.call("trace.v1.TraceService", request(name="x" * 2000))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ledger.head().position == -1
    await one.door.stop()


async def test_metadata_reaches_who_admits(ledger: SqliteLedger) -> None:
    def admit(headers: list[tuple[bytes, bytes]], path: str) -> str:
        key = dict(headers).get(b"x-audit-key")
        if key is None:
            raise Refused("x-audit-key", "is missing", "send a key")
        return f"{key.decode()}{path.replace('/', '-')}"

    one = Door(Intake(ledger, admit=admit), ledger)
    await one.door.start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await one.call("trace.v1.TraceService", request())
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await one.call("trace.v1.TraceService", request(), metadata=(("x-audit-key", "shop"),))
    assert {stored.record.project for stored in ledger.records()} == {"shop-v1-traces"}
    await one.door.stop()


async def test_a_taken_port_is_said(door: Door) -> None:
    with pytest.raises(BadSetup, match="port"):
        await GrpcDoor(door.intake, "127.0.0.1", door.door.port).start()
