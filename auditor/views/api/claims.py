"""Routes for messages, claims, evidence and methods."""

from collections import Counter
from collections.abc import Callable, Iterable

import orjson
from fastapi import APIRouter

from auditor.errors import AuditorError, NotFound
from auditor.evidence.protocol import MethodSpec
from auditor.ledger.protocol import Ledger
from auditor.views import forms
from auditor.views.api.paths import Cursor, Id, Limit, decode_cursor, encode_cursor
from auditor.views.api.runs import message_view
from auditor.views.api.shapes import claim_row, evidence_view, method_view, verdict_view
from auditor.views.library import Library

Methods = Callable[[], Iterable[MethodSpec]]


def claim_routes(library: Library, ledger: Ledger, methods: Methods) -> APIRouter:
    router = APIRouter(tags=["claims"])

    @router.get("/messages/{message}", summary="One message with its parts", tags=["runs"])
    def message(message: Id) -> forms.MessageView:
        library.message(message)
        return message_view(library, message, None, "other")

    @router.get("/claims/{claim}", summary="A claim, its current verdict and every earlier one")
    def claim_detail(claim: Id) -> forms.ClaimView:
        structure, found = library.claim(claim)
        history = library.verdicts(structure.run, claim)
        kinds = Counter[str](evidence.kind for _, evidence in library.evidence_of_claim(structure.run, claim))
        return forms.ClaimView(
            **dict(claim_row(library, structure, found)),
            run=structure.run,
            model=structure.model,
            agent=structure.agent,
            history=[verdict_view(*item) for item in history],
            evidence=dict(kinds),
            findings=[finding for finding in structure.findings if finding.claim == claim],
        )

    @router.get("/claims/{claim}/evidence", summary="All evidence on a claim, oldest first")
    def evidence(claim: Id, limit: Limit = 100, cursor: Cursor = None) -> forms.Page[forms.EvidenceView]:
        structure, _ = library.claim(claim)
        found = library.evidence_of_claim(structure.run, claim)
        table = {spec.name: spec for spec in methods()}
        start = decode_cursor(cursor) or 0
        items = [evidence_view(stored, own, table) for stored, own in found[start : start + limit]]
        return forms.Page(items=items, next=encode_cursor(start + limit) if start + limit < len(found) else None)

    @router.get("/evidence/{record}", summary="One evidence record")
    def evidence_detail(record: Id) -> forms.EvidenceView:
        stored, own = library.evidence(record)
        return evidence_view(stored, own, {spec.name: spec for spec in methods()})

    @router.get("/evidence/{record}/arms/{arm}/effects", summary="Every draw of one intervention family")
    def effects(record: Id, arm: int) -> forms.Page[forms.Replicate]:
        _, own = library.evidence(record)
        if not 0 <= arm < len(own.arms):
            raise NotFound("arm", f"this evidence has {len(own.arms)} arms", "count arms from 0")
        return forms.Page(items=replicates(ledger, own.arms[arm].effects))

    @router.get("/methods", summary="Methods, what they need and what they cannot see", tags=["methods"])
    def method_list() -> forms.Page[forms.MethodView]:
        return forms.Page(items=[method_view(spec) for spec in methods()])

    return router


def replicates(ledger: Ledger, address: str) -> list[forms.Replicate]:
    """The raw effects of an arm; an arm that was skipped has none."""
    if not address:
        return []
    data = orjson.loads(ledger.payload(address))
    if not isinstance(data, list):
        raise AuditorError("effects", "the stored effects are no JSON array", "run `auditor verify`")
    return [forms.Replicate(**{key: item.get(key) for key in forms.Replicate.model_fields}) for item in data]
