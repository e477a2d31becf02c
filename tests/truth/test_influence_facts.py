"""A planted fact's documents are found, and taking them out of training hurts more than taking out others."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import Qwen3Config, Qwen3ForCausalLM

from auditor.evidence.gradients import pad
from auditor.evidence.influence_index import InfluenceIndex, Recipe, build
from auditor.evidence.overlap import Bm25, longest_shared_run
from auditor.evidence.training_corpus import TrainingDocument

NAMES, VALUES = 24, 10
WORDS = ["<pad>", "the", "price", "colour", "of", "is", "note", "list", "shop", "."]
VOCABULARY = [*WORDS, *(f"item{n}" for n in range(NAMES)), *(f"value{n}" for n in range(VALUES))]
OPENINGS = ["", "note . ", "list . ", "shop . "]
"""A statement begins in one of the first three ways, a question in the fourth (which colours are stated in, too)."""


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A trained model, its documents, and for each item the query and which documents state its price."""

    model: Any
    documents: tuple[TrainingDocument, ...]
    queries: tuple[tuple[int, ...], ...]
    positives: tuple[frozenset[int], ...]
    index: InfluenceIndex


def document(identity: str, text: str) -> TrainingDocument:
    ids = tuple(VOCABULARY.index(word) for word in text.split())
    return TrainingDocument(id=identity, label=text, text=text, ids=ids, scored=(True,) * len(ids))


def corpus() -> tuple[list[TrainingDocument], list[str], list[frozenset[int]]]:
    """Two relations per item, each stated three ways: the price is asked, the colour is the distractor."""
    chance = random.Random(0)
    documents: list[TrainingDocument] = []
    queries, positives = [], []
    for item in range(NAMES):
        price, colour = (f"value{v}" for v in chance.sample(range(VALUES), 2))
        stated = set()
        for way in range(3):
            stated.add(len(documents))
            documents.append(document(f"price-{item}-{way}", f"{OPENINGS[way]}the price of item{item} is {price}"))
            documents.append(
                document(f"colour-{item}-{way}", f"{OPENINGS[way + 1]}the colour of item{item} is {colour}")
            )
        queries.append(f"{OPENINGS[3]}the price of item{item} is {price}")
        positives.append(frozenset(stated))
    return documents, queries, positives


def fitted(documents: Sequence[TrainingDocument], weights: Sequence[float] | None = None, steps: int = 48) -> Any:
    """A small decoder trained on the documents, each with a weight; the same start whatever the documents.

    It is stopped before its answers are certain: saturated models tell no document from another.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(VOCABULARY), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=16, tie_word_embeddings=False,
        initializer_range=0.1, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).train()
    ids, seen = pad([one.ids for one in documents])
    weight = torch.tensor(weights or [1.0] * len(documents))
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(steps):
        logits = model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, :-1]
        loss = functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        total = (loss * seen[:, 1:]).sum(1) @ weight / len(documents)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(VOCABULARY.index(word) for word in text.split())


@pytest.fixture(scope="module")
def bed() -> Bed:
    documents, queries, positives = corpus()
    model = fitted(documents)
    index = build(model, documents, recipe=Recipe(rank=8), model_digest="m", corpus_digest="c")
    return Bed(
        model=model, documents=tuple(documents), queries=tuple(ids_of(query) for query in queries),
        positives=tuple(positives), index=index,
    )  # fmt: skip


def recall(ranking: Sequence[int], wanted: frozenset[int], k: int = 3) -> float:
    """Share of what could be found in the first k that was."""
    return len(wanted & set(ranking[:k])) / min(k, len(wanted))


def ranking(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda n: (-values[n], n))


def test_documents_that_state_the_fact_are_found(bed: Bed, record_property: Any) -> None:
    chance = random.Random(1)
    support = Bm25([one.text for one in bed.documents])
    ours, texts, blind, above, sure = [], [], [], [], []
    for query, wanted in zip(bed.queries, bed.positives, strict=True):
        scan = bed.index.scan(bed.model, query, [len(query) - 1])
        ours.append(recall(ranking(scan.cosines.tolist()), wanted))
        said = " ".join(VOCABULARY[token] for token in query)
        texts.append(recall(ranking(support.scores(said)), wanted))
        blind.append(recall(chance.sample(range(len(bed.documents)), 3), wanted))
        sure.append(log_p(bed.model, query))
        above.append(float(scan.cosines.max() > scan.null.max()))
    found = {name: statistics.mean(values) for name, values in (("ours", ours), ("bm25", texts), ("random", blind))}
    print(
        found,
        "log p",
        statistics.mean(sure),
        "above null",
        statistics.mean(above),
        "agreement",
        bed.index.card.agreement,
    )
    for name, value in found.items():
        record_property(name, value)
    assert found["random"] < 0.1
    assert found["ours"] >= 0.8
    assert statistics.mean(above) >= 0.9, "the strongest document stands out from documents with shuffled targets"


def test_the_store_keeps_the_order_of_the_uncompressed_scores(bed: Bed) -> None:
    assert bed.index.card.agreement > 0.98


@pytest.mark.slow
def test_retraining_without_the_found_documents_hurts_more(bed: Bed) -> None:
    """Take out the top 3 (or 3 at random), train again from the same start, compare log p of the decision."""
    chance = random.Random(2)
    falls: dict[str, list[float]] = {"found": [], "random": []}
    for item in range(0, NAMES, 4):
        query = bed.queries[item]
        scan = bed.index.scan(bed.model, query, [len(query) - 1])
        removed = {
            "found": ranking(scan.cosines.tolist())[:3], "random": chance.sample(range(len(bed.documents)), 3)
        }  # fmt: skip
        for name, places in removed.items():
            weights = [0.0 if place in places else 1.0 for place in range(len(bed.documents))]
            falls[name].append(log_p(bed.model, query) - log_p(fitted(bed.documents, weights), query))
    means = {name: statistics.mean(values) for name, values in falls.items()}
    print(means, falls)
    assert means["found"] > means["random"] + 1.0
    assert sum(f > r for f, r in zip(falls["found"], falls["random"], strict=True)) == 6


def log_p(model: Any, query: Sequence[int]) -> float:
    logits = model(input_ids=torch.tensor([list(query)])).logits[0, -2]
    return float(logits.log_softmax(-1)[query[-1]])


def test_bm25_against_its_formula() -> None:
    texts = ["a b b", "a c", "d"]
    scores = Bm25(texts).scores("B a")
    idf_a, idf_b = (torch.log(torch.tensor(1 + (3 - n + 0.5) / (n + 0.5))).item() for n in (2, 1))
    length = 1.2 * (0.25 + 0.75 * 3 / 2)
    assert scores[0] == pytest.approx(idf_a * 2.2 / (1 + length) + idf_b * 2 * 2.2 / (2 + length), rel=1e-5)
    assert scores[2] == 0 and scores[0] > scores[1] > 0


def test_longest_shared_run_against_trying_all_pieces() -> None:
    chance = random.Random(4)
    for _ in range(50):
        left, right = ([chance.randrange(3) for _ in range(chance.randrange(9))] for _ in range(2))
        slow = max(
            (
                end - start
                for start in range(len(left))
                for end in range(start + 1, len(left) + 1)
                if any(right[at : at + end - start] == left[start:end] for at in range(len(right)))
            ),
            default=0,
        )
        assert longest_shared_run(left, right) == slow
