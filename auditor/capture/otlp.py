"""The OTLP/HTTP door: traces in protobuf and JSON become `span` records; bytes and records are durable before 2xx.

`/v1/logs` is answered with a partial success that says nothing was kept, `/v1/metrics` with an empty success, so that
exporters that send all three keep working.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.exact import NotJson, parse_json
from auditor.capture.otlp_read import ReadBatch, read_json, read_protobuf
from auditor.capture.proxy import Receive, Scope, Send
from auditor.errors import AuditorError, BadInput
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.records.telemetry import TelemetryBatch
from auditor.records.wire import write

LOG = logging.getLogger("auditor.capture")
SOURCE = "otlp"
MOST_BYTES = 64 * 2**20
MOST_REASONS = 20
_TRACES = {"/v1/traces", "/api/public/otel/v1/traces"}
_PROTOBUF = {"application/x-protobuf", "application/protobuf"}
_INVALID, _UNAVAILABLE, _TOO_LARGE = 3, 14, 8
_LOGS_REASON = "log records are not recorded by this version; send spans to /v1/traces"


class Intake:
    """A raw ASGI application for POST on the OTLP paths; `handles` says which requests are its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._spans = 0
        self._rejected = 0
        self._refused = 0
        self._last_trouble: str | None = None

    def handles(self, scope: Scope) -> bool:
        """POST on exactly these paths; everything else belongs to the proxy or the pages."""
        paths = _TRACES | {"/v1/logs", "/v1/metrics"}
        return scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in paths

    def trouble(self) -> list[str]:
        """Sentences for /healthz: why the last batch could not be stored; empty when it could."""
        return [f"otlp: {self._last_trouble}"] if self._last_trouble else []

    def counts(self) -> dict[str, int]:
        return {"spans": self._spans, "spans_rejected": self._rejected, "batches_refused": self._refused}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        as_json = kind not in _PROTOBUF
        try:
            if kind not in _PROTOBUF and kind != "application/json":
                message = "content-type must be application/x-protobuf or application/json"
                await _answer(send, 415, Status(code=_INVALID, message=message), True)
                return
            body = await _body(receive)
            if body is None:
                return
            if len(body) > MOST_BYTES:
                message = f"a request may have {MOST_BYTES} bytes; send smaller batches"
                await _answer(send, 413, Status(code=_TOO_LARGE, message=message), as_json)
                return
            await _answer(send, 200, await self._take(scope["path"], body, headers, as_json), as_json)
        except BadInput as fault:
            self._refused += 1
            await _answer(send, 400, Status(code=_INVALID, message=str(fault)), as_json)
        except AuditorError as fault:
            self._last_trouble = str(fault)
            LOG.error("a batch of spans could not be stored: %s", fault)
            await _answer(send, 503, Status(code=_UNAVAILABLE, message=str(fault)), as_json)

    async def _take(self, path: str, body: bytes, headers: Mapping[str, str], as_json: bool) -> Message:
        """Do what the path asks; the answer's message. What was accepted is durable when this returns."""
        if path == "/v1/metrics":
            return ExportMetricsServiceResponse()
        plain = await asyncio.to_thread(_decoded, body, headers.get("content-encoding"))
        if path == "/v1/logs":
            answer = ExportLogsServiceResponse()
            count = await asyncio.to_thread(_count_logs, plain, as_json)
            if count:
                answer.partial_success.rejected_log_records = count
                answer.partial_success.error_message = _LOGS_REASON
            return answer
        batch, future = await asyncio.to_thread(self._store, plain, as_json)
        await asyncio.wrap_future(future)
        self._last_trouble = None
        self._spans += len(batch.spans)
        self._rejected += len(batch.reasons)
        result = ExportTraceServiceResponse()
        if batch.reasons:
            result.partial_success.rejected_spans = len(batch.reasons)
            result.partial_success.error_message = "; ".join(dict.fromkeys(batch.reasons[:MOST_REASONS]))
        return result

    def _store(self, body: bytes, as_json: bool) -> "tuple[ReadBatch, Future[list[Stored]]]":
        """Read the spans and submit them together with the bytes they came in."""
        batch = read_json(body) if as_json else read_protobuf(body)
        kept = TelemetryBatch(
            payload=self._ledger.put(body), spans=len(batch.spans), rejected=len(batch.reasons),
            reasons=tuple(batch.reasons[:MOST_REASONS]),
        )  # fmt: skip
        entries = [Entry(kind="telemetry", source=SOURCE, body=write(kept))]
        for span in batch.spans:
            entries.append(Entry(kind="span", source=SOURCE, body=write(span), observed_at=span.started))
        return batch, self._ledger.submit(entries)


def _decoded(body: bytes, content_encoding: str | None) -> bytes:
    try:
        return decode(body, content_encoding, whole=True)
    except NotDecoded as fault:
        raise BadInput("body", str(fault), "send gzip or no content-encoding") from fault


def _count_logs(body: bytes, as_json: bool) -> int:
    """How many log records a request holds; BadInput when it is none."""
    if not as_json:
        try:
            request = ExportLogsServiceRequest.FromString(body)
        except DecodeError as fault:
            raise BadInput("body", f"is no ExportLogsServiceRequest: {fault}", "send OTLP protobuf") from fault
        return sum(len(scope.log_records) for group in request.resource_logs for scope in group.scope_logs)
    try:
        form: Any = parse_json(body)
        groups = form.get("resourceLogs") or []
        return sum(len(scope.get("logRecords") or []) for group in groups for scope in group.get("scopeLogs") or [])
    except (NotJson, AttributeError, TypeError) as fault:
        raise BadInput("body", f"is no OTLP/JSON: {fault}", "send OTLP/JSON") from fault


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when the client left; reading stops soon after the limit."""
    pieces = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces += message.get("body", b"")
        if not message.get("more_body", False) or len(pieces) > MOST_BYTES:
            return bytes(pieces)


async def _answer(send: Send, status: int, message: Message, as_json: bool) -> None:
    """Send a message in the encoding of the request."""
    if as_json:
        body, kind = MessageToJson(message, indent=None).encode(), b"application/json"
    else:
        body, kind = message.SerializeToString(), b"application/x-protobuf"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
