"""Routes over the ledger itself, and the server's health as the dashboard shows it."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from auditor.errors import Unavailable
from auditor.ledger.protocol import Ledger, Verification
from auditor.views import forms
from auditor.views.api.paths import Id
from auditor.views.commands import Health
from auditor.views.library import Library


def ledger_routes(
    library: Library, ledger: Ledger, health: Health, verify: Callable[[], Verification] | None
) -> APIRouter:
    router = APIRouter(tags=["ledger"])

    @router.get("/records/{record}", summary="A record as it was hashed")
    def record(record: Id) -> forms.RecordView:
        stored = ledger.record(record)
        return forms.RecordView(
            id=stored.id, position=stored.position, chain=stored.chain, record=stored.record.to_json()
        )

    @router.get("/ledger", summary="Head of the ledger")
    def head() -> forms.LedgerView:
        found = ledger.head()
        return forms.LedgerView(position=found.position, chain=found.chain, records=found.position + 1)

    @router.post("/ledger/verification", summary="Derive every hash again; takes as long as the ledger is large")
    def verification() -> forms.VerificationView:
        if verify is None:
            raise Unavailable("ledger", "this server was started without a verifier", "run `auditor verify`")
        found = verify()
        return forms.VerificationView(
            records=found.records,
            payloads=found.payloads,
            intact=found.intact,
            complete=found.complete,
            first_bad=found.first_bad,
            problems=list(found.problems),
            position=found.head.position,
            chain=found.head.chain,
        )

    @router.get("/health", summary="Recording trouble, workers, lag", tags=["health"])
    def health_view() -> dict[str, Any]:
        return {**health.view(), "unreadable": list(library.trouble())}

    @router.get("/watermarks", summary="Per project: accepted, durable, projected, evidence attached", tags=["health"])
    def watermarks() -> forms.Watermarks:
        return forms.Watermarks(items=health.watermarks())

    return router
