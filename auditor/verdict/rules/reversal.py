"""Did the source work against the decision?

Counts: effects below minus the superiority bound under both the change and the removal, adjusted within the run: the
decision became likelier without what it is said to depend on.
Never counts: a negative mean whose test did not pass.
Cannot see: whether the source helped an alternative that was not taken.
"""

from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case

NAME = "reversal"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    tests = bench.hypotheses.get(case.claim.id)
    if tests is None or case.change is None or case.decider is None:
        return None
    if tests.reversal > bench.protocol.false_discovery_rate:
        return None
    return RuleFinding(
        rule=NAME, conclusion="holds",
        message=f"The decision became likelier by {-case.change.mean:.3f} nats when the source was changed.",
        cites=(case.decider.id,), numbers={"change": case.change.mean, "p_adjusted": tests.reversal},
    )  # fmt: skip
