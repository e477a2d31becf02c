"""The OTLP door over gRPC: the three collector services as bytes -> bytes handlers on grpc.aio, in the server's loop.

grpcio is optional (`pip install grpcio`); without it `start` says so. What is taken, refused or asked to wait is
decided by the same Intake as over HTTP; a refusal that asks to wait carries google.rpc.RetryInfo.
"""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from google.protobuf.any_pb2 import Any as AnyMessage  # type: ignore[import-untyped]
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]

from auditor.capture.otlp import Intake
from auditor.errors import AuditorError, BadSetup

_SERVICES: dict[str, Literal["traces", "logs", "metrics"]] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
}
_PATHS = {"traces": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}
_WAIT = (429, 503)


class _Context(Protocol):
    """What is used of grpc.aio.ServicerContext."""

    def invocation_metadata(self) -> Any: ...

    def peer(self) -> str: ...

    def set_trailing_metadata(self, metadata: Any) -> None: ...

    async def abort(self, code: Any, details: str) -> Any: ...


def require_grpc() -> Any:
    """The grpc package; BadSetup where it is not installed."""
    try:
        return importlib.import_module("grpc")
    except ImportError as fault:
        fix = "install grpcio, or unset AUDITOR_OTLP_GRPC"
        raise BadSetup("otlp_grpc", "needs grpcio, which is not installed", fix) from fault


class GrpcDoor:
    """Listens on a port of its own; `port` is the one the system gave when 0 was asked for."""

    def __init__(self, intake: Intake, host: str, port: int) -> None:
        self._intake = intake
        self._host = host
        self.port = port
        self._server: Any = None

    async def start(self) -> None:
        """BadSetup when grpcio is missing or the port is taken."""
        grpc = require_grpc()
        server = grpc.aio.server(options=[
            ("grpc.max_receive_message_length", self._intake.limits.body_bytes), ("grpc.so_reuseport", 0),
        ])  # fmt: skip
        server.add_generic_rpc_handlers(tuple(
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.unary_unary_rpc_method_handler(self._handler(grpc, signal))}
            )
            for service, signal in _SERVICES.items()
        ))  # fmt: skip
        try:
            bound = server.add_insecure_port(f"{self._host}:{self.port}")
        except RuntimeError as fault:
            raise BadSetup("otlp_grpc", f"port {self.port} cannot be used: {fault}", "choose another port") from fault
        if bound == 0:
            raise BadSetup("otlp_grpc", f"port {self.port} cannot be used", "choose another port")
        self.port, self._server = bound, server
        await server.start()

    async def stop(self) -> None:
        """Finish what was begun, at most a second."""
        if self._server is not None:
            await self._server.stop(1.0)
            self._server = None

    def _handler(
        self, grpc: Any, signal: Literal["traces", "logs", "metrics"]
    ) -> Callable[[bytes, _Context], Awaitable[bytes]]:
        """One service's Export; without serializers grpc hands over the message's bytes."""

        async def export(request: bytes, context: _Context) -> bytes:
            headers = [
                (name.encode(), value if isinstance(value, bytes) else value.encode())
                for name, value in context.invocation_metadata() or ()
            ]
            try:
                admission = self._intake.admit(headers, _PATHS[signal], _address(context.peer()))
                self._intake.refuse_when_full(len(request))
                answer = await self._intake.take(signal, admission, request, None, as_json=False)
            except AuditorError as fault:
                status, message = self._intake.refusal(fault)
                if status in _WAIT:
                    detail = AnyMessage()
                    detail.Pack(RetryInfo(retry_delay=Duration(seconds=self._intake.limits.retry_seconds)))
                    message.details.append(detail)
                context.set_trailing_metadata((("grpc-status-details-bin", message.SerializeToString()),))
                code = next(one for one in grpc.StatusCode if one.value[0] == message.code)
                await context.abort(code, message.message)
                raise AssertionError("abort returned") from fault
            return bytes(answer.SerializeToString())

        return export


def _address(peer: str) -> str | None:
    """The address in grpc's `ipv4:127.0.0.1:52000` or `ipv6:%5B::1%5D:52000`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else None
