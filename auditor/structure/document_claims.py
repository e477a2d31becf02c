"""document_answer: what an answer states depends on a retrieved document.

| status | found_by | rule |
|---|---|---|
| stated | `cited_document+<rule>` | the sentence cites the document, which holds the value |
| stated | `cited_document+<rule>` | the sentence cites the document and has no value: it is the decision itself |
| available | `shared_value` | a document that the call could see holds a value of the answer |

The source is the value in the document, else the whole document. Not seen: paraphrase.
"""

from collections.abc import Sequence

from auditor.records.messages import Span
from auditor.records.structure import Citation, Claim, Document, Step, claim_id
from auditor.structure.checks.forms import agree, forms_of
from auditor.structure.claims import decisions
from auditor.structure.layout import Layout, short, value_span
from auditor.structure.links import Place, Places

_MOST_SOURCES = 8


def document_claims(
    layout: Layout, places: Places, documents: Sequence[Document], citations: Sequence[Citation]
) -> list[Claim]:
    """All document_answer claims of a run in the order of their targets; each id once."""
    if not documents:
        return []
    finder = _Finder(layout, documents)
    by_text: dict[tuple[str, int], list[Citation]] = {}
    for citation in citations:
        by_text.setdefault((citation.mark.message, citation.mark.part), []).append(citation)
    for step in layout.steps:
        if step.kind in ("answer", "thought") and step.call is not None and step.span is not None:
            own = [one for one in by_text.get((step.span.message, step.span.part), ()) if _inside(one.mark, step.span)]
            cited: set[tuple[int, str]] = set()
            for citation in own:
                cited |= finder.cited(step, places, citation)
            if step.kind == "answer":
                finder.available(step, decisions(layout, places, step), places, cited)
    return list(finder.found.values())


class _Finder:
    def __init__(self, layout: Layout, documents: Sequence[Document]) -> None:
        self.layout = layout
        self.found: dict[str, Claim] = {}
        self._by_id = {one.id: one for one in documents}
        self._of_step: dict[str, list[Document]] = {}
        for one in documents:
            self._of_step.setdefault(one.step, []).append(one)
        self._inputs = {call.id: call.inputs for call in layout.calls}

    def cited(self, step: Step, places: Places, citation: Citation) -> set[tuple[int, str]]:
        """Claims of one citation; (start of the value, document) of each."""
        document = self._by_id.get(citation.document or "")
        if document is None or step.call is None:
            return set()
        own = [
            place for place in places.of_step(step)
            if place.value.weighty and _inside(place.span, citation.sentence) and not (
                citation.mark != citation.sentence and _inside(place.span, citation.mark))
        ]  # fmt: skip
        found_by = f"cited_document+{citation.rule}"
        named = set()
        for place in own:
            if sources := self._held(place, document):
                self._add("stated", sources, place.span, document, step, found_by)
                named.add((place.span.start, document.id))
        if not own:
            self._add("stated", [document.span], citation.sentence, document, step, found_by)
        return named

    def available(
        self, step: Step, targets: Sequence[Place], places: Places, cited: set[tuple[int, str]]
    ) -> None:
        """Documents whose steps hold a decision's value, unless they are cited for it."""
        inputs = set(self._inputs.get(step.call or "", ()))
        for place in targets:
            sources: dict[str, list[Span]] = {}
            for one in places.same(place):
                if one.span.message not in inputs:
                    continue
                for document in self._of_step.get(one.step.id, ()):
                    if _inside(one.span, document.span) and (place.span.start, document.id) not in cited:
                        sources.setdefault(document.id, []).append(one.span)
            for document_id, spans in sources.items():
                self._add("available", spans, place.span, self._by_id[document_id], step, "shared_value")

    def _held(self, place: Place, document: Document) -> list[Span]:
        forms = forms_of(place.value)
        return [
            value_span(document.span.message, document.span.part, other)
            for other in self.layout.values_of(document.span) if agree(forms, forms_of(other))
        ]  # fmt: skip

    def _add(
        self, status: str, sources: Sequence[Span], target: Span, document: Document, step: Step, found_by: str
    ) -> None:
        kept = tuple(dict.fromkeys(sources))[:_MOST_SOURCES]
        own = claim_id("document_answer", kept, target, "depends_on")
        decision, quoted = short(self.layout.text(target)), short(self.layout.text(kept[0]))
        name = f"the document {document.name}" if document.name else "a document"
        self.found.setdefault(own, Claim(
            id=own, type="document_answer", status=status, relation="depends_on", sources=kept, target=target,  # type: ignore[arg-type]
            source_step=document.step, target_step=step.id, call=step.call or "", found_by=found_by,
            text=f"The answer “{decision}” depends on “{quoted}” in {name}.",
        ))  # fmt: skip


def _inside(inner: Span, outer: Span) -> bool:
    same = (inner.message, inner.part) == (outer.message, outer.part)
    return same and outer.start <= inner.start and inner.end <= outer.end
