"""The three tests against scipy and statsmodels, their error rates by simulation, and their degenerate cases."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from auditor.statistics.composite import composite, equivalence, one_sided
from auditor.statistics.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm
from auditor.statistics.power import equivalence_power, replicates_needed, superiority_power
from auditor.statistics.resampling import sign_flip


def test_from_sixteen_replicates_on_they_are_t_tests() -> None:
    x = np.random.default_rng(1).normal(0.2, 0.3, 32)
    tests = composite(x, 0.15, 0.25)
    assert tests.superiority == pytest.approx(stats.ttest_1samp(x, 0.15, alternative="greater").pvalue)
    assert tests.reversal == pytest.approx(stats.ttest_1samp(x, -0.15, alternative="less").pvalue)
    assert tests.equivalence == pytest.approx(DescrStatsW(x).ttost_mean(-0.25, 0.25)[0])
    assert (tests.n, tests.method) == (32, "t")


def test_below_sixteen_they_are_sign_flips() -> None:
    x = np.random.default_rng(1).normal(0.2, 0.3, 10)
    assert one_sided(x, 0.1, "greater") == sign_flip(x, 0.1, "greater")
    assert composite(x, 0.1, 0.1).method == "sign-flip"


@pytest.mark.parametrize("n", [1, 2, 32])
@pytest.mark.parametrize("value", [0.0, 8.5, -3.0, 0.1])
def test_deterministic_effects_never_give_nan(n: int, value: float) -> None:
    tests = composite([value] * n, 0.1, 0.1)
    small = 2.0**-n
    assert tests.superiority == (small if value > 0.1 else 1.0)
    assert tests.reversal == (small if value < -0.1 else 1.0)
    assert tests.equivalence == (small if abs(value) < 0.1 else 1.0)


def test_an_equivalence_bound_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        equivalence([0.0, 0.1], 0.0)


@pytest.mark.parametrize("n", [8, 32])
def test_error_rates_at_the_boundary(n: int) -> None:
    rng = np.random.default_rng(n)
    runs = [composite(rng.normal(0.1, 0.3, n), 0.1, 0.1) for _ in range(1000)]
    limit = 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)
    assert np.mean([t.superiority <= 0.05 for t in runs]) < limit
    assert np.mean([t.equivalence <= 0.05 for t in runs]) < limit


def test_adjusted_p_values_are_statsmodels() -> None:
    p = np.random.default_rng(5).uniform(0, 0.2, 40).tolist()
    for own, name in ((benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by"), (holm, "holm")):
        assert own(p) == pytest.approx(multipletests(p, method=name)[1])
        assert own([]) == []
        assert own([0.03]) == pytest.approx([0.03])


def test_p_values_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, float("nan")])


@pytest.mark.parametrize(("effect", "n"), [(0.0, 32), (0.05, 64), (0.3, 32)])
def test_power_is_the_simulated_share(effect: float, n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(effect, 0.25, (4000, n))
    t = stats.t.isf(0.05, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    mean = x.mean(axis=1)
    assert superiority_power(effect, 0.1, 0.25, n, 0.05) == pytest.approx(np.mean(mean - t > 0.1), abs=0.03)
    assert equivalence_power(effect, 0.1, 0.25, n, 0.05) == pytest.approx(
        np.mean((mean + t < 0.1) & (mean - t > -0.1)), abs=0.03
    )


def test_power_at_the_ends_is_defined() -> None:
    assert superiority_power(8.5, 0.1, 0.0, 32, 0.05) == 1.0
    assert superiority_power(0.0, 0.1, 1e-6, 32, 0.05) == 0.0
    assert superiority_power(8.5, 0.1, 1e-6, 32, 0.05) == 1.0
    assert equivalence_power(0.0, 0.1, 0.0, 32, 0.05) == 1.0
    assert equivalence_power(0.0, 0.1, 0.25, 1, 0.05) == 0.0


def test_replicates_needed_is_the_smallest_that_does() -> None:
    def power(n: int) -> float:
        return equivalence_power(0.0, 0.1, 0.25, n, 0.01)

    n = replicates_needed(power)
    assert n is not None and power(n) >= 0.8 > power(n - 1)
    # the protocol's own simulation: 0.58 at 64 replicates, 0.97 at 128
    assert power(64) == pytest.approx(0.58, abs=0.03)
    assert power(128) == pytest.approx(0.97, abs=0.02)
    assert replicates_needed(lambda n: 0.1, at_most=1000) is None
