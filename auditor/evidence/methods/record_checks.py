"""Record checks of one claim: what the recorded bytes alone say, exactly.

Algorithm: (1) collect the structure's findings that name the claim or quote its spans; (2) compare the decision's text
with the source's text. No model, no statistics: the same record gives the same answer for ever.

Counts: a stated value that differs from the recorded one, wrong arithmetic, a selector that did not follow its scores.
Blind spots: a value that agrees proves nothing about use; agreement is where the question starts.
"""

from typing import Any

from auditor.evidence.protocol import Question
from auditor.evidence.specs import SPECS
from auditor.records.evidence import Estimate, Evidence, Source
from auditor.records.messages import Span, part_text, span_text
from auditor.records.structure import Claim, Finding


class RecordChecks:
    """Implements evidence.protocol.Method; needs the record only."""

    spec = SPECS["record_checks"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        return [self._one(question, claim) for claim in question.claims]

    def _one(self, question: Question, claim: Claim) -> Evidence:
        findings = [one for one in question.structure.findings if concerns(one, claim)]
        estimates = [_agreement(question, claim, source) for source in claim.sources]
        estimates += [
            Estimate(
                name=one.check, value=1.0 if one.holds else 0.0, unit="1",
                detail={"message": one.message, "places": [vars(place) for place in one.places]},
            )
            for one in findings
        ]  # fmt: skip
        broken = [one.message for one in findings if not one.holds]
        return Evidence(
            run=question.structure.run, claim=claim.id, call=claim.call, kind="record", method=self.spec.id,
            target=claim.target, target_tokens=None, estimates=tuple(estimates),
            sources=tuple(
                Source(label=_text(question, span)[:80], span=span, effect=estimate)
                for span, estimate in zip(claim.sources, estimates, strict=False)
            ),
            detail=" ".join(broken) or f"{len(findings)} record checks name this claim; none is broken.",
            note=self.spec.note,
        )  # fmt: skip


def concerns(finding: Finding, claim: Claim) -> bool:
    """Whether a finding is about this claim: it names it, or quotes its target and one of its sources."""
    if finding.claim is not None:
        return finding.claim == claim.id
    target = any(_overlap(place, claim.target) for place in finding.places)
    return target and any(_overlap(place, source) for place in finding.places for source in claim.sources)


def _agreement(question: Question, claim: Claim, source: Span) -> Estimate:
    """1 when the decision's very text stands in the source, 0 when it does not (it may still be derived from it)."""
    said, recorded = _text(question, claim.target), _text(question, source)
    return Estimate(
        name="decision_text_in_source", value=1.0 if said and said in recorded else 0.0, unit="1",
        detail={"decision": said[:200], "source": recorded[:200]},
    )  # fmt: skip


def _text(question: Question, span: Span) -> str:
    message = question.messages.get(span.message)
    if message is None or span.part >= len(message.parts) or not part_text(message.parts[span.part]):
        return ""
    return span_text(message, span)


def _overlap(one: Span, other: Span) -> bool:
    same = (one.message, one.part) == (other.message, other.part)
    return same and one.start < other.end and other.start < one.end
