"""The three hypotheses about every testable claim, and their multiplicity within one run.

superiority  μ > bound under the change (S or R) and under the removal (M): the larger of the two p-values
reversal     μ < -bound under both
equivalence  |μ| < the fixed margin under S, M and the joint arm (G), on log p and on the margin; G is left out where
             it did not run, or where the duplicates alone already move the decision
Each is an intersection-union test, so the largest p-value of its parts keeps its level. Benjamini-Hochberg then runs
over claims × 3.
"""

from collections.abc import Mapping, Sequence

from auditor.statistics.multiplicity import benjamini_hochberg
from auditor.verdict.case import Bench, Case, Hypotheses
from auditor.verdict.draws import Draws


def adjusted_within_run(bench: Bench) -> Mapping[str, Hypotheses]:
    """Claim id → adjusted p-values, for the claims that have both a change and a removal."""
    cases = [case for case in bench.cases if testable(case)]
    raw = [p for case in cases for p in (superiority(case, bench), reversal(case, bench), equivalence(case, bench))]
    adjusted = benjamini_hochberg(raw)
    return {
        case.claim.id: Hypotheses(
            superiority=adjusted[3 * at], reversal=adjusted[3 * at + 1], equivalence=adjusted[3 * at + 2]
        )
        for at, case in enumerate(cases)
    }


def testable(case: Case) -> bool:
    return case.change is not None and case.removal is not None


def superiority(case: Case, bench: Bench) -> float:
    assert case.change is not None and case.removal is not None
    bound = bench.superiority_bound(case)
    return max(case.change.beyond(bound, "greater"), case.removal.beyond(bound, "greater"))


def reversal(case: Case, bench: Bench) -> float:
    assert case.change is not None and case.removal is not None
    bound = bench.superiority_bound(case)
    return max(case.change.beyond(-bound, "less"), case.removal.beyond(-bound, "less"))


def equivalence(case: Case, bench: Bench) -> float:
    return max(log_p_equivalence(case, bench), margin_equivalence(case, bench))


def log_p_equivalence(case: Case, bench: Bench) -> float:
    return _worst([arm.within(bench.protocol.equivalence_margin) for arm in _arms(case, bench)])


def margin_equivalence(case: Case, bench: Bench) -> float:
    return _worst([arm.margin_within(bench.margin_bound(case)) for arm in _arms(case, bench)])


def _arms(case: Case, bench: Bench) -> list[Draws]:
    explained = case.explained_by_copies(bench.superiority_bound(case), bench.protocol.false_discovery_rate)
    return [arm for arm in (case.change, case.removal, None if explained else case.joint) if arm is not None]


def _worst(values: Sequence[float]) -> float:
    return max(values, default=1.0)
