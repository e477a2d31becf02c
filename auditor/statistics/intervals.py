"""Intervals for means, shares and differences of shares. Every bound is finite; nothing here ever returns NaN.

What is defined where the textbook is silent:
- no replicates, a non-finite number, or a level outside (0, 1): ValueError (the caller must state a reason instead);
- one replicate: `None` — one draw says nothing about its spread, and a point would look like certainty;
- all replicates equal (common with deterministic tiny models): the interval is that point, widened by `floor`.
`floor` is the measured noise floor: no interval is narrower than the mean plus and minus it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Two-sided interval. Maps one to one to records.evidence.Interval, which adds `population`.

    `level` in (0, 1); `method` names the procedure; `n` independent replicates (for a difference: of both arms).
    """

    low: float
    high: float
    level: float
    method: str
    n: int


def vector(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Replicates as a float64 vector (N,); ValueError when empty, not one-dimensional or not finite."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError("at least one replicate is needed; state a reason where there is none")
    if not np.isfinite(x).all():
        raise ValueError("replicates must be finite; leave out failed draws and say so")
    return x


def spread(x: np.ndarray) -> float:
    """Sample standard deviation; exactly 0 when all replicates are equal (np.std leaves rounding noise)."""
    return 0.0 if x.size < 2 or float(x.max()) == float(x.min()) else float(x.std(ddof=1))


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95, floor: float = 0.0) -> Bounds | None:
    """Student's t interval of the mean: mean ± t(n-1) s/√n, at least ± `floor` wide. None for one replicate."""
    _check_level(level)
    x = vector(values)
    if x.size < 2:
        return None
    mean, s = float(x.mean()), spread(x)
    half = max(float(stats.t.ppf(0.5 + level / 2, x.size - 1)) * s / float(np.sqrt(x.size)), floor)
    return Bounds(low=mean - half, high=mean + half, level=level, method="t" if s > 0 else "constant", n=int(x.size))


def wilson(successes: int, n: int, level: float = 0.95) -> Bounds:
    """Wilson's score interval of a share (Wilson 1927)."""
    _check_counts(successes, n)
    low, high = _wilson(successes, n, _z(level))
    return Bounds(low=low, high=high, level=level, method="wilson", n=n)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Bounds:
    """Exact binomial interval of a share (Clopper and Pearson 1934); conservative."""
    _check_level(level)
    _check_counts(successes, n)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(stats.beta.ppf(1 - tail, successes + 1, n - successes))
    return Bounds(low=low, high=high, level=level, method="clopper-pearson", n=n)


def newcombe(first: int, n_first: int, second: int, n_second: int, level: float = 0.95) -> Bounds:
    """Difference of two independent shares, first minus second (Newcombe 1998, method 10: hybrid score)."""
    _check_counts(first, n_first)
    _check_counts(second, n_second)
    z = _z(level)
    p, q = first / n_first, second / n_second
    p_low, p_high = _wilson(first, n_first, z)
    q_low, q_high = _wilson(second, n_second, z)
    low = p - q - float(np.hypot(p - p_low, q_high - q))
    high = p - q + float(np.hypot(p_high - p, q - q_low))
    return Bounds(low=max(-1.0, low), high=min(1.0, high), level=level, method="newcombe", n=n_first + n_second)


def _wilson(successes: int, n: int, z: float) -> tuple[float, float]:
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    # exact at the ends: rounding must not push a bound past a share of 0 or 1
    return (0.0 if successes == 0 else max(0.0, centre - half)), (1.0 if successes == n else min(1.0, centre + half))


def _z(level: float) -> float:
    _check_level(level)
    return float(stats.norm.ppf(0.5 + level / 2))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")


def _check_counts(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a share; n must be at least 1")
