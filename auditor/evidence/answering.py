"""Evidence values, filled in alike by every method. Torch-free."""

from typing import Any

from auditor.evidence.protocol import MethodSpec, Question
from auditor.evidence.refusal import ReplayRefused
from auditor.records.canonical import seed_of
from auditor.records.evidence import Evidence
from auditor.records.messages import Span, part_text
from auditor.records.structure import Claim


def whole_output(question: Question) -> Span:
    """The first output part of the call, where a method speaks about the call and not about a claim."""
    output = next(iter(question.call.outputs), "")
    message = question.messages.get(output)
    size = len(part_text(message.parts[0]).encode()) if message is not None and message.parts else 0
    return Span(message=output, part=0, start=0, end=size)


def refused(question: Question, claim: Claim | None, spec: MethodSpec, refusal: ReplayRefused) -> Evidence:
    """Evidence that says why a method found nothing about a claim, or about the whole call."""
    return Evidence(
        run=question.structure.run, claim=None if claim is None else claim.id, call=question.call.id, kind=spec.kind,
        method=spec.id, target=whole_output(question) if claim is None else claim.target, target_tokens=None,
        seed=str(seed_of(question.seed_key, 0)),
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
