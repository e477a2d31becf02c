"""Whitened per-example gradients kept as a few outer products per linear map.

Whiten first, then compress: sum_t b'_t a'_t^T ~ sum_c left_c right_c^T by a randomised range finder (Halko, Martinsson
& Tropp 2011), the matrix itself is never formed. Compressing before whitening loses most of the ranking. The rank
needed grows with the number of tokens (about tokens / 8); with rank >= tokens the rows themselves are kept, exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.evidence.gradients import Rows

OVERSAMPLE = 4


@dataclass(frozen=True, kw_only=True)
class Factors:
    """N unit-norm gradients: by tap `left` [N, c, o], `right` [N, c, i]; `norms` [N] of the uncompressed gradients.

    G_n ~ norms[n] * sum_c left[n, c] right[n, c]^T, all taps together having norm 1.
    """

    left: Mapping[str, Tensor]
    right: Mapping[str, Tensor]
    norms: Tensor

    def cosines(self, query: Mapping[str, Tensor]) -> Tensor:
        """[N] inner products of the unit gradients with a query {tap: [o, i]} of norm 1."""
        total = torch.zeros(len(self.norms), dtype=torch.float64)
        for name, matrix in query.items():
            left, right = self.left[name].to(matrix.dtype), self.right[name].to(matrix.dtype)
            total += ((left @ matrix) * right).sum((1, 2)).double()
        return total


def squared_norms(rows: Rows) -> Tensor:
    """[N] squared Frobenius norms over all taps, exact.

    |B^T A|^2 = sum of (B B^T) * (A A^T) spares the matrix where there are fewer tokens than it has sides.
    """
    first = next(iter(rows.a.values()))
    total = torch.zeros(first.shape[0], dtype=torch.float64, device=first.device)
    for name, a in rows.a.items():
        b = rows.b[name]
        if a.shape[1] * (a.shape[2] + b.shape[2]) < a.shape[2] * b.shape[2]:
            total += ((b @ b.transpose(1, 2)) * (a @ a.transpose(1, 2))).sum((1, 2)).double()
        else:
            total += (b.transpose(1, 2) @ a).square().sum((1, 2)).double()
    return total


def inner(rows: Rows, others: Rows) -> Tensor:
    """[N, M] exact inner products of the gradients of two batches, summed over taps; forms one map's matrices."""
    total = torch.zeros((len(next(iter(rows.a.values()))), len(next(iter(others.a.values())))), dtype=torch.float64)
    for name, a in rows.a.items():
        mine = (rows.b[name].transpose(1, 2) @ a).flatten(1)
        theirs = (others.b[name].transpose(1, 2) @ others.a[name]).flatten(1)
        total += (mine @ theirs.T).double().cpu()
    return total


def compress(rows: Rows, rank: int | None, *, seed: int, dtype: torch.dtype = torch.float16) -> Factors:
    """Factors of whitened rows. `rank` None keeps every token's row: exact, and as wide as the batch is long.

    A gradient of norm 0 stays 0 and has norm 0. The factors of shorter batches are padded with zeros up to `rank`.
    """
    norms = squared_norms(rows).clamp(min=0).sqrt()
    root = torch.where(norms > 0, norms, torch.ones_like(norms)).sqrt()[:, None, None]
    left: dict[str, Tensor] = {}
    right: dict[str, Tensor] = {}
    for name in rows.a:
        a, b = rows.a[name], rows.b[name]
        if rank is not None and rank < a.shape[1]:
            b, a = _low_rank(b, a, rank, seed)
        else:
            b, a = _balanced(b, a)
        if rank is not None and a.shape[1] < rank:
            a, b = (torch.nn.functional.pad(x, (0, 0, 0, rank - x.shape[1])) for x in (a, b))
        left[name], right[name] = (b / root).to(dtype).cpu(), (a / root).to(dtype).cpu()
    return Factors(left=left, right=right, norms=norms.cpu())


def _balanced(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """The same product with both sides of one size: half precision would overflow where b is tiny and a is not."""
    sizes = (x.flatten(1).norm(dim=1).clamp(min=1e-30) for x in (b, a))
    ratio = torch.sqrt(next(sizes) / next(sizes))[:, None, None]
    return b / ratio, a * ratio


def _low_rank(b: Tensor, a: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Left [N, rank, o] and right [N, rank, i] factors of B^T A for b [N, T, o] and a [N, T, i], balanced in size."""
    generator = torch.Generator().manual_seed(seed)
    omega = torch.randn((a.shape[2], rank + OVERSAMPLE), generator=generator).to(a)
    basis = torch.linalg.qr(b.transpose(1, 2) @ (a @ omega)).Q  # [N, o, c]
    basis = torch.linalg.qr(b.transpose(1, 2) @ (a @ (a.transpose(1, 2) @ (b @ basis)))).Q  # one power step
    small = (basis.transpose(1, 2) @ b.transpose(1, 2)) @ a  # [N, c, i]
    values, vectors = torch.linalg.eigh(small @ small.transpose(1, 2))
    values, vectors = values[:, -rank:].clamp(min=0), vectors[:, :, -rank:]
    # A gradient of lower rank leaves eigenvalues of rounding noise: dividing by them would overflow half precision.
    kept = (values > 1e-10 * values[:, -1:])[:, :, None]
    size = torch.where(kept, values.sqrt().sqrt()[:, :, None], torch.ones_like(values)[:, :, None])
    right = vectors.transpose(1, 2) @ small
    lefts = (basis @ vectors).transpose(1, 2)
    factors = lefts * size * kept, right / size * kept
    short = rank - lefts.shape[1]
    return tuple(torch.nn.functional.pad(x, (0, 0, 0, short)) for x in factors) if short > 0 else factors  # type: ignore[return-value]


def dense(rows: Rows) -> dict[str, Tensor]:
    """{tap: [o, i]} of a batch of one example, in main memory."""
    return {name: (rows.b[name][0].T @ rows.a[name][0]).cpu() for name in rows.a}


def joined(parts: "list[Factors]") -> Factors:
    """One store out of many, in order; all must have the same rank."""
    names = parts[0].left
    return Factors(
        left={name: torch.cat([part.left[name] for part in parts]) for name in names},
        right={name: torch.cat([part.right[name] for part in parts]) for name in names},
        norms=torch.cat([part.norms for part in parts]),
    )


def picked(factors: Factors, order: Tensor) -> Factors:
    """Some rows, or all in another order; `order` [M] indexes the present rows."""
    return Factors(
        left={name: x[order] for name, x in factors.left.items()},
        right={name: x[order] for name, x in factors.right.items()},
        norms=factors.norms[order],
    )
