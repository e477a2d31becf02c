"""The server, put together in the order it runs: ledger, graph, models, queue; proxy and intake; readers; workers."""

import contextlib
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from auditor.access.gate import KeyGate
from auditor.access.keys import KeyRing, open_hasher
from auditor.access.office import KeyOffice
from auditor.access.protocol import Admission
from auditor.access.vault import open_provider_vault
from auditor.audits import RunAudits
from auditor.capture.dialects.catalogue import upstream_names
from auditor.capture.otlp import Intake
from auditor.capture.otlp_grpc import GrpcDoor, require_grpc
from auditor.capture.prices import read_prices
from auditor.capture.proxy import Proxy
from auditor.capture.redact import compile_rules
from auditor.capture.upstream import Upstreams
from auditor.errors import AuditorError, BadSetup, Refused
from auditor.follow import Following
from auditor.jobs.executors.local import LocalExecutor
from auditor.jobs.queue import SqliteQueue
from auditor.ledger.open import open_ledger
from auditor.ledger.protocol import Ledger
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.models import ModelsTable, read_models
from auditor.projection.names import owner, project_key
from auditor.settings import Settings
from auditor.views.api import build_api
from auditor.views.api.gate import ApiGate
from auditor.views.api.paths import RawPath
from auditor.views.assets import mount_dashboard
from auditor.views.commands import Health, Watermark
from auditor.views.library import Library
from auditor.views.scoped import ProjectGraph, ProjectHealth, ProjectLedger
from auditor.watermarks import Watermarks
from graph.open import open_graph

LOG = logging.getLogger("auditor")


class Server:
    """Everything one server process holds. `start` and `stop` are called by the ASGI lifespan."""

    def __init__(self, settings: Settings) -> None:
        settings.make_data()
        self.settings = settings
        if settings.graph_url == "memory:":
            raise BadSetup("graph", "memory: cannot be shared with the process that follows", "use sqlite:///path")
        Upstreams(settings.upstreams)
        if settings.otlp_grpc:
            require_grpc()
        read_prices(settings.prices)  # used by the process that follows, which could only fail again and again
        self.models: ModelsTable = read_models(settings.models) if settings.models else ModelsTable()
        ledger = open_ledger(settings.ledger_url)
        assert isinstance(ledger, SqliteLedger), "the only store so far"
        self.ledger = ledger
        self.graph = open_graph(settings.graph_url, settings.neo4j_user, settings.neo4j_password or None)
        self._watermarks = Watermarks(ledger)
        self._counting = threading.Lock()
        self.queue = SqliteQueue(ledger.path, ledger)
        hasher = open_hasher(settings.data)
        vault = open_provider_vault(settings.data, settings.vault_key)
        self.keys = KeyRing(ledger, hasher, vault.refresh)
        self.office = KeyOffice(ledger, self.keys, hasher, vault, compile_rules, upstream_names())
        self.gate = KeyGate(self.keys, vault, settings.options())
        self.proxy = Proxy(settings.upstreams, settings.data, self.gate, settings.private_upstreams)
        self.intake = Intake(ledger, gate=self.gate, fingerprint=self.proxy.vault.fingerprint)
        self.grpc = GrpcDoor(self.intake, settings.host, settings.otlp_grpc) if settings.otlp_grpc else None
        self.following = Following(settings.data)
        self.audits = RunAudits(ledger, self.queue, self.models, lambda _: self._structured())
        self.executor = LocalExecutor(worker_command(settings), count=settings.workers)
        self.follower = LocalExecutor(follow_command(settings), count=1, environment=follow_environment(settings))

    async def start(self) -> None:
        self.keys.start()
        await self.proxy.startup()
        if self.grpc is not None:
            await self.grpc.start()
        self.follower.start()
        self.executor.start()

    async def stop(self) -> None:
        if self.grpc is not None:
            await self.grpc.stop()
        await self.proxy.shutdown()
        with ExitStack() as stack:
            stack.callback(self.ledger.close)
            stack.callback(self.keys.stop)
            stack.callback(self.graph.close)
            stack.callback(self.queue.close)
            stack.callback(self.executor.stop)
            stack.callback(self.follower.stop)

    def _structured(self) -> None:
        """Before an audit: what was recorded by now must have its structure."""
        self.following.wait(self.ledger.head().position)

    def view(self) -> dict[str, Any]:
        """JSON data of /healthz: what works, and every trouble as a sentence. Implements views.commands.Health."""
        following = self.following.view()
        trouble = [*self.proxy.trouble(), *self.intake.trouble(), *following["trouble"]]
        trouble += [f"keys: {self.keys.trouble}"] if self.keys.trouble else []
        head = self.ledger.head()
        projected = following["graph"]["position"]
        return {
            "status": "trouble" if trouble else "ok",
            "trouble": trouble,
            "notes": self.gate.notes(),
            "ledger": {"position": head.position, "chain": head.chain},
            "graph": {"position": projected, "behind": head.position - projected},
            "structure": {"position": following["structure"]["position"]},
            "jobs": self.queue.counts(),
            "workers": {"wanted": self.settings.workers, "alive": len(self.executor.processes()),
                        "restarts": self.executor.restarts},
            "follower": {"alive": len(self.follower.processes()), "restarts": self.follower.restarts},
            "recorded": self.proxy.counts() | self.intake.counts() | following["ingest"],
        }  # fmt: skip


    def watermarks(self) -> list[Watermark]:
        """How far each project's facts have come. Implements views.commands.Health."""
        following = self.following.view()
        recorded = following["recorded"]
        own = recorded["calls"].get(self.proxy.spool.folder.name, {})
        with self._counting:
            return self._watermarks.view(
                self.proxy.accepted, own, recorded["position"], following["graph"]["position"]
            )


