"""K-FAC curvature of the loss and the whitening that comes with it.

For each linear map F = S (x) A with A = E[a a^T] and S = E[b b^T], b taken at labels **sampled from the model** (the
true Fisher; with the recorded labels one gets the empirical Fisher, which ranks training documents much worse).
Factored damping A_d = A + sqrt(gamma) mean(eig A) I, S_d likewise (Martens & Grosse 2015, arXiv 1503.05671). The
whitened gradient S_d^-1/2 G A_d^-1/2 keeps the form of a sum of outer products, and the dot product of two of them
is the influence score <G_q, (S_d (x) A_d)^-1 G_n> (Koh & Liang 2017; Grosse et al. 2023, arXiv 2308.03296).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from auditor.evidence.gradients import Rows, Tap, gradient_rows, log_likelihood, pad
from auditor.evidence.training_corpus import TrainingDocument

GAMMA = 0.01
"""Damping relative to the mean eigenvalue; 0.001 to 0.1 give the same ranking on small models."""


@dataclass(frozen=True, kw_only=True)
class Curvature:
    """By tap name: inverse square roots `a` [i, i] of A_d and `s` [o, o] of S_d, symmetric; `tokens` they are over."""

    a: Mapping[str, Tensor]
    s: Mapping[str, Tensor]
    tokens: int

    def whiten(self, rows: Rows) -> Rows:
        """a' = A_d^-1/2 a and b' = S_d^-1/2 b, token by token."""
        return Rows(
            a={name: x @ self.a[name].to(x) for name, x in rows.a.items()},
            b={name: x @ self.s[name].to(x) for name, x in rows.b.items()},
        )


def second_moments(
    model: Any, taps: Sequence[Tap], documents: Sequence[TrainingDocument], *, seed: int, batch: int = 16
) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """A [i, i] and S [o, o] by tap name in float64, and the number of tokens they average over.

    Only tokens from the first to the last one that predicts a scored token count, on both sides alike: later ones
    carry no gradient, and padding would dilute S but not A.
    """
    generator = torch.Generator().manual_seed(seed)
    a = {tap.name: torch.zeros((tap.inputs, tap.inputs), dtype=torch.float64) for tap in taps}
    s = {tap.name: torch.zeros((tap.outputs, tap.outputs), dtype=torch.float64) for tap in taps}
    tokens = 0
    for start in range(0, len(documents), batch):
        some = documents[start : start + batch]
        ids, seen = pad([document.ids for document in some])
        scored, _ = pad([document.scored for document in some])
        rows = gradient_rows(model, taps, ids, seen, partial(_sampled, scored=scored, generator=generator))
        counted = reached(scored)
        tokens += int(counted.sum())
        for tap in taps:
            x, y = rows.a[tap.name][counted], rows.b[tap.name][counted]
            a[tap.name] += (x.T @ x).double().cpu()
            s[tap.name] += (y.T @ y).double().cpu()
    if tokens == 0:
        raise ValueError("no document has a scored token to predict: there is no curvature to fit")
    return {n: m / tokens for n, m in a.items()}, {n: m / tokens for n, m in s.items()}, tokens


def _sampled(logits: Tensor, *, scored: Tensor, generator: torch.Generator) -> Tensor:
    return log_likelihood(logits, _draw(logits, generator), scored)


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Labels [N, T] drawn from the model: label t from the prediction at t - 1; label 0 is unused."""
    chances = torch.softmax(logits[:, :-1].detach().float().cpu(), dim=-1)
    drawn = torch.multinomial(chances.flatten(0, 1), 1, generator=generator).view(chances.shape[:2])
    return torch.cat([torch.zeros_like(drawn[:, :1]), drawn], dim=1)


def reached(scored: Tensor) -> Tensor:
    """[N, T] bool: positions that a gradient can reach, i.e. up to the one that predicts the last scored token."""
    predicts = torch.cat([scored[:, 1:] > 0, torch.zeros_like(scored[:, :1], dtype=torch.bool)], dim=1)
    return predicts.flip(1).cumsum(1).flip(1) > 0


def inverse_root(moment: Tensor, gamma: float) -> Tensor:
    """(M + sqrt(gamma) mean(eig M) I)^-1/2 of a symmetric positive semi-definite M, in float64."""
    values, vectors = torch.linalg.eigh(moment.double())
    damped = values.clamp(min=0) + gamma**0.5 * values.clamp(min=0).mean().clamp(min=1e-30)
    root: Tensor = (vectors * damped.rsqrt()) @ vectors.T
    return root


def fit(
    model: Any, taps: Sequence[Tap], documents: Sequence[TrainingDocument], *, seed: int, gamma: float = GAMMA
) -> Curvature:
    """Whitening factors from sampled-label gradients over the documents: one forward and backward per batch."""
    a, s, tokens = second_moments(model, taps, documents, seed=seed)
    return Curvature(
        a={name: inverse_root(moment, gamma) for name, moment in a.items()},
        s={name: inverse_root(moment, gamma) for name, moment in s.items()},
        tokens=tokens,
    )
