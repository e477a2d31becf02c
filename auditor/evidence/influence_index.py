"""The index of a model's training documents for influence queries: build, save, load, scan.

Score of document n for a query f (a sum of log-probabilities), in nats:
    I(n) = <S_d^-1/2 G_q A_d^-1/2, S_d^-1/2 G_n A_d^-1/2> / tokens
the first-order fall of f when n is taken out of training (positive: the document supports the decision), under K-FAC
curvature (see curvature.py) and factors (see factors.py). It is a prediction: trained to convergence, redundant
documents share credit, and only retraining or a closed-book control proves it. Blind spots: norms, embeddings and
whatever `skipped` names; what the model learnt before this corpus; documents that were not indexed.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from torch import Tensor

from auditor.errors import BadSetup
from auditor.evidence.curvature import GAMMA, Curvature, fit, reached
from auditor.evidence.factors import Factors, compress, dense, inner, joined, picked, squared_norms
from auditor.evidence.gradients import WIDEST, Coverage, Rows, Tap, cover, gradient_rows, log_likelihood, pad
from auditor.evidence.training_corpus import TrainingDocument

VERSION = "kfac-factors-2"
FACTORS, DOCUMENTS, CARD = "factors.safetensors", "documents.jsonl", "index.json"
Report = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an index is built; part of its cache key."""

    limit: int = 600
    """Documents indexed at most, evenly spaced in the corpus."""
    rank: int | None = 8
    """Outer products kept per map and document; None keeps every token's."""
    gamma: float = GAMMA
    seed: int = 0
    fitted: int = 128
    """Documents the curvature is fitted on."""
    null: int = 48
    """Documents indexed a second time with shuffled targets, as the null control."""
    widest: int = WIDEST
    version: str = VERSION


@dataclass(frozen=True, kw_only=True)
class IndexCard:
    """What a reader must know of an index."""

    model_digest: str
    corpus_digest: str
    recipe: Recipe
    documents: int
    corpus_documents: int
    tokens: int
    """Tokens of the indexed documents that a gradient reaches: the size of the curvature sum."""
    share: float
    """Share of the model's parameters that is attributed."""
    taps: int
    skipped: tuple[str, ...]
    agreement: float
    """Spearman correlation of stored with uncompressed scores over a sample of document pairs."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Per document: `scores` [N] in nats, `cosines` [N]; and the cosines of the null documents [M]."""

    scores: Tensor
    cosines: Tensor
    null: Tensor


