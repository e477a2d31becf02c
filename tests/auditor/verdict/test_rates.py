"""How often the judge is wrong on simulated runs of mixed claims (protocol §3.5, smaller)."""

from collections import Counter
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(("sd", "recall_used", "recall_unused"), [(0.02, 0.98, 0.98), (0.1, 0.95, 0.9)])
def test_false_discoveries_stay_below_the_rate(
    new_bench: Callable[[int], object], sd: float, recall_used: float, recall_unused: float
) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for seed in range(12):
        bench = new_bench(seed)
        truths = []
        for target in range(20):
            truth = ("used", "unused", "grey", "unused", "used")[target % 5]
            effect = {
                "used": float(bench.rng.uniform(0.5, 8)), "unused": float(bench.rng.uniform(-0.02, 0.02)),
                "grey": float(bench.rng.uniform(0.05, 0.25)),
            }[truth]  # fmt: skip
            truths.append(truth)
            bench.measured(bench.claim(target=target), effect, sd=sd, placebo=0.0, typed=False)
        for truth, verdict in zip(truths, bench.judge(), strict=True):
            counts[truth, verdict.verdict] += 1
    assert counts["unused", "relied_on"] == counts["used", "decorative"] == counts["used", "contradicted"] == 0
    used = sum(n for (truth, _), n in counts.items() if truth == "used")
    unused = sum(n for (truth, _), n in counts.items() if truth == "unused")
    assert counts["used", "relied_on"] / used >= recall_used, counts
    assert counts["unused", "decorative"] / unused >= recall_unused, counts


def test_effects_at_the_margin_are_rarely_called(new_bench: Callable[[int], object]) -> None:
    """The worst case for the composite null: every true effect sits exactly on the bound of 0.1 nats."""
    called = total = 0
    for seed in range(10):
        bench = new_bench(seed)
        for target in range(20):
            swap = bench.rng.normal(0.1, 0.1, 32)
            bench.evidence(
                bench.claim(target=target), [bench.arm("swap", swap), bench.arm("mask", bench.rng.normal(0.1, 0.1, 32))]
            )
        called += sum(verdict.verdict != "undetermined" for verdict in bench.judge())
        total += 20
    assert called / total < 0.05
