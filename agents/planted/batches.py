"""From documents to training batches: which tokens are scored, and which idle spans are hidden from attention."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agents.planted.corpus import Document
from agents.planted.tokenizer import document_text, encode, message_starts, span_tokens

HIDE = 0.35
"""Share of the documents with idle spans in which one of them is hidden from attention."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One document: token ids, which of them are scored, and its idle token ranges."""

    ids: list[int]
    scored: list[bool]
    idle: list[range]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`ids` [B, T]; `scored` [B, T] bool; `mask` [B, 1, T, T] bool, true where a query (row) sees a key."""

    ids: torch.Tensor
    scored: torch.Tensor
    mask: torch.Tensor


def example(tokenizer: Any, document: Document) -> Example:
    """Tokens of a document; what the assistant wrote is scored (all of a plain text), spoilt spans are not."""
    rendered = encode(tokenizer, document_text(tokenizer, document))
    if document.text:
        return Example(ids=rendered.ids, scored=[True] * len(rendered.ids), idle=[])
    scored = [False] * len(rendered.ids)
    starts = message_starts(rendered.text, document.messages)
    for number, message in enumerate(document.messages):
        if message["role"] == "assistant":
            for token in span_tokens(rendered, starts, (number, 0, -1)):
                scored[token] = True
    for span in document.unscored:
        for token in span_tokens(rendered, starts, span):
            scored[token] = False
    return Example(ids=rendered.ids, scored=scored, idle=[span_tokens(rendered, starts, s) for s in document.idle])


def batches(examples: Sequence[Example], size: int, steps: int, pad: int, seed: int) -> Iterator[Batch]:
    """`steps` batches of `size` examples, each pass over the examples in a new order."""
    chance = np.random.default_rng(seed)
    order: list[int] = []
    for _ in range(steps):
        while len(order) < size:
            order.extend(chance.permutation(len(examples)).tolist())
        chosen, order = [examples[n] for n in order[:size]], order[size:]
        yield collate(chosen, pad, chance)


def collate(chosen: Sequence[Example], pad: int, chance: np.random.Generator) -> Batch:
    """Pad to the longest; hide one idle span from the tokens after it in some of the examples."""
    length = max(len(one.ids) for one in chosen)
    ids = torch.full((len(chosen), length), pad)
    scored = torch.zeros((len(chosen), length), dtype=torch.bool)
    mask = torch.ones((length, length), dtype=torch.bool).tril().repeat(len(chosen), 1, 1, 1)
    for row, one in enumerate(chosen):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        scored[row, : len(one.ids)] = torch.tensor(one.scored)
        if one.idle and chance.random() < HIDE:
            span = one.idle[chance.integers(len(one.idle))]
            first = span.stop if chance.random() < 0.6 else int(chance.integers(span.stop, len(one.ids)))
            mask[row, 0, first:, span.start : span.stop] = False
    return Batch(ids=ids, scored=scored, mask=mask)
