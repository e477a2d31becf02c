"""The OTLP door: traces and logs, protobuf or JSON, become records; bytes and records are durable before they are
acknowledged.

`/v1/metrics` is answered with an empty success, so that exporters that send all three signals keep working. The gRPC
door (otlp_grpc) takes the same way through `take`. Refusals carry google.rpc.Status:

====  ====================  ===============================================================
HTTP  code                  when
====  ====================  ===============================================================
400   INVALID_ARGUMENT      no OTLP, or not decodable
401   UNAUTHENTICATED       no key, or one that nobody knows
403   PERMISSION_DENIED     the key does not allow it
413   RESOURCE_EXHAUSTED    larger than `body_bytes`, as sent or decoded
415   INVALID_ARGUMENT      another content type
429   RESOURCE_EXHAUSTED    more than `waiting_bytes` wait to become durable; Retry-After
503   UNAVAILABLE           the ledger cannot write; Retry-After
====  ====================  ===============================================================
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.types import Receive, Scope, Send

from auditor.access.protocol import Admission, Gate
from auditor.capture.encoding import NotDecoded, TooLarge, decode
from auditor.capture.headers import Vault
from auditor.capture.otlp_mask import mask_request
from auditor.capture.otlp_read import ReadBatch, Signal, read_json, read_protobuf
from auditor.capture.redact import Fingerprint, compile_rules
from auditor.errors import AuditorError, BadInput, Refused, Unavailable
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.records.telemetry import TelemetryBatch
from auditor.records.wire import write

LOG = logging.getLogger("auditor.capture")
SOURCE = "otlp"
MOST_REASONS = 20
_PATH = re.compile(r"^(?:/p/(?P<project>[^/]+))?/v1/(?P<signal>traces|logs|metrics)$|^/api/public/otel/v1/traces$")
_PROJECT = re.compile(r"^[A-Za-z0-9._-]{1,100}$")
_PROTOBUF = {"application/x-protobuf", "application/protobuf"}
_INVALID, _DENIED, _EXHAUSTED, _UNAVAILABLE, _UNAUTHENTICATED = 3, 7, 8, 14, 16
_CODES = {401: _UNAUTHENTICATED, 403: _DENIED, 413: _EXHAUSTED, 429: _EXHAUSTED, 503: _UNAVAILABLE}

Headers = list[tuple[bytes, bytes]]
Admit = Callable[[Headers, str], str]
"""(headers, path) -> project; raises Refused. For what needs less than a gate."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the intake takes before it says wait."""

    body_bytes: int = 64 * 2**20
    """Of one request, as sent and decoded."""
    waiting_bytes: int = 256 * 2**20
    """Of all requests being received or waiting to become durable."""
    retry_seconds: int = 1
    """What Retry-After says; for so long after a failed write nothing is read."""


class Busy(Unavailable):
    """Too much waits to become durable; the sender is asked to come back."""

    code = "busy"
    status = 429


class TooMuch(BadInput):
    """A request beyond `body_bytes`."""

    code = "too_large"
    status = 413


def admit_all(headers: Headers, path: str) -> str:
    """Everybody may write: into the project the path names (`/p/{project}/…`), else into `default`."""
    match = _PATH.match(path)
    project = match["project"] if match is not None else None
    if project is None:
        return "default"
    if not _PROJECT.match(project):
        raise Refused("project", "is not a project name", "use letters, digits, dots, hyphens, underscores")
    return project


