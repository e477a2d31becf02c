"""What every record check is given and gives.

A check is a pure function of one run. It decides on its own, exactly; what cannot be told is left out, so that a
finding that does not hold is a fact about the record. Every finding quotes the places it speaks of, the statement
first. A check never raises for what a text holds, and walks the run once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from auditor.records.messages import Part, Span
from auditor.records.structure import Branch, Citation, Claim, Document, Finding, ModelCall, SampleSet, Step
from auditor.structure.checks.heard import Reader
from auditor.structure.layout import Layout
from auditor.structure.links import Places


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One run as the checks see it."""

    layout: Layout
    reader: Reader
    places: Places
    claims: Sequence[Claim]
    names: Mapping[str, str]
    """Tool-result step -> name of its tool."""
    calls: Mapping[str, ModelCall]
    """By id."""
    documents: Sequence[Document] = ()
    citations: Sequence[Citation] = ()
    branches: Sequence[Branch] = ()
    samples: Sequence[SampleSet] = ()

    def part(self, step: Step) -> Part | None:
        """The recorded part a step was cut from; None for a model call."""
        if step.span is None:
            return None
        return self.layout.message(step.span.message).parts[step.span.part]

    def claim(self, type_: str, target: Span, source: str | None = None) -> str | None:
        """Id of the claim of that type on a decision (from that source step), or None."""
        for claim in self.claims:
            if claim.type == type_ and claim.target == target and source in (None, claim.source_step):
                return claim.id
        return None


Check = Callable[[Recorded], list[Finding]]
"""Findings of one check, in the order of the run."""


def within(outer: Span, start: int, end: int) -> Span:
    """Bytes [start, end) of a span's text, as a span of the same part."""
    return Span(message=outer.message, part=outer.part, start=outer.start + start, end=outer.start + end)
