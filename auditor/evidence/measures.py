"""Numbers with their uncertainty: replicates -> records.evidence.Estimate. Torch-free."""

from collections.abc import Sequence

from auditor.records.evidence import Estimate, Interval
from auditor.statistics.intervals import Bounds, clopper_pearson, t_interval

LEVEL = 0.95


def mean_estimate(name: str, values: Sequence[float], unit: str, floor: float, population: str) -> Estimate:
    """Mean with a t interval, never narrower than the noise floor; no interval from a single replicate."""
    value = sum(values) / len(values)
    bounds = t_interval(values, LEVEL, floor)
    return Estimate(name=name, value=value, unit=unit, interval=_interval(bounds, population) if bounds else None)


def share_estimate(name: str, hits: int, n: int, population: str) -> Estimate:
    """Share of n draws with its exact interval."""
    bounds = clopper_pearson(hits, n, LEVEL)
    return Estimate(name=name, value=hits / n, unit="share", interval=_interval(bounds, population))


def _interval(bounds: Bounds, population: str) -> Interval:
    return Interval(
        low=bounds.low, high=bounds.high, level=bounds.level, method=bounds.method, n=bounds.n, population=population
    )
