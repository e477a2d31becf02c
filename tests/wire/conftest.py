"""The proxy on a real server, in front of a scripted upstream."""

import asyncio
import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from auditor.access.protocol import Gate
from auditor.capture.headers import open_vault
from auditor.capture.ingest import Ingester
from auditor.capture.otlp import Intake, Limits
from auditor.capture.proxy import Proxy
from auditor.capture.spool import SPOOL
from auditor.ledger.protocol import Ledger, Stored
from auditor.ledger.sqlite import SqliteLedger
from auditor.models import ModelsTable

_NAME = "scripted_upstream"
_SPEC = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name(f"{_NAME}.py"))
assert _SPEC is not None and _SPEC.loader is not None
scripted = sys.modules[_NAME] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scripted)


@dataclass(kw_only=True)
class Served:
    """A running server with proxy and intake."""

    port: int
    ledger: Ledger
    proxy: Proxy
    ingester: Ingester
    intake: Intake
    data: Path
    stop: Callable[[], None]

    def records(self, count: int, kind: str = "exchange", timeout: float = 5.0) -> list[Stored]:
        """Wait until there are `count` records of a kind, and give them."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = list(self.ledger.records(kinds=[kind]))
            if len(found) >= count:
                break
            self.ledger.watch(self.ledger.head().position, 0.1)
        state = f"{self.proxy.counts()}, {self.ingester.counts()}, {self.ingester.trouble}"
        assert len(found) == count, f"{len(found)} {kind} records, {state}"
        return found


class _App:
    """Telemetry first, then the proxy, as the server composes them."""

    def __init__(self, proxy: Proxy, intake: Intake) -> None:
        self.proxy, self.intake = proxy, intake

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await self.proxy.startup()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.proxy.shutdown()
            await send({"type": "lifespan.shutdown.complete"})
        elif self.intake.handles(scope):
            await self.intake(scope, receive, send)
        else:
            await self.proxy(scope, receive, send)


@pytest.fixture
def upstream() -> Iterator[Any]:
    """A ScriptedUpstream; set its `script` before calling."""
    server = scripted.ScriptedUpstream()
    yield server
    server.close()


@pytest.fixture
def reply() -> Any:
    """The Reply class of the scripted upstream."""
    return scripted.Reply


@pytest.fixture
def serve(upstream: Any, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers; arguments replace the defaults of Proxy."""
    running: list[Served] = []

    def start(ledger: Ledger | None = None, upstreams: dict[str, str] | None = None,
              models: ModelsTable | None = None, intake_ledger: Ledger | None = None,
              limits: Limits | None = None, gate: Gate | None = None) -> Served:  # fmt: skip
        ledger = ledger if ledger is not None else SqliteLedger(tmp_path / "data" / "ledger.db")
        targets = {"openai": upstream.address} if upstreams is None else upstreams
        data = tmp_path / "data"
        proxy = Proxy(targets, data, gate)
        ingester = Ingester(ledger, models or ModelsTable(), data / SPOOL, open_vault(data))
        ended = threading.Event()
        following = threading.Thread(target=ingester.run_forever, args=(ended,), daemon=True)
        following.start()
        intake = Intake(intake_ledger or ledger, limits=limits)
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            _App(proxy, intake), lifespan="on", log_level="critical", server_header=False, date_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started

        def stop() -> None:
            server.should_exit = True
            thread.join(10)
            ended.set()
            following.join(10)
            ledger.close()

        running.append(Served(
            port=listener.getsockname()[1], ledger=ledger, proxy=proxy, ingester=ingester, intake=intake, data=data,
            stop=stop,
        ))  # fmt: skip
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def server(serve: Callable[..., Served]) -> Served:
    return serve()
