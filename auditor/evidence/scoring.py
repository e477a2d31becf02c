"""Many changed copies of one call, scored on its decision tokens: batched, deduplicated, and from cached prefixes.

A variant differs from its context (the recorded call, or the recorded call with an irrelevant span redrawn) only from
some token on; everything before it comes from the context's keys and values. The result equals running every variant
alone from its first token; a test proves it. Shapes: B variants, T tokens, P cached, Q = T - P.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from auditor.evidence.passes import Keys, forward, log_odds, log_probs
from auditor.evidence.replay import Replay

LARGEST_CACHE = 2**30
"""Bytes of context keys and values that are kept; beyond it only the recorded call's are."""
BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One changed call. `start`: first token that may differ from context number `context`.

    `hidden`: token ranges no later token may look at. `follow`: other ids for the decision tokens, scored as well.
    """

    context: int
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    start: int
    hidden: tuple[tuple[int, int], ...] = ()
    follow: tuple[int, ...] | None = None

    @property
    def length(self) -> int:
        """Tokens that must be run: up to the last decision token, which itself only needs predicting."""
        return self.positions[-1]

    @property
    def first(self) -> int:
        """First token that must be run."""
        limits = [self.start, self.positions[0] - 1, *(end for _, end in self.hidden)]
        return max(0, min(limits))


@dataclass(frozen=True, kw_only=True)
class Score:
    """Summed over decision tokens: log-probability, log-odds against the strongest alternative (nats)."""

    log_prob: float
    margin: float
    follow: float | None = None
    """Log-probability of the decision that the change implies, where one was given."""


@dataclass(kw_only=True, eq=False)
class Scorer:
    """Scores variants of one replay. `forwards` counts sequences run."""

    replay: Replay
    contexts: tuple[tuple[int, ...], ...]
    jittered_from: int
    """First token at which any context differs from the recorded call."""
    forwards: int = 0
    _keys: Keys | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        base = self.replay.keys
        if base is None or not self.contexts:
            return
        longest = max(len(ids) for ids in self.contexts)
        per_token = sum(2 * k[0].numel() * k.element_size() for k, _ in base.pairs) / base.length
        if per_token * longest * len(self.contexts) > LARGEST_CACHE or len({len(c) for c in self.contexts}) > 1:
            return
        ids = torch.tensor(self.contexts, device=self.replay.device)
        shared = min(self.jittered_from, longest - 1)
        parts = []
        for some in torch.split(ids, max(1, BATCH_TOKENS // max(1, longest - shared))):
            past = base.prefix(shared, batch=len(some)) if shared else None
            run = forward(self.replay.model, some, past=past, rows=[longest - 1], keep=True)
            self.forwards += len(some)
            if run.keys is None:
                return
            parts.append(run.keys.pairs)
        layers = range(len(parts[0]))
        self._keys = Keys(
            pairs=tuple(
                (torch.cat([p[layer][0] for p in parts]), torch.cat([p[layer][1] for p in parts])) for layer in layers
            )
        )

    def scores(self, variants: Sequence[Variant]) -> list[Score]:
        """Scores in the order of the variants; equal variants are run once."""
        known: dict[Any, Score] = {}
        groups: dict[Any, dict[Any, Variant]] = {}
        for variant in variants:
            group = (variant.length, variant.positions, variant.first, variant.hidden, variant.follow is None)
            groups.setdefault(group, {}).setdefault(_key(variant), variant)
        for members in groups.values():
            items = list(members.items())
            first, length = items[0][1].first, items[0][1].length
            step = max(1, BATCH_TOKENS // max(1, length - first))
            for n in range(0, len(items), step):
                some = items[n : n + step]
                for (key, _), score in zip(some, self._batch([v for _, v in some]), strict=True):
                    known[key] = score
        return [known[_key(variant)] for variant in variants]

    def _batch(self, variants: list[Variant]) -> list[Score]:
        """Variants of one length, with one set of positions, one first token and one hidden set."""
        one = variants[0]
        model, device = self.replay.model, self.replay.device
        rows = [p - 1 for p in one.positions]
        ids = torch.tensor([v.ids[: one.length] for v in variants], device=device)
        past = self._past(variants)
        done = past.length if past is not None else 0
        mask = hiding_mask(model, len(variants), done, one.length, one.hidden) if one.hidden else None
        again = one.follow is not None and len(one.positions) > 1
        run = forward(model, ids, past=past, rows=rows, mask=mask, keep=again and not one.hidden)
        self.forwards += len(variants)
        own = torch.tensor([[v.ids[p] for p in v.positions] for v in variants], device=device)
        sums = log_probs(run.logits, own).double().sum(-1).tolist()
        margins = log_odds(run.logits, own).double().sum(-1).tolist()
        follows = self._follow(variants, ids, run.logits, run.keys)
        return [Score(log_prob=a, margin=b, follow=c) for a, b, c in zip(sums, margins, follows, strict=True)]

    def _past(self, variants: list[Variant]) -> Keys | None:
        first = variants[0].first
        if self._keys is not None and first:
            rows = torch.tensor([v.context for v in variants], device=self.replay.device)
            return self._keys.prefix(first, rows=rows)
        first = min(first, self.jittered_from)
        return self.replay.keys.prefix(first, batch=len(variants)) if self.replay.keys is not None and first else None

    def _follow(
        self, variants: list[Variant], ids: torch.Tensor, logits: torch.Tensor, keys: Keys | None
    ) -> Sequence[float | None]:
        """Log-probability of the other decision: its first token from the rows at hand, the rest after forcing it."""
        one = variants[0]
        if one.follow is None:
            return [None] * len(variants)
        other = torch.tensor([v.follow for v in variants], device=ids.device)
        if len(one.positions) > 1:
            forced = ids.clone()
            forced[:, list(one.positions[:-1])] = other[:, :-1]
            past = keys.prefix(one.positions[0]) if keys is not None else None
            rows = [p - 1 for p in one.positions[1:]]
            mask = None
            if one.hidden:
                mask = hiding_mask(self.replay.model, len(variants), 0, one.length, one.hidden)
            rest = forward(self.replay.model, forced, past=past, rows=rows, mask=mask)
            self.forwards += len(variants)
            logits = torch.cat([logits[:, :1], rest.logits], 1)
        values: list[float] = log_probs(logits, other).double().sum(-1).tolist()
        return values


def _key(variant: Variant) -> Any:
    return variant.ids[: variant.positions[-1] + 1], variant.positions, variant.hidden, variant.follow


def hiding_mask(model: Any, batch: int, done: int, length: int, hidden: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Additive causal mask [B, 1, length - done, length] in which rows after a hidden range cannot see it."""
    device = next(model.parameters()).device
    dtype = next(model.parameters()).dtype
    rows = torch.arange(done, length, device=device)[:, None]
    columns = torch.arange(length, device=device)[None, :]
    seen = columns <= rows
    for start, end in hidden:
        seen &= ~((rows >= end) & (columns >= start) & (columns < end))
    mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)
    return mask[None, None].expand(batch, 1, -1, -1)
