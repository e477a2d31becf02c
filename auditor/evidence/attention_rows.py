"""Attention of chosen rows, taken inside the model's own attention call.

A function registered with transformers' AttentionInterface receives queries and keys after norms and rotary positions;
it computes the model's output with the ordinary fused kernel and, beside it, the softmax rows of the chosen query
positions in float32. Shapes: L layers, H heads, R rows, T keys, D width, E head width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import eager_mask

from auditor.evidence.refusal import ReplayRefused

NAME = "auditor_rows"
LONGEST_ROLLOUT = 4096
"""Tokens: rollout needs every row of every layer."""
_recorder: ContextVar["Rows | None"] = ContextVar("attention_rows", default=None)


@dataclass(kw_only=True, eq=False)
class Rows:
    """What was seen. All lists have one entry per layer, in order.

    `weights` [H, R, T]; `norms` [R, T] ‖contribution of token j to row r‖; `residual` largest difference between the
    summed contributions and the attention output; `means` [T, T] head means, for rollout.
    """

    positions: Sequence[int]
    full: bool
    weights: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    residual: float = 0.0
    means: list[torch.Tensor] = field(default_factory=list)

    def mean(self) -> torch.Tensor:
        """[R, T] mean over layers and heads."""
        return torch.stack([weights.mean(0) for weights in self.weights]).mean(0)

    def norm_weighted(self) -> torch.Tensor:
        """[R, T] mean over layers of the norms, each row scaled to 1 (Kobayashi et al. 2020, arXiv 2004.10102)."""
        return torch.stack([norms / norms.sum(-1, keepdim=True) for norms in self.norms]).mean(0)

    def rollout(self) -> torch.Tensor:
        """[R, T] rows of the product of (A + I) / 2 over layers (Abnar and Zuidema 2020, arXiv 2005.00928)."""
        flow: torch.Tensor | None = None
        for mean in reversed(self.means):
            step = (mean + torch.eye(len(mean), dtype=mean.dtype, device=mean.device)) / 2
            flow = step[list(self.positions)] if flow is None else flow @ step
        assert flow is not None
        return flow


def read_rows(model: Any, ids: torch.Tensor, positions: Sequence[int], *, full: bool = True) -> Rows:
    """Run ids [T] once and read the rows of the query positions. `full` keeps what rollout needs as well.

    ReplayRefused `unsupported` for models whose attention cannot be read this way.
    """
    rows = Rows(positions=tuple(positions), full=full and len(ids) <= LONGEST_ROLLOUT)
    with _reading(model, rows), torch.no_grad():
        model(input_ids=ids[None], use_cache=False, logits_to_keep=1)
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", len(rows.weights))
    if not rows.weights or len(rows.weights) != layers:
        raise ReplayRefused("unsupported", f"{len(rows.weights)} of {layers} layers have attention rows to read")
    return rows


@contextmanager
def _reading(model: Any, rows: Rows) -> Iterator[None]:
    """Route the model's attention through `_attend` for one pass, and put back what was there."""
    before = model.config._attn_implementation
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    token = _recorder.set(rows)
    try:
        model.set_attn_implementation(NAME)
        if model.config._attn_implementation != NAME:
            raise ReplayRefused("unsupported", "this architecture does not go through the attention interface")
        yield
    finally:
        _recorder.reset(token)
        model.set_attn_implementation(before)


def _attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, **more: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """The attention function: query [1, H, T, E], key and value before head repetition."""
    if more.get("softcap") is not None or more.get("s_aux") is not None:
        raise ReplayRefused("unsupported", "soft-capped attention and attention sinks are not read yet")
    output, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False, **more
    )
    rows = _recorder.get()
    if rows is not None:
        groups = query.shape[1] // key.shape[1]
        keys, values = repeat_kv(key, groups)[0], repeat_kv(value, groups)[0]
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        mask = None if attention_mask is None else attention_mask[0]
        _record(rows, module, query[0], keys, values, mask, scale, output[0])
    return output, None


def _record(
    rows: Rows, module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None,
    scale: float, output: torch.Tensor,
) -> None:  # fmt: skip
    """query, key, value [H, T, E]; mask [1 or H, T, T] additive; output [T, H, E]."""
    exact = torch.float64 if query.dtype == torch.float64 else torch.float32
    chosen = list(range(query.shape[1])) if rows.full else list(rows.positions)
    scores = query[:, chosen].to(exact) @ key.to(exact).transpose(-1, -2) * scale
    if mask is not None:
        scores = scores + mask[:, chosen, : key.shape[1]].to(exact)
    else:
        later = torch.arange(key.shape[1], device=key.device)[None] > torch.tensor(chosen, device=key.device)[:, None]
        scores = scores.masked_fill(later, float("-inf"))
    every = scores.softmax(-1)
    if rows.full:
        rows.means.append(every.mean(0))
    weights = every[:, list(rows.positions)] if rows.full else every
    rows.weights.append(weights)
    projection = getattr(module, "o_proj", None)
    if projection is None:
        return
    heads, _, width = value.shape
    matrix = projection.weight.to(exact).view(-1, heads, width)  # [D, H, E]
    parts = torch.zeros(weights.shape[1], key.shape[1], matrix.shape[0], dtype=exact, device=key.device)
    for head in range(heads):
        carried = value[head].to(exact) @ matrix[:, head].T  # [T, D]
        parts += weights[head][:, :, None] * carried[None]
    rows.norms.append(parts.norm(dim=-1))
    own = output[list(rows.positions)].reshape(weights.shape[1], -1).to(exact) @ projection.weight.to(exact).T
    rows.residual = max(rows.residual, float((parts.sum(1) - own).abs().max()))
