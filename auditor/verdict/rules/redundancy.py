"""Is the source one of several that carry the same?

Counts: no effect of the single source (equivalence on log p under change and removal), but an effect above the
superiority bound when it is changed together with its duplicates.
Never counts: a joint effect where the single source, or the duplicates without it, already move the decision: then
one of them carries it, and nothing is redundant.
Cannot see: duplicates that nobody found (paraphrases, values that follow by arithmetic not recorded as a link).
"""

from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case

NAME = "redundancy"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    change, removal, joint = case.change, case.removal, case.joint
    if change is None or removal is None or joint is None or case.decider is None:
        return None
    p = bench.protocol
    alone = max(change.within(p.equivalence_margin), removal.within(p.equivalence_margin))
    together = joint.beyond(bench.superiority_bound(case), "greater")
    explained = case.explained_by_copies(bench.superiority_bound(case), p.false_discovery_rate)
    redundant = alone <= p.false_discovery_rate and together <= p.false_discovery_rate and not explained
    return RuleFinding(
        rule=NAME, conclusion="holds" if redundant else "fails",
        message=f"Alone the source moves the decision by {change.mean:.3f} nats, with its duplicates by"
        f" {joint.mean:.3f}" + (f", the duplicates without it by {case.copies.mean:.3f}." if case.copies else "."),
        cites=(case.decider.id,), numbers={"alone": change.mean, "joint": joint.mean, "n": float(joint.n)},
    )  # fmt: skip
