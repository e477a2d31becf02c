"""Training documents that pushed the model towards the decision, with what they say and repeat shown beside.

Algorithm: gradient of log p(decision tokens), summed, over the model's linear maps; whitened by K-FAC curvature; inner
product with every indexed document's whitened gradient (influence_index.py). Documents are ranked by the cosine: the
influence per unit of change the document asks for (RelatIF), since the plain score follows the few documents that
the model fits worst; the score, a first-order prediction in nats that is not calibrated, stands in the detail.
The interval is what the same query gives documents with shuffled targets, which no content connects with the decision.
`support` (BM25) and `verbatim` (longest shared token run) answer two other questions and are never merged with it.

Counts: documents whose training step raises this decision's probability. Blind spots: first order around the trained
weights, redundant documents share credit, only indexed documents, maps that are skipped (see the coverage check).
References: Koh & Liang 2017 (1703.04730); Grosse et al. 2023 (2308.03296); Barshan et al. 2020 (2003.11630).
"""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor.errors import BadSetup
from auditor.evidence.answering import about, refused
from auditor.evidence.claims import by_target
from auditor.evidence.influence_index import InfluenceIndex, Scan, load
from auditor.evidence.overlap import Bm25, longest_shared_run
from auditor.evidence.prepare import influence_folder
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.specs import SPECS
from auditor.records.evidence import Check, Cost, Estimate, Evidence, Interval, Source
from auditor.records.structure import Claim

TOP = 10
"""Documents shown."""
LEAST_SHARE = 0.5
"""Share of parameters that must be attributed."""
LEAST_AGREEMENT = 0.9
"""Rank correlation of stored with uncompressed scores, measured when the index was built."""
CONTEXT = 200
"""Characters of the output before the decision that the text look-ups use."""


class Influence:
    """Implements evidence.protocol.Method. Keeps the last index: a worker asks about one model at a time."""

    spec = SPECS["influence"]

    def __init__(self) -> None:
        self._held: tuple[Path, InfluenceIndex, Bm25] | None = None

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        try:
            index, support = self._find(question, replay)
        except ReplayRefused as no:
            return [refused(question, claim, self.spec, no) for claim in question.claims]
        found: list[Evidence] = []
        for done, (span, claims) in enumerate(by_target(question)):
            question.progress(done, len(question.claims), "influence: scanning training documents")
            try:
                first = self._explain(question, replay, index, support, claims[0], replay.decision(span))
            except ReplayRefused as no:
                first = refused(question, claims[0], self.spec, no)
            found += [replace(first, claim=claim.id) for claim in claims]
        return found

    def _find(self, question: Question, replay: Replay | None) -> tuple[InfluenceIndex, Bm25]:
        """The index with its text look-up; ReplayRefused says why there is none and what to do."""
        if question.model is None or replay is None:
            raise ReplayRefused("weights_unavailable", "the models file has no weights for this model")
        if question.model.training_corpus is None:
            fix = "add a training_corpus to its entry in the models file, run `auditor prepare`"
            raise ReplayRefused("unsupported", f"the training documents of this model are not known: {fix}")
        cache = question.options.get("cache")
        folder = influence_folder(question.model, Path(cache)) if cache else None
        if folder is None:
            raise ReplayRefused("unsupported", "there is no influence index for this model: run `auditor prepare`")
        if self._held is None or self._held[0] != folder:
            try:
                index = load(folder)
            except BadSetup as fault:
                raise ReplayRefused("unsupported", str(fault)) from fault
            self._held = folder, index, Bm25([document.text for document in index.documents])
        _, index, support = self._held
        if index.card.model_digest != replay.loaded.weights_digest:
            raise ReplayRefused("weights_changed", "the index is of other weights: run `auditor prepare`")
        return index, support

    def _explain(
        self, question: Question, replay: Replay, index: InfluenceIndex, support: Bm25, claim: Claim,
        decision: Decision,
    ) -> Evidence:  # fmt: skip
        began = time.monotonic()
        scan = index.scan(replay.model, replay.ids.tolist(), decision.positions)
        start = max(replay.rendering.output_start, decision.characters[0] - CONTEXT)
        said = replay.text[start : decision.characters[1]]
        supports = support.scores(said)
        tokens = replay.encoded.ids[replay.token_range(start, decision.characters[1]).start : decision.tokens.end]
        order = sorted(range(len(index.documents)), key=lambda n: (-float(scan.cosines[n]), n))
        rank = {n: place for place, n in enumerate(sorted(order, key=lambda n: (-supports[n], n)), 1)}
        word = replay.text[slice(*decision.characters)]
        groups = _alike(index, order)
        sources = tuple(
            Source(
                label=index.documents[n].label, span=None, ref=f"document:{index.documents[n].id}",
                effect=_effect(scan, n),
                detail={
                    "cosine": float(scan.cosines[n]), "score": float(scan.scores[n]), "z": _z(scan, n),
                    "null_share": _null_share(scan, n), "support": supports[n], "support_rank": rank[n],
                    "verbatim": longest_shared_run(tokens, index.documents[n].ids),
                    "decision_text": word in index.documents[n].text, "tokens": sum(index.documents[n].scored),
                    "alike": len(groups[n]), "score_alike": float(scan.scores[groups[n]].sum()),
                },
            )
            for n in list(groups)[:TOP]
        )  # fmt: skip
        return about(
            replay, claim, self.spec, decision, sources=sources, estimates=_estimates(scan, supports),
            checks=_checks(index, scan),
            digests={**replay.digests, "corpus": index.card.corpus_digest},
            cost=Cost(seconds=round(time.monotonic() - began, 3), forwards=1, backwards=1),
            detail=f"The {len(sources)} of {len(order)} indexed training documents that support the decision most; "
            "documents that say the same are shown once.",
        )  # fmt: skip


