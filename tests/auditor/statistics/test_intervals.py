"""Intervals against scipy, statsmodels and simulated coverage."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from auditor.statistics.intervals import clopper_pearson, newcombe, t_interval, wilson


def test_t_interval_is_scipys() -> None:
    x = np.random.default_rng(1).normal(2, 3, 12)
    bounds = t_interval(x, 0.9)
    low, high = stats.t.interval(0.9, 11, loc=x.mean(), scale=stats.sem(x))
    assert bounds is not None
    assert (bounds.low, bounds.high) == pytest.approx((low, high))
    assert (bounds.n, bounds.level, bounds.method) == (12, 0.9, "t")


def test_equal_replicates_give_a_point_widened_by_the_noise_floor() -> None:
    bounds = t_interval([0.1] * 32, floor=0.002)
    assert bounds is not None
    assert (bounds.low, bounds.high, bounds.method) == (pytest.approx(0.098), pytest.approx(0.102), "constant")


def test_an_interval_is_never_narrower_than_the_noise_floor() -> None:
    bounds = t_interval([1.0, 1.0 + 1e-9, 1.0], floor=0.05)
    assert bounds is not None and bounds.high - bounds.low == pytest.approx(0.1)


def test_one_replicate_has_no_interval() -> None:
    assert t_interval([3.0]) is None


@pytest.mark.parametrize("values", [[], [float("nan"), 1.0], [float("inf")]])
def test_unusable_replicates_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="replicate"):
        t_interval(values)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 32), (32, 32), (7, 32), (250, 400)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_share_intervals_are_statsmodels(k: int, n: int, level: float) -> None:
    for own, name in ((wilson, "wilson"), (clopper_pearson, "beta")):
        bounds = own(k, n, level)
        low, high = proportion_confint(k, n, 1 - level, name)
        assert (bounds.low, bounds.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("counts", [(9, 10, 3, 10), (0, 20, 0, 30), (5, 5, 0, 7), (56, 70, 48, 80)])
def test_newcombe_is_statsmodels(counts: tuple[int, int, int, int]) -> None:
    bounds = newcombe(*counts)
    low, high = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert (bounds.low, bounds.high) == pytest.approx((low, high), abs=1e-9)


def test_newcombe_gives_the_published_example() -> None:
    """Newcombe 1998, table II, row (a): 56/70 - 48/80 = 0.20, method 10: [0.0524, 0.3339]."""
    bounds = newcombe(56, 70, 48, 80)
    assert (bounds.low, bounds.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    hits_t = sum(_holds(t_interval(rng.normal(0.3, 1, 8), 0.9), 0.3) for _ in range(2000))
    hits_w = sum(_holds(wilson(int(rng.binomial(32, 0.3)), 32, 0.9), 0.3) for _ in range(2000))
    hits_c = sum(_holds(clopper_pearson(int(rng.binomial(32, 0.3)), 32, 0.9), 0.3) for _ in range(2000))
    # four standard errors of a share of 0.9 over 2000 draws: 0.027
    assert abs(hits_t / 2000 - 0.9) < 0.027
    assert abs(hits_w / 2000 - 0.9) < 0.04
    assert hits_c / 2000 > 0.9 - 0.027


def _holds(bounds: object, truth: float) -> bool:
    return bounds.low <= truth <= bounds.high  # type: ignore[attr-defined]
