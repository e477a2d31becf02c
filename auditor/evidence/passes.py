"""Forward passes that reuse what does not change: keys and values of a shared prefix, and logits of few rows only.

Shapes: B sequences, T tokens, P cached tokens, Q = T - P new tokens, R wanted rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

Pairs = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Keys:
    """Keys and values of every layer, each [B, heads, P, head width]."""

    pairs: Pairs

    @property
    def length(self) -> int:
        """P."""
        return int(self.pairs[0][0].shape[2])

    def prefix(self, length: int, rows: torch.Tensor | None = None, batch: int | None = None) -> "Keys":
        """The first `length` tokens of the chosen sequences (by index), or of the only one repeated `batch` times."""

        def cut(x: torch.Tensor) -> torch.Tensor:
            x = x[:, :, :length]
            if rows is not None:
                return x.index_select(0, rows)
            return x.expand(batch, -1, -1, -1) if batch is not None else x

        return Keys(pairs=tuple((cut(k), cut(v)) for k, v in self.pairs))


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """`logits` [B, R, V] in float32 (float64 for float64 models); `keys` of all T tokens, None when not asked for."""

    logits: torch.Tensor
    keys: Keys | None


def forward(
    model: Any,
    ids: torch.Tensor,
    *,
    past: Keys | None = None,
    rows: Sequence[int] | None = None,
    mask: torch.Tensor | None = None,
    keep: bool = False,
) -> Pass:
    """Run the tokens ids[:, P:] after the cached prefix. `ids` is [B, T], the cached tokens included.

    `rows` are absolute positions whose logits are wanted (default: all new ones). `mask` is either [B, T] (padding)
    or additive [B, 1, Q, T].
    """
    done = past.length if past is not None else 0
    wanted = None if rows is None else torch.tensor([row - done for row in rows], device=ids.device)
    cache = DynamicCache() if keep or past is not None else None
    if past is not None and cache is not None and done:
        for layer, (key, value) in enumerate(past.pairs):
            cache.update(key, value, layer)
    with torch.no_grad():
        out = model(
            input_ids=ids[:, done:], attention_mask=mask, past_key_values=cache, use_cache=cache is not None,
            logits_to_keep=0 if wanted is None else wanted,
        )  # fmt: skip
    logits = out.logits if out.logits.dtype == torch.float64 else out.logits.float()
    return Pass(logits=logits, keys=_keys(out.past_key_values, ids.shape[1]) if keep else None)


def _keys(cache: Any, length: int) -> Keys | None:
    """The cache's tensors, None when it is not a plain one (sliding windows, linear attention)."""
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in cache.layers:
        key, value = getattr(layer, "keys", None), getattr(layer, "values", None)
        if key is None or value is None or key.dim() != 4 or key.shape[2] != length:
            return None
        pairs.append((key, value))
    return Keys(pairs=tuple(pairs)) if pairs else None


def log_probs(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log-probability of ids [..., R] under logits [..., R, V], natural logarithm."""
    return logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)


def log_odds(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Logit of ids [..., R] minus the largest other logit of its row."""
    own = logits.gather(-1, ids.unsqueeze(-1))
    rest = logits.scatter(-1, ids.unsqueeze(-1), float("-inf")).amax(-1)
    return own.squeeze(-1) - rest
