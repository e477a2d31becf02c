"""Is there anything to decide with?

Counts: usable evidence of a deciding kind with both a change and a removal of the source (for scores: a selector
replay). Its absence is passed on with the reason the worker gave (weights unavailable or changed, replay mismatch…).
Never counts: attribution, attention, features, training-data influence, or a surrogate model's evidence.
Cannot see: whether evidence that is missing would have been hard to get.
"""

from auditor.records.evidence import Reason
from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case
from auditor.verdict.hypotheses import testable

NAME = "availability"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    found = missing(case)
    if found is None:
        return None
    reason, detail = found
    cites = (case.decider.id,) if case.decider is not None else ()
    return RuleFinding(rule=NAME, conclusion="cannot_tell", message=f"{reason}: {detail}", cites=cites)


def missing(case: Case) -> tuple[Reason, str] | None:
    """Why nothing can be decided, or None when it can."""
    if case.reason is not None:
        return case.reason, case.detail
    if case.claim.type == "score_branch" or testable(case):
        return None
    wanted = "swap" if case.change is None else "mask"
    why = case.skipped.get(wanted, "it was not run")
    return "unsupported", f"the {wanted} arm is missing: {why}"
