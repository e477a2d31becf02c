"""Bootstrap, sign-flip permutation and conformal placebo p-values. Seeded; never NaN.

Degenerate inputs: equal replicates give the bootstrap a point; the sign-flip test then has its exact value, 2⁻ⁿ when
every replicate lies beyond the bound and 1 when none does. No replicates: ValueError.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from auditor.statistics.intervals import Bounds, spread, vector

Side = Literal["greater", "less"]
EXACT_UP_TO = 14
"""2¹⁴ sign patterns are enumerated; above that they are drawn."""


def bca_interval(
    values: Sequence[float] | np.ndarray, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Bounds | None:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987). None for one replicate.

    The bias correction is clamped to what `resamples` can resolve, so a mean outside all resamples stays finite.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    x = vector(values)
    if x.size < 2:
        return None
    mean, n = float(x.mean()), int(x.size)
    if spread(x) == 0:
        return Bounds(low=mean, high=mean, level=level, method="bca", n=n)
    draws = np.random.default_rng(seed).integers(0, n, (resamples, n))
    means = np.sort(x[draws].mean(axis=1))
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / (2 * resamples)
    z0 = stats.norm.ppf(np.clip(below, 1 / (resamples + 1), resamples / (resamples + 1)))
    # jackknife of the mean: leaving out x_i moves it by (mean - x_i)/(n-1), so skewness can be taken from x itself
    deviations = x - mean
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    z = stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    shifted = stats.norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
    low, high = np.quantile(means, shifted)
    return Bounds(low=float(low), high=float(high), level=level, method="bca", n=n)


def sign_flip(
    values: Sequence[float] | np.ndarray, bound: float, side: Side, resamples: int = 20000, seed: int = 0
) -> float:
    """One-sided p-value of H0: mean ≤ bound (`greater`) or ≥ bound (`less`), by flipping signs of value - bound.

    Exact for up to 14 replicates (smallest p = 2⁻ⁿ), else (1 + hits)/(resamples + 1). Assumes that under the
    boundary of H0 the replicates are symmetric about it; paired differences with exchangeable arms are.
    """
    x = vector(values) - bound
    if side == "less":
        x = -x
    observed = float(x.sum())
    # sums of the same terms in another order differ by rounding: ties must count as ties
    tie = 1e-9 * float(np.abs(x).sum())
    if spread(x) == 0:
        return float(0.5**x.size) if observed > 0 else 1.0
    if x.size <= EXACT_UP_TO:
        patterns = (np.arange(2**x.size)[:, None] >> np.arange(x.size)) & 1
        sums = (1 - 2 * patterns) @ x
        return float(np.count_nonzero(sums >= observed - tie) / sums.size)
    signs = np.random.default_rng(seed).integers(0, 2, (resamples, x.size)) * 2 - 1
    return float((1 + np.count_nonzero(signs @ x >= observed - tie)) / (resamples + 1))


def conformal_p(observed: float, placebos: Sequence[float] | np.ndarray) -> float:
    """(1 + number of placebo scores ≥ observed) / (m + 1): distribution-free for exchangeable scores (m ≥ 0).

    With no placebos it is 1. Smallest value 1/(m+1): 199 placebos are needed to reach .005.
    """
    if not np.isfinite(observed):
        raise ValueError("the observed score must be finite")
    if len(placebos) == 0:
        return 1.0
    m = vector(placebos)
    return float((1 + np.count_nonzero(m >= observed)) / (m.size + 1))