class Intake:
    """A raw ASGI application for POST on the OTLP paths; `handles` says which requests are its own."""

    def __init__(
        self, ledger: Ledger, admit: Admit = admit_all, limits: Limits | None = None, gate: Gate | None = None,
        fingerprint: Fingerprint | None = None,
    ) -> None:  # fmt: skip
        """gate: who may come in; where there is one, `admit` is not asked. fingerprint: of what is masked."""
        self._ledger = ledger
        self._admit = admit
        self._gate = gate
        self._fingerprint = fingerprint or Vault(secrets.token_bytes(32)).fingerprint
        self.limits = limits or Limits()
        self._counts = {
            "spans": 0, "spans_rejected": 0, "logs": 0, "logs_rejected": 0, "batches_refused": 0, "batches_waited": 0,
        }  # fmt: skip
        self._waiting = 0
        self._trouble: str | None = None
        self._refuse_until = 0.0

    def handles(self, scope: Scope) -> bool:
        """POST on exactly these paths; everything else belongs to the proxy or the pages."""
        return bool(scope["type"] == "http" and scope["method"] == "POST" and _PATH.match(scope["path"]))

    def trouble(self) -> list[str]:
        """Sentences for /healthz: why the last batch could not be stored; empty when it could."""
        return [f"otlp: {self._trouble}"] if self._trouble else []

    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    @property
    def waiting_bytes(self) -> int:
        """Bytes received and not yet durable."""
        return self._waiting

    # --- HTTP

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        as_json = kind not in _PROTOBUF
        if as_json and kind != "application/json":
            message = "content-type must be application/x-protobuf or application/json"
            await _answer(send, 415, Status(code=_INVALID, message=message), True)
            return
        try:
            client = scope.get("client")
            admission = self.admit(list(scope["headers"]), scope["path"], client[0] if client else None)
            length = headers.get("content-length", "")
            size = int(length) if length.isdecimal() else 0
            self.refuse_when_full(size)
            match = _PATH.match(scope["path"])
            signal = (match and match["signal"]) or "traces"
            body = await self._received(receive, size)
            if body is None:
                return
            encoding = headers.get("content-encoding")
            answer = await self.take(signal, admission, body, encoding, as_json)  # type: ignore[arg-type]
            await _answer(send, 200, answer, as_json)
        except AuditorError as fault:
            status, message = self.refusal(fault)
            await _answer(send, status, message, as_json, self.limits.retry_seconds)

    # --- both doors

    def admit(self, headers: Headers, path: str, client: str | None) -> Admission:
        """Who may write where; raises Refused."""
        if self._gate is None:
            return Admission(project=self._admit(headers, path))
        match = _PATH.match(path)
        return self._gate.admit(headers, "ingest", project=match["project"] if match else None, client=client)

    def refuse_when_full(self, size: int) -> None:
        """Before a request of `size` bytes is read: TooMuch, Busy, or Unavailable right after a failed write."""
        if size > self.limits.body_bytes:
            raise _too_much(self.limits.body_bytes)
        if time.monotonic() < self._refuse_until:
            raise Unavailable("ledger", self._trouble or "cannot write", "send the batch again later")
        if self._waiting and self._waiting + size > self.limits.waiting_bytes:
            raise self._busy()

    async def take(
        self, signal: Literal["traces", "logs", "metrics"], admission: Admission, body: bytes, encoding: str | None,
        as_json: bool,
    ) -> Message:  # fmt: skip
        """Do what a signal's path asks; the answer's message. What was accepted is durable when this returns."""
        if signal == "metrics":
            return ExportMetricsServiceResponse()
        self._waiting += len(body)
        try:
            batch, future = await asyncio.to_thread(self._store, signal, admission, body, encoding, as_json)
            await asyncio.wrap_future(future)
        except Unavailable as fault:
            self._trouble = str(fault)
            self._refuse_until = time.monotonic() + self.limits.retry_seconds
            LOG.error("a batch of telemetry could not be stored: %s", fault)
            raise
        finally:
            self._waiting -= len(body)
        self._trouble = None
        name = "spans" if signal == "traces" else "logs"
        self._counts[name] += len(batch.items)
        self._counts[f"{name}_rejected"] += len(batch.reasons)
        return _accepted(signal, batch)

    def refusal(self, fault: AuditorError) -> tuple[int, Status]:
        """(HTTP status, google.rpc.Status) of a refusal, counted."""
        known = isinstance(fault, (BadInput, Refused, Unavailable))
        status = fault.status if known else 503
        self._counts["batches_waited" if status in (429, 503) else "batches_refused"] += 1
        if not known:
            self._trouble = str(fault)
        return status, Status(code=_CODES.get(status, _INVALID), message=str(fault))

    async def _received(self, receive: Receive, stated: int) -> bytes | None:
        """The whole body, or None when the client left; TooMuch or Busy soon after a limit.

        It is counted as waiting from here on, as long as it is `stated` to be, or, where that is not said or not true,
        as long as it has become; the caller counts it again at once.
        """
        pieces = bytearray()
        counted = stated
        self._waiting += counted
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                pieces += message.get("body", b"")
                if len(pieces) > self.limits.body_bytes:
                    raise _too_much(self.limits.body_bytes)
                if len(pieces) > counted:
                    self._waiting += len(pieces) - counted
                    counted = len(pieces)
                    if self.limits.waiting_bytes < self._waiting != counted:  # one alone is always taken
                        raise self._busy()
                if not message.get("more_body", False):
                    return bytes(pieces)
        finally:
            self._waiting -= counted

    def _busy(self) -> Busy:
        return Busy("intake", f"{self._waiting} bytes wait to become durable", "send the batch again later")

    def _store(
        self, signal: Signal, admission: Admission, body: bytes, encoding: str | None, as_json: bool
    ) -> "tuple[ReadBatch, Future[Sequence[Stored]]]":
        """Read the items and submit them together with the bytes they came in."""
        project = admission.project
        rules = compile_rules(admission.redaction, admission.patterns)
        plain = _decoded(body, encoding, self.limits.body_bytes)
        plain, redacted = mask_request(plain, signal, as_json, rules, self._fingerprint)
        batch = read_json(plain, signal) if as_json else read_protobuf(plain, signal)
        spans = signal == "traces"
        kept = TelemetryBatch(
            payload=self._ledger.put(plain), spans=len(batch.items) if spans else 0,
            logs=0 if spans else len(batch.items), rejected=len(batch.reasons),
            reasons=tuple(batch.reasons[:MOST_REASONS]), signal=signal, redacted=redacted,
        )  # fmt: skip
        kind, when = ("span", "started") if spans else ("log", "time")
        entries = [Entry(kind="telemetry", source=SOURCE, project=project, body=write(kept))]
        entries += [
            Entry(kind=kind, source=SOURCE, project=project, body=item, observed_at=item[when]) for item in batch.items
        ]
        return batch, self._ledger.submit(entries)


