"""From records to answers: small pure functions shared by the routes."""

from collections.abc import Iterable

from auditor.evidence.protocol import MethodSpec
from auditor.ledger.protocol import Stored
from auditor.records.evidence import Evidence
from auditor.records.exchange import Gap
from auditor.records.structure import Claim, Step, Structure
from auditor.records.verdict import Verdict
from auditor.views import forms
from auditor.views.library import Library
from auditor.views.shelf import RunShelf

MAY = {
    "record": "Decides on its own, exactly.",
    "intervention": "Decides, with statistics.",
    "attribution": "Ranks candidates; never decides.",
    "provenance": "Shows what was read, never what was relied on.",
    "feature": "Names what was represented; decides only after a feature intervention.",
    "influence": "Points to training documents; decides only where retraining or a closed-book control confirms it.",
}
"""What each kind of evidence may do (design §4)."""


def run_row(shelf: RunShelf) -> forms.RunRow:
    return forms.RunRow(
        run=shelf.run,
        title=shelf.title,
        agent=shelf.agent,
        model=shelf.model,
        origin=shelf.origin,
        tags=shelf.tags,
        started=shelf.started,
        ended=shelf.ended,
        recorded_at=shelf.recorded_at,
        position=shelf.last_position,
        steps=shelf.steps,
        calls=shelf.calls,
        claims=len(shelf.claims),
        failed_findings=shelf.failed_findings,
        gaps=shelf.gaps,
        verdicts=forms.VerdictCounts(**shelf.verdict_counts()),
        fidelity=fidelity_view(shelf),
        usage=forms.UsageView(**vars(shelf.usage)),
    )


def fidelity_view(shelf: RunShelf) -> forms.FidelityView:
    """Worst figures over all calls that were replayed."""
    calls = list(shelf.fidelity.values())
    compared = [call for call in calls if call.argmax_agreement is not None]
    refused = [call.refused for call in calls if call.refused]
    gaps = [call.max_logprob_gap for call in compared if call.max_logprob_gap is not None]
    reason = refused[0] if refused else None if compared else "not replayed yet"
    return forms.FidelityView(
        calls=len(compared),
        tokens=sum(call.tokens for call in compared),
        refused=len(refused),
        reason=reason,
        argmax_agreement=min(
            (call.argmax_agreement for call in compared if call.argmax_agreement is not None), default=None
        ),
        max_logprob_gap=max(gaps, default=None),
    )


def total_counts(shelves: Iterable[RunShelf]) -> forms.VerdictCounts:
    total = dict.fromkeys(("relied_on", "decorative", "contradicted", "undetermined", "untested"), 0)
    for shelf in shelves:
        for word, count in shelf.verdict_counts().items():
            total[word] += count
    return forms.VerdictCounts(**total)


def verdict_view(stored: Stored, verdict: Verdict) -> forms.VerdictView:
    return forms.VerdictView(
        record=stored.id, position=stored.position, recorded_at=stored.record.recorded_at, verdict=verdict
    )


def evidence_view(stored: Stored, evidence: Evidence, methods: dict[str, MethodSpec]) -> forms.EvidenceView:
    name = evidence.method.partition("@")[0]
    spec = methods.get(name)
    title = spec.title if spec else name.replace("_", " ")
    return forms.EvidenceView(
        record=stored.id,
        position=stored.position,
        recorded_at=stored.record.recorded_at,
        title=title,
        may=MAY[evidence.kind],
        evidence=evidence,
    )


def method_view(spec: MethodSpec) -> forms.MethodView:
    return forms.MethodView(
        id=spec.id,
        name=spec.name,
        kind=spec.kind,
        title=spec.title,
        needs=sorted(spec.needs),
        unit=spec.unit,
        cost=spec.cost,
        reference=spec.reference,
        blind_spots=spec.blind_spots,
        note=spec.note,
    )


def claim_row(library: Library, structure: Structure, claim: Claim) -> forms.ClaimRow:
    current = library.current_verdict(structure.run, claim.id)
    return forms.ClaimRow(
        claim=claim,
        current=verdict_view(*current) if current else None,
        source_texts=[library.quote(span) for span in claim.sources],
        target_text=library.quote(claim.target),
    )


def claims_by_step(structure: Structure) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for claim in structure.claims:
        for step in dict.fromkeys((claim.source_step, claim.target_step)):
            found.setdefault(step, []).append(claim.id)
    return found


def gap_views(library: Library, structure: Structure) -> list[forms.GapView]:
    """Gap records, and the sentences that structure itself wrote."""
    own = [
        forms.GapView(
            record=None, gap=Gap(what=sentence, why="found while the run was put together", run=structure.run)
        )
        for sentence in structure.gaps
    ]
    return own + [forms.GapView(record=record, gap=gap) for record, gap in library.gaps(structure.run)]


def outcome_of(structure: Structure) -> Step | None:
    """The step that concluded a run: its last answer, else its last step."""
    ordered = sorted(structure.steps, key=lambda step: step.order)
    answers = [step for step in ordered if step.kind == "answer"]
    found = answers or ordered
    return found[-1] if found else None
