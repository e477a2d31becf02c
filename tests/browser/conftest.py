"""A real Chromium over a real server with the views' recorded world in it."""

import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from auditor.access.gate import KeyGate
from auditor.access.keys import KeyRing, open_hasher
from auditor.access.office import KeyOffice
from auditor.access.vault import open_provider_vault
from auditor.capture.redact import compile_rules
from auditor.ledger.verify import verify
from auditor.views.api import build_api
from auditor.views.api.gate import ApiGate
from auditor.views.assets import BUNDLE, mount_dashboard
from auditor.views.scoped import ProjectHealth, ProjectLedger

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next((Path(p) for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(p).exists()), None)


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


real_part_missing = load("shared_conftest", ROOT / "tests" / "conftest.py").real_part_missing


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The dashboard and its API on a port picked by the system; `world` is what was recorded."""
    module = load("views_world", ROOT / "tests" / "auditor" / "views" / "world.py")
    world = module.build_world(tmp_path_factory.mktemp("world"))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    api = build_api(
        ledger=world.ledger,
        graph=world.graph,
        audits=world.audits,
        health=world.health,
        verify=lambda: verify(world.ledger),
    )
    app.mount("/api", api)
    mount_dashboard(app)
    with served(app) as base:
        yield SimpleNamespace(base=base, world=world, lamp=quote("demo/tool-user/0001", safe=""))
    world.ledger.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A server of its own with the gate and the office of keys before it; `world` holds a run with tokens and cost."""
    module = load("views_world", ROOT / "tests" / "auditor" / "views" / "world.py")
    world = module.World(tmp_path)
    module.priced_run(world)
    hasher, vault = open_hasher(tmp_path), open_provider_vault(tmp_path, None)
    ring = KeyRing(world.ledger, hasher)
    office = KeyOffice(world.ledger, ring, hasher, vault, compile_rules)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def api(project: str | None) -> Any:
        """What the holder of a key is served, as the real server composes it."""
        ledger = world.ledger if project is None else ProjectLedger(world.ledger, project)
        health = world.health if project is None else ProjectHealth(world.health, project, dict)
        return build_api(ledger=ledger, graph=world.graph, audits=world.audits, health=health, office=office)

    app.mount("/api", ApiGate(KeyGate(ring, vault), api))
    mount_dashboard(app)
    with served(app) as base:
        yield SimpleNamespace(base=base, world=world, office=office)
    world.ledger.close()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application on a port picked by the system; gives its address."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")  # it keeps an event loop running, under which no asynchronous test could run
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        real_part_missing("Chromium", "install it, e.g. apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page that fails its test on any script error, console error or policy violation."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme=request.param)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda fault: complaints.append(f"script: {fault}"))
    # The browser reports every refused request as an error: 503 for steps the graph has not seen, 404 for unknown ids.
    opened.on(
        "console",
        lambda said: (
            complaints.append(f"console: {said.text}")
            if said.type == "error" and not said.text.startswith("Failed to load resource")
            else None
        ),
    )
    opened.on("requestfailed", lambda lost: complaints.append(f"lost: {lost.url}") if "assets" in lost.url else None)
    opened.add_init_script(
        "window.violations=[];addEventListener('securitypolicyviolation',e=>violations.push(e.violatedDirective))"
    )
    yield opened
    violations = opened.evaluate("window.violations")
    context.close()
    assert violations == []
    assert complaints == []


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, from the dashboard's development dependencies."""
    script = BUNDLE.parent / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        real_part_missing("axe-core", "run npm ci in auditor/views/dashboard")
    return script.read_text(encoding="utf-8")
