"""Three one-sided composite tests on paired replicates: superiority μ > b, reversal μ < -b, equivalence |μ| < b.

Equivalence is TOST, two one-sided tests (Schuirmann 1987): its p-value is the larger of the two. Student's t from
16 replicates on; sign flips below, where normality cannot be leaned on. Degenerate inputs: equal replicates have no
spread to divide by, so their exact sign-flip value is used (2⁻ⁿ on the right side of the bound, else 1); one
replicate therefore never gives less than 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from auditor.statistics.intervals import spread, vector
from auditor.statistics.resampling import Side, sign_flip

T_FROM = 16


@dataclass(frozen=True, kw_only=True)
class Composite:
    """p-values of the three tests, with what they were computed from. `n` replicates, `mean` and `sd` in their unit."""

    superiority: float
    reversal: float
    equivalence: float
    mean: float
    sd: float
    n: int
    method: str
    """`t`, `sign-flip` or `constant`."""


def one_sided(values: Sequence[float] | np.ndarray, bound: float, side: Side) -> float:
    """p-value of H0: mean ≤ bound (`greater`) or mean ≥ bound (`less`)."""
    x = vector(values)
    s = spread(x)
    if x.size < T_FROM or s == 0:
        return sign_flip(x, bound, side)
    t = (float(x.mean()) - bound) / (s / float(np.sqrt(x.size)))
    return float(stats.t.sf(t if side == "greater" else -t, x.size - 1))


def equivalence(values: Sequence[float] | np.ndarray, bound: float) -> float:
    """TOST p-value of H0: |mean| ≥ bound."""
    if bound <= 0:
        raise ValueError("an equivalence bound must be above zero")
    return max(one_sided(values, -bound, "greater"), one_sided(values, bound, "less"))


def composite(
    values: Sequence[float] | np.ndarray, superiority_bound: float, equivalence_bound: float
) -> Composite:
    """All three tests; the bounds are apart because noise may raise the first but never the second."""
    x = vector(values)
    s = spread(x)
    return Composite(
        superiority=one_sided(x, superiority_bound, "greater"),
        reversal=one_sided(x, -superiority_bound, "less"),
        equivalence=equivalence(x, equivalence_bound),
        mean=float(x.mean()), sd=s, n=int(x.size),
        method="constant" if s == 0 else "t" if x.size >= T_FROM else "sign-flip",
    )  # fmt: skip
