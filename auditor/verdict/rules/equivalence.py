"""Can the source be changed, hidden, and removed with its duplicates, and nothing moves?

Counts: equivalence within a fixed margin on log p and on the decision's margin (its log-odds against the strongest
alternative), for change, removal and, where it ran, the joint arm; adjusted within the run; measured in a replay whose
noise floor, times a factor, stays below the margin.
Never counts: an effect that is merely not significant; a margin widened by noise; log p alone in a saturated model.
Cannot see: use that appears only when the model continues freely after the change.
"""

from auditor.records.evidence import Reason
from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case
from auditor.verdict.hypotheses import log_p_equivalence, margin_equivalence, superiority

NAME = "equivalence"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    tests = bench.hypotheses.get(case.claim.id)
    change, removal = case.change, case.removal
    if tests is None or change is None or removal is None or case.decider is None:
        return None
    p = bench.protocol
    numbers = {
        "change": change.mean, "removal": removal.mean, "margin": p.equivalence_margin,
        "margin_bound": bench.margin_bound(case), "p_adjusted": tests.equivalence, "noise_floor": case.floor,
    }  # fmt: skip
    cites = (case.decider.id,)
    if noisy(case, bench):
        message = f"The replay's noise floor of {case.floor:.4f} nats is too near the margin of {p.equivalence_margin}."
        return RuleFinding(rule=NAME, conclusion="cannot_tell", message=message, cites=cites, numbers=numbers)
    holds = tests.equivalence <= p.false_discovery_rate
    message = (
        f"The effects lie {'within' if holds else 'not provably within'} ±{p.equivalence_margin:.2f} nats on log p and"
        f" ±{bench.margin_bound(case):.2f} on the decision's margin (adjusted p {tests.equivalence:.2g})."
    )
    return RuleFinding(
        rule=NAME, conclusion="holds" if holds else "fails", message=message, cites=cites, numbers=numbers
    )


def noisy(case: Case, bench: Bench) -> bool:
    return bench.protocol.noise_factor * case.floor > bench.protocol.equivalence_margin


def why_undetermined(case: Case, bench: Bench) -> tuple[Reason, str]:
    """The reason code where neither superiority nor equivalence was shown, and a clause that says it."""
    p, change, removal = bench.protocol, case.change, case.removal
    assert change is not None and removal is not None
    if noisy(case, bench):
        return "noisy", f"two identical passes differ by up to {case.floor:.4f} nats"
    bound, alpha = bench.superiority_bound(case), p.false_discovery_rate
    if bound > p.superiority_margin and change.mean > p.superiority_margin and superiority(case, bench) > alpha:
        return "noisy", f"edits that should not matter move the decision by up to {bench.placebo_floor:.2f} nats"
    if log_p_equivalence(case, bench) <= alpha:
        if margin_equivalence(case, bench) > alpha and _measured_margins(case):
            return "saturated", "the probability hardly moves, but the decision's margin does"
        if not _measured_margins(case):
            return "unsupported", "the decision's margin was not measured"
    if _disagree(case, bench):
        return "off_distribution", f"the {change.family} and {removal.family} arms disagree"
    return "underpowered", f"{change.n} draws cannot tell the effect from the margin"


def _measured_margins(case: Case) -> bool:
    return all(arm.margins for arm in (case.change, case.removal, case.joint) if arm is not None)


def _disagree(case: Case, bench: Bench) -> bool:
    """One of change and removal clearly moves the decision, the other clearly does not."""
    assert case.change is not None and case.removal is not None
    p, bound = bench.protocol, bench.superiority_bound(case)
    pairs = ((case.change, case.removal), (case.removal, case.change))
    return any(
        min(one.beyond(bound, "greater"), one.beyond(-bound, "less")) <= p.false_discovery_rate
        and other.within(p.equivalence_margin) <= p.false_discovery_rate
        for one, other in pairs
    )
