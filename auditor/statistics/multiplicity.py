"""Many tests at once: adjusted p-values in the order given. An empty family gives an empty answer.

- `benjamini_hochberg` (1995): false discovery rate, independent or positively dependent tests (a shared placebo pool);
- `benjamini_yekutieli` (2001): false discovery rate under any dependence, stricter by the harmonic sum;
- `holm` (1979): family-wise error, for the handful of claims in an incident report.
A hypothesis is rejected at rate q where its adjusted p-value is ≤ q.
"""

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    return _step_up(p, 1.0)


def benjamini_yekutieli(p: Sequence[float]) -> list[float]:
    return _step_up(p, float(sum(1 / k for k in range(1, len(p) + 1))))


def holm(p: Sequence[float]) -> list[float]:
    x = _checked(p)
    order = np.argsort(x, kind="stable")
    scaled = x[order] * np.arange(x.size, 0, -1)
    return _back(np.minimum(1.0, np.maximum.accumulate(scaled)) if x.size else scaled, order)


def _step_up(p: Sequence[float], factor: float) -> list[float]:
    x = _checked(p)
    order = np.argsort(x, kind="stable")
    scaled = x[order] * x.size * factor / np.arange(1, x.size + 1)
    return _back(np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1]) if x.size else scaled, order)


def _back(adjusted: np.ndarray, order: np.ndarray) -> list[float]:
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return [float(value) for value in result]


def _checked(p: Sequence[float]) -> np.ndarray:
    x = np.asarray(p, dtype=np.float64)
    if x.size and not ((x >= 0) & (x <= 1)).all():
        raise ValueError("p-values must lie in [0, 1]")
    return x
