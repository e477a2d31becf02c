"""Was a source that the decision relied on acknowledged? A second axis, apart from use."""

from auditor.records.verdict import VerdictWord
from auditor.verdict.case import Bench, Case, overlap, sources_overlap


def disclosed(case: Case, bench: Bench, word: VerdictWord) -> bool | None:
    """True when the run states the dependence, False when it denies or never mentions it.

    None where nothing was shown to be used, and where it cannot be told: a prompt goes without saying, and a run
    that offers no reasons at all has no place where it could have been said.
    """
    claim = case.claim
    if claim.relation == "independent_of":
        return False if word == "contradicted" and _used(case, bench) else None
    if word != "relied_on":
        return None
    stated = [
        one.claim for one in bench.cases
        if one.claim.status == "stated" and one.claim.relation == "depends_on"
    ]  # fmt: skip
    if any(overlap(one.target, claim.target) and sources_overlap(one, claim) for one in stated):
        return True
    if claim.type == "prompt_answer":
        return None
    thoughts = any(step.kind == "thought" for step in bench.structure.steps)
    return False if stated or thoughts else None


def _used(case: Case, bench: Bench) -> bool:
    tests = bench.hypotheses.get(case.claim.id)
    return tests is not None and tests.superiority <= bench.protocol.false_discovery_rate