@dataclass(frozen=True, kw_only=True)
class InfluenceIndex:
    card: IndexCard
    documents: tuple[TrainingDocument, ...]
    factors: Factors
    null: Factors
    curvature: Curvature

    def scan(self, model: Any, ids: Sequence[int], places: Sequence[int]) -> Scan:
        """Score every document for sum over p in `places` of log p(ids[p] | ids[:p]): one forward, one backward.

        ValueError for an empty or impossible place (the first token has no prediction).
        """
        if not places or min(places) < 1 or max(places) >= len(ids):
            raise ValueError(f"decision tokens {list(places)} cannot be predicted in a call of {len(ids)} tokens")
        taps = cover(model, widest=self.card.recipe.widest).taps
        rows = self.curvature.whiten(_query_rows(model, taps, ids, places))
        norm = float(squared_norms(rows).sqrt())
        unit = {name: matrix / max(norm, 1e-30) for name, matrix in dense(rows).items()}
        cosines = self.factors.cosines(unit)
        return Scan(
            scores=cosines * self.factors.norms * norm / self.card.tokens,
            cosines=cosines, null=self.null.cosines(unit),
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write factors and curvature (safetensors), documents (JSON Lines) and the card (JSON) into `folder`."""
        tensors: dict[str, Tensor] = {"norms": self.factors.norms, "null_norms": self.null.norms}
        for name in self.factors.left:
            tensors[f"left:{name}"], tensors[f"right:{name}"] = self.factors.left[name], self.factors.right[name]
            tensors[f"null_left:{name}"] = self.null.left[name]
            tensors[f"null_right:{name}"] = self.null.right[name]
            tensors[f"a:{name}"], tensors[f"s:{name}"] = self.curvature.a[name], self.curvature.s[name]
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / FACTORS)
        with (folder / DOCUMENTS).open("w", encoding="utf-8") as lines:
            for document in self.documents:
                lines.write(json.dumps(asdict(document), ensure_ascii=False, separators=(",", ":")) + "\n")
        card = {**asdict(self.card), "curvature_tokens": self.curvature.tokens}
        (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, sort_keys=True))


def load(folder: Path) -> InfluenceIndex:
    """Read what `save` wrote. BadSetup when a file is missing or is not an index."""
    try:
        tensors = load_file(folder / FACTORS)
        card = json.loads((folder / CARD).read_text())
        rows = [json.loads(line) for line in (folder / DOCUMENTS).read_text().splitlines()]
        tokens = card.pop("curvature_tokens")
        recipe, skipped = Recipe(**card.pop("recipe")), tuple(card.pop("skipped"))

        def part(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        return InfluenceIndex(
            card=IndexCard(recipe=recipe, skipped=skipped, **card),
            documents=tuple(
                TrainingDocument(**{**row, "ids": tuple(row["ids"]), "scored": tuple(row["scored"])}) for row in rows
            ),
            factors=Factors(left=part("left:"), right=part("right:"), norms=tensors["norms"]),
            null=Factors(left=part("null_left:"), right=part("null_right:"), norms=tensors["null_norms"]),
            curvature=Curvature(a=part("a:"), s=part("s:"), tokens=tokens),
        )
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise BadSetup(str(folder), f"is not an influence index: {fault}", "run `auditor prepare`") from fault


def build(
    model: Any, documents: Sequence[TrainingDocument], *, recipe: Recipe, model_digest: str, corpus_digest: str,
    corpus_documents: int | None = None, report: Report = lambda done, total: None,
) -> InfluenceIndex:  # fmt: skip
    """Index the documents that have a scored token. ValueError when none has or no linear map can be attributed."""
    began = time.monotonic()
    usable = tuple(document for document in documents if any(document.scored[1:]))
    coverage = cover(model, widest=recipe.widest)
    if not usable or not coverage.taps:
        raise ValueError("nothing to index: no document has a scored token, or the model has no linear map")
    taps = coverage.taps
    curvature = fit(model, taps, _spaced(usable, recipe.fitted), seed=recipe.seed, gamma=recipe.gamma)
    rank = recipe.rank
    width = max(len(document.ids) for document in usable) if rank is None else rank
    factors = _store(model, taps, curvature, usable, rank=width, seed=recipe.seed, report=report)
    control = _spaced(usable, recipe.null)
    null = _store(model, taps, curvature, control, rank=width, seed=recipe.seed, shuffled=True)
    scored = sum(int(reached(pad([document.scored])[0]).sum()) for document in usable)
    card = IndexCard(
        model_digest=model_digest, corpus_digest=corpus_digest, recipe=recipe, documents=len(usable),
        corpus_documents=corpus_documents or len(documents), tokens=scored, share=coverage.share, taps=len(taps),
        skipped=coverage.skipped, agreement=_agreement(model, coverage, curvature, usable, factors),
        seconds=round(time.monotonic() - began, 2),
    )  # fmt: skip
    return InfluenceIndex(card=card, documents=usable, factors=factors, null=null, curvature=curvature)


def document_rows(
    model: Any, taps: Sequence[Tap], documents: Sequence[TrainingDocument], *, shuffled: int | None = None
) -> Rows:
    """Gradients of each document's log-likelihood; with `shuffled` (a seed) its scored targets change places."""
    ids, seen = pad([document.ids for document in documents])
    scored, _ = pad([document.scored for document in documents])
    targets = ids if shuffled is None else _shuffle(ids, scored, shuffled)
    return gradient_rows(model, taps, ids, seen, lambda logits: log_likelihood(logits, targets, scored))


def _query_rows(model: Any, taps: Sequence[Tap], ids: Sequence[int], places: Sequence[int]) -> Rows:
    tokens, seen = pad([list(ids[: max(places) + 1])])
    scored = torch.zeros_like(tokens)
    scored[0, list(places)] = 1
    return gradient_rows(model, taps, tokens, seen, lambda logits: log_likelihood(logits, tokens, scored))


def _shuffle(ids: Tensor, scored: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    targets = ids.clone()
    for row, marks in enumerate(scored > 0):
        chosen = ids[row, marks]
        targets[row, marks] = chosen[torch.randperm(len(chosen), generator=generator)]
    return targets


def _store(
    model: Any, taps: Sequence[Tap], curvature: Curvature, documents: Sequence[TrainingDocument], *, rank: int,
    seed: int, shuffled: bool = False, report: Report = lambda done, total: None,
) -> Factors:  # fmt: skip
    """Factors of the documents in their order; batched by length so that little is padded."""
    parts, order = [], []
    for places in _by_length(documents):
        rows = document_rows(model, taps, [documents[p] for p in places], shuffled=seed if shuffled else None)
        parts.append(compress(curvature.whiten(rows), rank, seed=seed))
        order.extend(places)
        report(len(order), len(documents))
    return picked(joined(parts), torch.argsort(torch.tensor(order)))


def _by_length(documents: Sequence[TrainingDocument], tokens: int = 2048) -> Iterator[list[int]]:
    """Places of documents, short ones first, at most `tokens` tokens a batch after padding (and at least one)."""
    batch: list[int] = []
    for place in sorted(range(len(documents)), key=lambda p: len(documents[p].ids)):
        if batch and (len(batch) + 1) * len(documents[place].ids) > tokens:
            yield batch
            batch = []
        batch.append(place)
    yield batch


def _spaced(documents: Sequence[TrainingDocument], most: int) -> tuple[TrainingDocument, ...]:
    if len(documents) <= most:
        return tuple(documents)
    return tuple(documents[index * len(documents) // most] for index in range(most))


def _agreement(
    model: Any, coverage: Coverage, curvature: Curvature, documents: Sequence[TrainingDocument], factors: Factors,
    sample: int = 12,
) -> float:  # fmt: skip
    """Spearman correlation of stored and exact cosines over pairs of sampled documents; 1.0 when all are exact."""
    places = [index * len(documents) // sample for index in range(sample)] if len(documents) > sample else None
    chosen = places or list(range(len(documents)))
    rows = curvature.whiten(document_rows(model, coverage.taps, [documents[p] for p in chosen]))
    norms = squared_norms(rows).sqrt().clamp(min=1e-30)
    norms = norms.cpu()
    exact = inner(rows, rows) / norms[:, None] / norms[None, :]
    some = picked(factors, torch.tensor(chosen))
    stored = torch.stack(
        [some.cosines({n: m / norms[i] for n, m in dense(_one(rows, i)).items()}) for i in range(len(chosen))]
    )
    pairs = torch.triu_indices(len(chosen), len(chosen), offset=1)
    if pairs.shape[1] < 3:
        return 1.0
    value = float(spearmanr(exact[pairs[0], pairs[1]].numpy(), stored[pairs[0], pairs[1]].numpy()).statistic)
    return value if value == value else 0.0


def _one(rows: Rows, index: int) -> Rows:
    return Rows(
        a={name: x[index : index + 1] for name, x in rows.a.items()},
        b={name: x[index : index + 1] for name, x in rows.b.items()},
    )
