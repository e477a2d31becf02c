"""Per-example gradients of linear maps, as factors: G = sum over tokens of b_t a_t^T, never formed as a matrix.

For a module y = W x (+ bias) and an objective f, token t of example n gives a_t [i] (its input, with a 1 appended
where there is a bias) and b_t [o] (df/dy_t). Equation: dW f_n = sum_t b_t a_t^T (Goodfellow 2015, "Efficient
per-example gradient computations"). Covers nn.Linear, the Conv1D of transformers (GPT-2: W is stored transposed;
libraries that look for nn.Linear only drop it silently) and an output head, also one tied to the embedding (its use
as the output map; its use as the input embedding is not attributed and is listed as skipped).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

WIDEST = 4096
"""Maps with more inputs or outputs are skipped: their curvature factors would not fit."""


@dataclass(frozen=True, kw_only=True)
class Tap:
    """One linear map that is listened to. `inputs` counts the appended 1 when there is a bias."""

    name: str
    module: nn.Module
    inputs: int
    outputs: int
    bias: bool


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Which maps are attributed, which parameters are not, and the share of parameters that is."""

    taps: tuple[Tap, ...]
    skipped: tuple[str, ...]
    attributed: int
    total: int

    @property
    def share(self) -> float:
        return self.attributed / max(1, self.total)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Factors of one batch: by tap name, `a` [N, T, i] and `b` [N, T, o]; G_n = b[n]^T a[n]."""

    a: dict[str, Tensor]
    b: dict[str, Tensor]


def cover(model: nn.Module, *, widest: int = WIDEST) -> Coverage:
    """Every linear map of the model that can be attributed, and what is left out, by name."""
    taps: list[Tap] = []
    skipped: list[str] = []
    seen: dict[int, int] = {}
    for name, module in model.named_modules():
        tap = _tap(name, module)
        if tap is None:
            continue
        if max(tap.inputs, tap.outputs) > widest:
            skipped.append(f"{name}: {tap.outputs} x {tap.inputs} is wider than {widest}")
            continue
        taps.append(tap)
        for parameter in module.parameters(recurse=False):
            seen[id(parameter)] = parameter.numel()
    for name, parameter in model.named_parameters():
        if id(parameter) not in seen and not any(name.startswith(s.split(":")[0] + ".") for s in skipped):
            skipped.append(f"{name}: not a linear map")
    embedding = getattr(model, "get_input_embeddings", lambda: None)()
    if embedding is not None and id(embedding.weight) in seen:
        skipped.append("input side of the tied embedding: only its use as the output head is attributed")
    total = sum(parameter.numel() for parameter in model.parameters())
    return Coverage(taps=tuple(taps), skipped=tuple(skipped), attributed=sum(seen.values()), total=total)


def _tap(name: str, module: nn.Module) -> Tap | None:
    if isinstance(module, nn.Linear):
        outputs, inputs = module.weight.shape
    elif isinstance(module, Conv1D):
        inputs, outputs = module.weight.shape
    else:
        return None
    bias = module.bias is not None
    return Tap(name=name, module=module, inputs=inputs + bias, outputs=outputs, bias=bias)


def gradient_rows(
    model: Any, taps: Sequence[Tap], ids: Tensor, seen: Tensor, objective: Callable[[Tensor], Tensor]
) -> Rows:
    """One forward and one backward. `ids` [N, T]; `seen` [N, T] is 1 for real tokens (right padding).

    `objective` turns logits [N, T, V] into a scalar that is a sum over examples, so that its derivative at example n
    is that example's own. Parameters get no gradient and keep their `requires_grad`.
    """
    heard_inputs: dict[str, Tensor] = {}
    heard_outputs: dict[str, Tensor] = {}
    embedding = model.get_input_embeddings()
    ids, seen = ids.to(embedding.weight.device), seen.to(embedding.weight.device)
    embedded = embedding(ids).detach().requires_grad_(True)
    with torch.enable_grad(), _listening(taps, heard_inputs, heard_outputs):
        logits = model(inputs_embeds=embedded, attention_mask=seen, use_cache=False).logits
        value = objective(logits)
        names = list(heard_outputs)
        gradients = torch.autograd.grad(value, [heard_outputs[name] for name in names])
    a = {tap.name: _inputs(heard_inputs[tap.name], tap) for tap in taps}
    return Rows(a=a, b={name: gradient.detach() for name, gradient in zip(names, gradients, strict=True)})


def _inputs(x: Tensor, tap: Tap) -> Tensor:
    x = x.detach()
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1) if tap.bias else x


@contextmanager
def _listening(taps: Sequence[Tap], inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> Iterator[None]:
    def listen(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hear(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            inputs[name], outputs[name] = given[0], made

        return hear

    handles = [tap.module.register_forward_hook(listen(tap.name)) for tap in taps]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def pad(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Right-padded ids [N, T] (padding is token 0, never attended to) and `seen` [N, T] of 1 and 0."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros((len(sequences), longest), dtype=torch.long)
    seen = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(list(sequence), dtype=torch.long)
        seen[row, : len(sequence)] = 1
    return ids, seen


def log_likelihood(logits: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
    """Sum over scored tokens of log p(target | before), nats. `targets` [N, T] ids, `scored` [N, T] bool by token.

    The token at t is predicted at t - 1, so a scored first token has no prediction and is left out.
    """
    logp = torch.log_softmax(logits[:, :-1], dim=-1)
    chosen = logp.gather(-1, targets[:, 1:, None].to(logits.device)).squeeze(-1)
    return (chosen * scored[:, 1:].to(chosen)).sum()
