"""Do edits that should not matter move the decision?

Counts: this claim's placebo arm (meaning-preserving rewrites). If it moves the decision by more than the smallest
effect of interest, information may sit in the wording; the claim then needs a change that goes beyond the 95th
percentile of its own placebos by that much again. The pooled 95th percentile of all placebo and decoy effects of the
run is the floor of the superiority bound, and reported here.
Never counts: a decoy of another claim as a sign of surface coding of this one.
Cannot see: surface coding where no meaning-preserving rewrite exists (JSON, tiny vocabularies).
"""

import numpy as np

from auditor.records.verdict import RuleFinding
from auditor.statistics.composite import one_sided
from auditor.verdict.case import Bench, Case

NAME = "placebo_floor"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    placebo, change = case.draws.get("placebo"), case.change
    if placebo is None or change is None or case.decider is None:
        return None
    p = bench.protocol
    sizes = [abs(effect) for effect in placebo.effects]
    floor = float(np.quantile(sizes, 0.95))
    moves = one_sided(sizes, p.superiority_margin, "greater") <= p.false_discovery_rate
    beyond = one_sided([effect - floor for effect in change.effects], p.superiority_margin, "greater")
    surface = moves and beyond > p.false_discovery_rate
    says = "and the change goes no further" if surface else "and the change goes further" if moves else "as it should"
    return RuleFinding(
        rule=NAME, conclusion="fails" if surface else "holds",
        message=f"Rewording without a change of meaning moved the decision by up to {floor:.3f} nats, {says}.",
        cites=(case.decider.id,),
        numbers={"placebo_p95": floor, "run_floor": bench.placebo_floor, "placebos_in_run": float(bench.placebos)},
    )  # fmt: skip
