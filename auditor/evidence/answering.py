"""Evidence values, filled in alike by every method. Torch-free."""

from typing import Any

from auditor.evidence.protocol import MethodSpec, Question
from auditor.evidence.refusal import ReplayRefused
from auditor.records.canonical import seed_of
from auditor.records.evidence import Evidence
from auditor.records.structure import Claim


def refused(question: Question, claim: Claim, spec: MethodSpec, refusal: ReplayRefused) -> Evidence:
    """Evidence that says why a method found nothing about a claim."""
    return Evidence(
        run=question.structure.run, claim=claim.id, call=question.call.id, kind=spec.kind, method=spec.id,
        target=claim.target, target_tokens=None, seed=str(seed_of(question.seed_key, 0)),
        reason=refusal.reason, detail=refusal.detail, note=spec.note,
    )  # fmt: skip


def about(replay: Any, claim: Claim, spec: MethodSpec, decision: Any, **found: Any) -> Evidence:
    """Evidence on a claim of a replayed call: target, fidelity, digests and seed from the replay, the rest as given."""
    notes = " ".join(note for note in (spec.note, *replay.notes) if note)
    return Evidence(
        run=replay.question.structure.run, claim=claim.id, call=replay.question.call.id, kind=spec.kind,
        method=spec.id, target=claim.target, target_tokens=decision.tokens, fidelity=replay.fidelity,
        seed=str(seed_of(replay.question.seed_key, 0)), **({"note": notes, "digests": replay.digests} | found),
    )  # fmt: skip
