"""The residual stream after one decoder layer: read it, differentiate through it, change it.

The site is the output of the layer's module (a tensor in transformers 5, the first of a tuple in older ones). Changing
the output of a layer at one position does not change its output at others, so that all positions can be changed at
once from clean values.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from auditor.evidence.gradients import pad
from auditor.evidence.training_corpus import TrainingDocument


def decoder_layers(model: Any) -> nn.ModuleList:
    """The decoder's layers. ValueError when the model has no such list."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ValueError(f"{type(model).__name__} has no list of {count} decoder layers")


def middle_layer(model: Any) -> int:
    """Index of the layer in the middle: late enough to hold meaning, early enough to matter."""
    return len(decoder_layers(model)) // 2


@contextmanager
def _hooked(model: Any, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    def hook(module: nn.Module, given: Any, made: Any) -> Any:
        if isinstance(made, tuple):
            return (change(made[0]), *made[1:])
        return change(made)

    handle = decoder_layers(model)[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def read(model: Any, layer: int, ids: Tensor, seen: Tensor | None = None) -> Tensor:
    """Residual vectors [N, T, d] of token ids [N, T]."""
    kept: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.detach())
        return x

    with torch.no_grad(), _hooked(model, layer, keep):
        model(input_ids=ids, attention_mask=seen, use_cache=False, logits_to_keep=1)
    return kept[0]


def gradient(model: Any, layer: int, ids: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Residual vectors and d objective / d residual, both [N, T, d]; `objective` takes logits [N, T, V]."""
    kept: list[Tensor] = []

    def cut(x: Tensor) -> Tensor:
        kept.append(x.detach().requires_grad_(True))
        return kept[0]

    with torch.enable_grad(), _hooked(model, layer, cut):
        value = objective(model(input_ids=ids, use_cache=False).logits)
        (slope,) = torch.autograd.grad(value, [kept[0]])
    return kept[0].detach(), slope.detach()


def changed_logits(model: Any, layer: int, ids: Tensor, delta: Tensor) -> Tensor:
    """Logits [N, T, V] of one call, ids [T], with delta [N, T, d] added to the residual stream, one change per row."""
    with torch.no_grad(), _hooked(model, layer, lambda x: x + delta.to(x)):
        logits: Tensor = model(input_ids=ids[None].expand(len(delta), -1), use_cache=False).logits
    return logits


def corpus_residuals(
    model: Any, layer: int, documents: Sequence[TrainingDocument], *, batch: int = 16
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Residual vectors [n, d] over the documents, and for each (document, token). First tokens are left out: their
    vectors are attention sinks, many times longer than all others."""
    device = next(model.parameters()).device
    vectors, owners = [], []
    for start in range(0, len(documents), batch):
        some = documents[start : start + batch]
        ids, seen = pad([document.ids for document in some])
        x = read(model, layer, ids.to(device), seen.to(device)).float().cpu()
        seen[:, 0] = 0
        vectors.append(x[seen > 0])
        owners += [(start + row, token) for row, token in (seen > 0).nonzero().tolist()]
    return torch.cat(vectors), owners
