"""citation: the document a sentence cites contains the values the sentence states.

For each sentence with citations that all resolve to documents: each weighty value of it (number from 10 up, date,
identifier) stands in one of the cited documents. A value that stands in none, but in the prompt or nowhere, is left
out: the sentence may have it from the question or have worked it out; a value that stands in another document or tool
result instead is a finding, and so is one that differs from the only value of its kind in a cited document of at most
one such value. Not seen: values in words, paraphrase, entailment.
"""

from collections.abc import Sequence

from auditor.records.messages import Span
from auditor.records.structure import Citation, Document, Finding
from auditor.structure.checks.forms import forms_of, kind_of
from auditor.structure.checks.protocol import Recorded
from auditor.structure.layout import value_span
from auditor.structure.values import Value


def check(run: Recorded) -> list[Finding]:
    """One finding for each stated value of a citing sentence that can be told, right or wrong."""
    documents = {one.id: one for one in run.documents}
    by_sentence: dict[Span, list[Citation]] = {}
    for one in run.citations:
        by_sentence.setdefault(one.sentence, []).append(one)
    findings: list[Finding] = []
    index = _Index(run) if by_sentence else None
    for sentence, own in by_sentence.items():
        cited = [documents[one.document] for one in own if one.document is not None]
        if index is not None and len(cited) == len(own):
            findings += _of_sentence(run, sentence, own, cited, index)
    return findings


class _Index:
    """Where documents, and prompts outside them, hold a value; made in one walk."""

    def __init__(self, run: Recorded) -> None:
        self._held: dict[str, dict[str, Span]] = {}
        """Mark of a value -> document -> place."""
        self._asked: set[str] = set()
        inside: dict[tuple[str, int], list[Span]] = {}
        for one in run.documents:
            inside.setdefault((one.span.message, one.span.part), []).append(one.span)
            for value in run.layout.values_of(one.span):
                for form in forms_of(value):
                    place = value_span(one.span.message, one.span.part, value)
                    self._held.setdefault(form, {}).setdefault(one.id, place)
        for step in run.layout.steps:
            if step.kind != "prompt" or step.span is None:
                continue
            own = iter(sorted(inside.get((step.span.message, step.span.part), ()), key=lambda span: span.start))
            current = next(own, None)
            for value in run.layout.values_of(step.span):
                while current is not None and current.end <= value.start:
                    current = next(own, None)
                if current is None or value.start < current.start:
                    self._asked |= forms_of(value)

    def where(self, value: Value, documents: Sequence[Document] | None, but: Sequence[Document] = ()) -> Span | None:
        """Where one of these documents (all where None) holds the value."""
        left_out = {one.id for one in but}
        for form in sorted(forms_of(value)):
            held = self._held.get(form, {})
            ids = [one.id for one in documents] if documents is not None else list(held)
            for own in ids:
                if own in held and own not in left_out:
                    return held[own]
        return None

    def asked(self, value: Value) -> bool:
        """A prompt holds the value outside the documents."""
        return bool(forms_of(value) & self._asked)


def _of_sentence(
    run: Recorded, sentence: Span, own: Sequence[Citation], cited: Sequence[Document], index: _Index
) -> list[Finding]:
    findings = []
    for value in run.layout.values_of(sentence):
        span = value_span(sentence.message, sentence.part, value)
        marked = any(one.mark != sentence and one.mark.start < span.end and span.start < one.mark.end for one in own)
        if marked or not value.weighty or kind_of(value) == "text":
            continue
        names = ", ".join(one.name or f"document {one.rank + 1}" for one in cited)
        held = index.where(value, cited)
        if held is not None:
            findings.append(Finding(check="citation", holds=True, places=(span, held),
                                    message=f"{value.text} stands in the cited {names}."))  # fmt: skip
            continue
        elsewhere = index.where(value, None, but=cited)
        instead = elsewhere or _only(run, value, cited)
        if instead is None or index.asked(value):
            continue
        found = "another document holds it" if elsewhere is not None else f"it holds {run.layout.text(instead)}"
        findings.append(Finding(
            check="citation", holds=False, places=(span, instead, *(one.span for one in cited[:1])),
            message=f"The sentence cites {names} for {value.text}, which does not stand there; {found}.",
        ))  # fmt: skip
    return findings


def _only(run: Recorded, value: Value, cited: Sequence[Document]) -> Span | None:
    """The one value of the same kind that the cited documents hold."""
    alike = [
        value_span(one.span.message, one.span.part, other) for one in cited for other in run.layout.values_of(one.span)
        if kind_of(other) == kind_of(value) and other.weighty
    ]  # fmt: skip
    return alike[0] if len(alike) == 1 else None