def _alike(index: InfluenceIndex, order: list[int]) -> dict[int, list[int]]:
    """Documents with the same label under the strongest of them, strongest first: copies would hide all others."""
    first: dict[str, int] = {}
    groups: dict[int, list[int]] = {}
    for n in order:
        label = index.documents[n].label
        groups.setdefault(first.setdefault(label, n), []).append(n)
    return groups


def _effect(scan: Scan, n: int) -> Estimate:
    value, half = float(scan.cosines[n]), 1.96 * _spread(scan)
    return Estimate(
        name="relative_influence", value=value, unit="1",
        interval=Interval(
            low=value - half, high=value + half, level=0.95, method="normal, spread of the null control",
            n=len(scan.null), population="indexed documents with shuffled targets",
        ),
    )  # fmt: skip


def _spread(scan: Scan) -> float:
    return float(scan.null.std()) if len(scan.null) > 1 else 0.0


def _z(scan: Scan, n: int) -> float:
    return (float(scan.cosines[n]) - float(scan.null.mean())) / max(_spread(scan), 1e-12)


def _null_share(scan: Scan, n: int) -> float:
    """Share of null documents at least as high, counting the document itself (Phipson & Smyth 2010)."""
    return (1 + int((scan.null >= scan.cosines[n]).sum())) / (1 + len(scan.null))


def _estimates(scan: Scan, supports: list[float]) -> tuple[Estimate, ...]:
    """The null control, and how far influence and support agree over all documents (they often do not)."""
    from_null = Estimate(
        name="null_control", value=float(scan.null.max()), unit="1",
        detail={"mean": float(scan.null.mean()), "spread": _spread(scan), "documents": len(scan.null)},
    )  # fmt: skip
    best = max(range(len(supports)), key=lambda n: supports[n])
    place = 1 + int((scan.cosines > scan.cosines[best]).sum())
    return from_null, Estimate(name="rank_of_best_support", value=float(place), unit="1", detail={"kind": "support"})


def _checks(index: InfluenceIndex, scan: Scan) -> tuple[Check, ...]:
    card = index.card
    top = float(scan.cosines.max())
    bound = float(scan.null.max())
    return (
        Check(
            name="coverage", passed=card.share >= LEAST_SHARE, value=card.share, bound=LEAST_SHARE, unit="share",
            note=f"share of parameters attributed, {card.taps} maps; left out: {'; '.join(card.skipped[:6])}"
            + (f" and {len(card.skipped) - 6} more" if len(card.skipped) > 6 else ""),
        ),
        Check(
            name="documents_indexed", passed=None, value=card.documents / max(1, card.corpus_documents), bound=None,
            unit="share", note=f"{card.documents} of {card.corpus_documents} documents of the corpus file",
        ),
        Check(
            name="store_agreement", passed=card.agreement >= LEAST_AGREEMENT, value=card.agreement,
            bound=LEAST_AGREEMENT, unit="1", note="Spearman of stored with uncompressed scores, sampled pairs",
        ),
        Check(
            name="above_null", passed=top > bound and math.isfinite(top), value=top, bound=bound, unit="1",
            note="strongest document against the strongest with shuffled targets",
        ),
    )  # fmt: skip
