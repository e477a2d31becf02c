"""Composition of the audit API: one application to be mounted at /api."""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from auditor.access.office import KeyOffice
from auditor.evidence import catalogue
from auditor.ledger.protocol import Ledger, Verification
from auditor.views.api import problems
from auditor.views.api.access import access_routes
from auditor.views.api.claims import Methods, claim_routes
from auditor.views.api.docs import docs_page
from auditor.views.api.ledger import ledger_routes
from auditor.views.api.lineage import LineageGraph, lineage_routes
from auditor.views.api.paths import RawPath
from auditor.views.api.runs import run_routes
from auditor.views.commands import Audits, Health
from auditor.views.library import Library

_ABOUT = (
    "What agents did, what they said moved them, and what really did. Lists answer {items, next}; errors are "
    "RFC 9457 problem JSON with code, field and fix. Trace text is untrusted: show it as text. "
    "Run ids may contain slashes: percent-encode them."
)
_DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def build_api(
    *,
    ledger: Ledger,
    graph: LineageGraph,
    audits: Audits,
    health: Health,
    library: Library | None = None,
    methods: Methods = catalogue.specs,
    verify: Callable[[], Verification] | None = None,
    node_of_step: Callable[[str], str] = lambda step: step,
    office: KeyOffice | None = None,
) -> FastAPI:
    """The API as an ASGI application; mount it at `/api` (it serves `/v1/…`, `/docs` and `/openapi.json`).

    Args:
        library: share one where other views read the ledger too; made here unless given.
        verify: derives every hash again; without it the verification route answers 503.
        node_of_step: step id -> id of its node in the graph.
        office: makes and revokes keys; without it there are no routes for that.
    """
    library = library or Library(ledger)
    app = FastAPI(
        title="Reasoning auditor: audit API",
        version="1",
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses=problems.RESPONSES,
        servers=[{"url": "/api"}],
    )
    app.add_middleware(RawPath)
    problems.install(app)
    # Lineage first: /runs/{run:path} at the end of the run routes would swallow /runs/{run}/why.
    app.include_router(lineage_routes(library, ledger, graph, node_of_step), prefix="/v1")
    app.include_router(run_routes(library, audits), prefix="/v1")
    app.include_router(claim_routes(library, ledger, methods), prefix="/v1")
    app.include_router(ledger_routes(library, ledger, health, verify), prefix="/v1")
    if office is not None:
        app.include_router(access_routes(office), prefix="/v1")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()), headers={"content-security-policy": _DOCS_POLICY})

    return app
