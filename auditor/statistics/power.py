"""Power of the t-based composite tests for normal replicates, and the replicates they need.

Units: `effect`, `margin` and `sd` share one (nats). Zero spread is decided without chance: power 1 on the right side
of the margin, 0 on the wrong one. Fewer than two replicates have no power.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

_GRID = 4000


def superiority_power(effect: float, margin: float, sd: float, n: int, alpha: float) -> float:
    """P(reject μ ≤ margin) when μ = effect: noncentral t."""
    if n < 2:
        return 0.0
    if sd == 0:
        return float(effect > margin)
    critical = stats.t.isf(alpha, n - 1)
    # scipy's tail underflows to NaN far out; there the normal tail is exact to the last digit we could use
    shift = (effect - margin) / sd * np.sqrt(n)
    power = float(stats.nct.sf(critical, n - 1, shift)) if abs(shift) < 35 else float(shift > 0)
    return power if np.isfinite(power) else float(stats.norm.sf(critical - shift))


def equivalence_power(effect: float, margin: float, sd: float, n: int, alpha: float) -> float:
    """P(TOST rejects |μ| ≥ margin) when μ = effect: exact up to quadrature over the sample spread (Owen 1965)."""
    if n < 2:
        return 0.0
    if sd == 0:
        return float(abs(effect) < margin)
    critical = float(stats.t.isf(alpha, n - 1))
    # given the sample spread s, TOST rejects when the mean lies within ±(margin - critical·s/√n)
    s = sd * np.sqrt(stats.chi2.ppf((np.arange(_GRID) + 0.5) / _GRID, n - 1) / (n - 1))
    room = margin - critical * s / np.sqrt(n)
    error = sd / np.sqrt(n)
    inside = stats.norm.cdf((room - effect) / error) - stats.norm.cdf((-room - effect) / error)
    return float(np.where(room > 0, inside, 0.0).mean())


def replicates_needed(power: Callable[[int], float], wanted: float = 0.8, at_most: int = 100_000) -> int | None:
    """Smallest n with power(n) ≥ wanted, or None when even `at_most` does not reach it. `power` must not fall with n.

        replicates_needed(lambda n: equivalence_power(0.0, 0.1, 0.25, n, 0.01))
    """
    low, high = 1, 2
    while power(high) < wanted:
        low, high = high, high * 2
        if high > at_most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= wanted else (middle, high)
    return high
