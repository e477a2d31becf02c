"""Bootstrap against scipy, permutation against brute force, conformal p-values against their definition."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from auditor.statistics.resampling import bca_interval, conformal_p, sign_flip


def test_bca_agrees_with_scipy() -> None:
    x = np.random.default_rng(3).exponential(1.0, 40)
    own = bca_interval(x, 0.9, resamples=20000)
    peer = stats.bootstrap(
        (x,), np.mean, confidence_level=0.9, method="BCa", n_resamples=20000, rng=np.random.default_rng(5)
    ).confidence_interval
    assert own is not None
    assert (own.low, own.high) == pytest.approx((peer.low, peer.high), abs=0.02)


def test_bca_covers_a_skewed_mean() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for seed in range(400):
        bounds = bca_interval(rng.exponential(1.0, 40), 0.9, resamples=500, seed=seed)
        hits += bounds is not None and bounds.low <= 1 <= bounds.high
    assert 0.83 < hits / 400 < 0.95


def test_bca_of_equal_replicates_is_a_point_and_of_one_is_nothing() -> None:
    point = bca_interval([2.5] * 8)
    assert point is not None and (point.low, point.high) == (2.5, 2.5)
    assert bca_interval([2.5]) is None


def test_bca_is_the_same_twice() -> None:
    x = [0.1, 0.4, 0.2, 0.9, 0.3]
    assert bca_interval(x) == bca_interval(x)


@pytest.mark.parametrize("seed", range(5))
def test_sign_flip_is_the_brute_force_count(seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.3, 1, 8)
    observed = (x - 0.1).sum()
    flips = [sum(s * v for s, v in zip(signs, x - 0.1, strict=True)) for signs in product((1, -1), repeat=8)]
    assert sign_flip(x, 0.1, "greater") == np.mean([f >= observed - 1e-9 for f in flips])
    assert sign_flip(-x, -0.1, "less") == sign_flip(x, 0.1, "greater")


def test_drawn_sign_flips_are_near_the_t_test_for_normal_replicates() -> None:
    x = np.random.default_rng(2).normal(0.3, 1, 40)
    t_test = stats.ttest_1samp(x, 0, alternative="greater").pvalue
    assert sign_flip(x, 0.0, "greater") == pytest.approx(t_test, abs=0.01)


def test_equal_replicates_have_their_exact_value() -> None:
    assert sign_flip([0.5] * 6, 0.1, "greater") == 2**-6
    assert sign_flip([0.1] * 6, 0.1, "greater") == 1.0
    assert sign_flip([0.0] * 6, 0.1, "greater") == 1.0


def test_sign_flip_keeps_its_level() -> None:
    rng = np.random.default_rng(9)
    share = np.mean([sign_flip(rng.normal(0.1, 1, 8), 0.1, "greater") <= 0.05 for _ in range(2000)])
    assert share < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_conformal_p_counts_placebos_at_least_as_large() -> None:
    assert conformal_p(0.5, [0.1, 0.5, 0.9]) == 3 / 4
    assert conformal_p(2.0, np.zeros(199)) == 1 / 200
    assert conformal_p(2.0, []) == 1.0


def test_conformal_p_is_valid_for_exchangeable_scores() -> None:
    rng = np.random.default_rng(4)
    share = np.mean([conformal_p(x[0], x[1:]) <= 0.1 for x in rng.standard_t(3, (4000, 40))])
    assert share < 0.1 + 4 * np.sqrt(0.1 * 0.9 / 4000)
