"""Did the decision rest on the source?

Counts: superiority over the bound under a same-type change (S, or R) and under removal (M), adjusted within the run;
and, where the replacement implies a value, that the decision followed it in most draws (Wilson's lower bound above
one half): a used value tracks, a merely disturbed context does not.
Never counts: one of the two families alone; a mean above the bound whose test did not pass.
Cannot see: sources whose effect a duplicate hides (see redundancy), or that act only when the model continues freely.
"""

from auditor.records.verdict import RuleFinding
from auditor.statistics.intervals import wilson
from auditor.verdict.case import Bench, Case

NAME = "superiority"
TRACKING_SHARE = 0.5
"""By accident the implied value is likelier than the recorded one in half the draws: following is that comparison."""


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    tests = bench.hypotheses.get(case.claim.id)
    change, removal = case.change, case.removal
    if tests is None or change is None or removal is None or case.decider is None:
        return None
    bound = bench.superiority_bound(case)
    holds = tests.superiority <= bench.protocol.false_discovery_rate
    numbers = {
        "bound": bound, "change": change.mean, "removal": removal.mean, "p_adjusted": tests.superiority,
        "n": float(change.n),
    }  # fmt: skip
    message = (
        f"The {change.family} arm moved the decision by {change.mean:.3f} and the {removal.family} arm by"
        f" {removal.mean:.3f} nats against a bound of {bound:.3f} (adjusted p {tests.superiority:.2g})."
    )
    if holds and not follows(case, bench):
        message += f" But it followed the replacement in only {change.followed} of {change.typed} draws."
        return RuleFinding(
            rule=NAME, conclusion="cannot_tell", message=message, cites=(case.decider.id,), numbers=numbers
        )
    return RuleFinding(
        rule=NAME, conclusion="holds" if holds else "fails", message=message, cites=(case.decider.id,), numbers=numbers
    )


def follows(case: Case, bench: Bench) -> bool:
    """True where no replacement implies a value, or the decision followed it in clearly more than half the draws."""
    change = case.change
    if change is None or change.typed == 0:
        return True
    # a one-sided question at the protocol's rate: both tails of the interval together hold twice that
    level = 1 - 2 * bench.protocol.false_discovery_rate
    return wilson(change.followed, change.typed, level).low > TRACKING_SHARE