def worker_command(settings: Settings) -> list[str]:
    """How a worker process of this server is started."""
    command = [sys.executable, "-m", "auditor", "work", "--follow-parent", str(os.getpid()),
               "--data", str(settings.data), "--ledger", settings.ledger_url]  # fmt: skip
    return command + (["--models", str(settings.models)] if settings.models else [])


def follow_command(settings: Settings) -> list[str]:
    """How the process that follows this server is started."""
    command = [sys.executable, "-m", "auditor", "work", "--follow", "--follow-parent", str(os.getpid()), "--data",
               str(settings.data), "--ledger", settings.ledger_url, "--graph", settings.graph_url]  # fmt: skip
    return command + (["--models", str(settings.models)] if settings.models else [])


def follow_environment(settings: Settings) -> dict[str, str]:
    """What that process is told beside its command line: what must not be seen there, and what has no flag."""
    told = {"AUDITOR_NEO4J_USER": settings.neo4j_user, "AUDITOR_NEO4J_PASSWORD": settings.neo4j_password}
    return told | ({} if settings.prices is None else {"AUDITOR_PRICES": str(settings.prices)})


def build_app(settings: Settings, server: Server | None = None) -> ASGIApp:
    """The ASGI application of one port: OTLP, the proxy, the audit API, the dashboard, health."""
    server = server or Server(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    pages = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    pages.mount("/api", ApiGate(server.gate, lambda project: _api(server, project)))
    _health_routes(pages, server)
    mount_dashboard(pages)
    pages.add_middleware(RawPath)  # a mount matches no line break, and ids may hold one
    return _by_path(server, pages)


def _api(server: Server, project: str | None) -> ASGIApp:
    """The audit API of one project, or of all."""
    ledger: Ledger = server.ledger if project is None else ProjectLedger(server.ledger, project)
    graph = server.graph if project is None else ProjectGraph(server.graph, project_key(project), owner)
    return build_api(
        ledger=ledger, graph=graph,
        audits=server.audits, health=_health(server, project),
        library=Library(ledger), verify=lambda: verify(server.ledger), office=server.office,
    )  # fmt: skip


def _health(server: Server, project: str | None) -> Health:
    """The server's health as one project's keys see it, or whole."""
    return server if project is None else ProjectHealth(server, project, lambda: server.queue.counts(project))


def _by_path(server: Server, pages: FastAPI) -> ASGIApp:
    """Telemetry first, then the proxy's paths, then everything people look at."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if server.intake.handles(scope):
            await server.intake(scope, receive, send)
        elif server.proxy.handles(scope):
            await server.proxy(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return app


def _health_routes(pages: FastAPI, server: Server) -> None:
    @pages.get("/healthz")
    def healthz(request: Request) -> dict[str, Any]:
        """Open to all: whether all is well. What counts everybody's facts is for those who may see every project."""
        try:
            admission = _reader(server, request)
        except Refused:
            return {"status": server.view()["status"], "notes": server.gate.notes(to_all=True)}
        return _health(server, None if admission.every_project else admission.project).view()

    @pages.get("/readyz")
    def readyz() -> JSONResponse:
        try:
            head = server.ledger.head()
        except AuditorError as fault:
            return JSONResponse({"ready": False, "why": str(fault)}, status_code=503)
        return JSONResponse({"ready": True, "position": head.position})

    @pages.get("/metrics")
    def metrics(request: Request) -> PlainTextResponse:
        try:
            admission = _reader(server, request)
        except Refused as fault:
            return PlainTextResponse(f"{fault}\n", status_code=fault.status)
        health = _health(server, None if admission.every_project else admission.project)
        text = _prometheus(health.view()) + _marks(health.watermarks())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def _reader(server: Server, request: Request) -> Admission:
    """Who asks, where that is somebody who may read; Refused."""
    client = request.client.host if request.client else None
    return server.gate.admit(request.scope["headers"], "read", project=None, client=client)


def _prometheus(view: dict[str, Any]) -> str:
    """Prometheus text of the health figures: every number under `auditor_<group>_<name>`."""
    lines = [f"auditor_trouble {len(view['trouble'])}"]
    for group in ("ledger", "graph", "structure", "jobs", "workers", "recorded"):
        for name, value in view[group].items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                lines.append(f"auditor_{group}_{name} {value}")
    return "\n".join(lines) + "\n"


def _marks(watermarks: list[Watermark]) -> str:
    """Prometheus text of the watermarks."""
    lines = []
    for name in ("accepted", "durable", "projected", "runs", "evidence_attached"):
        lines.append(f"# TYPE auditor_watermark_{name} gauge")
        for one in watermarks:
            project = json.dumps(one.project)
            lines.append(f"auditor_watermark_{name}{{project={project}}} {getattr(one, name)}")
    return "\n".join(lines) + "\n"


def serve(settings: Settings) -> None:
    """Run the server until it is told to stop."""
    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = Server(settings)
    notes = server.gate.notes()
    config = uvicorn.Config(
        build_app(settings, server), host=settings.host, port=settings.port, loop="uvloop", http="httptools",
        log_level="warning", access_log=False, timeout_graceful_shutdown=5, server_header=False, date_header=False,
        ws_max_size=2**26,
    )  # fmt: skip
    # A thread that reads OTLP would otherwise hold the interpreter for 5 ms at a time while a stream waits.
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()  # what the server is made of stays; looking through it again and again costs a tenth of every call
    LOG.info("listening on http://%s:%d/", settings.host, settings.port)
    for note in notes:
        LOG.warning("%s", note)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