def _accepted(signal: Signal, batch: ReadBatch) -> Message:
    """The answer to what was stored; `partial_success` counts what was not, and why."""
    answer = ExportTraceServiceResponse() if signal == "traces" else ExportLogsServiceResponse()
    if batch.reasons:
        if signal == "traces":
            answer.partial_success.rejected_spans = len(batch.reasons)
        else:
            answer.partial_success.rejected_log_records = len(batch.reasons)
        answer.partial_success.error_message = "; ".join(dict.fromkeys(batch.reasons[:MOST_REASONS]))
    return answer


def _decoded(body: bytes, content_encoding: str | None, most: int) -> bytes:
    try:
        return decode(body, content_encoding, whole=True, most=most)
    except TooLarge as fault:
        raise _too_much(most) from fault
    except NotDecoded as fault:
        raise BadInput("body", str(fault), "send gzip or no content-encoding") from fault


def _too_much(most: int) -> TooMuch:
    return TooMuch("body", f"has more than {most} bytes", "send smaller batches")


async def _answer(send: Send, status: int, message: Message, as_json: bool, retry_seconds: int = 1) -> None:
    """Send a message in the encoding of the request."""
    if as_json:
        body, kind = MessageToJson(message, indent=None).encode(), b"application/json"
    else:
        body, kind = message.SerializeToString(), b"application/x-protobuf"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status in (429, 503):
        headers.append((b"retry-after", str(retry_seconds).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
