"""Does the record itself contradict the claim?

Counts: an exact record check that failed and names the claim; or one that names no claim, and sets a place in this
stated claim's source beside a place in its target (a stated value beside a different recorded one).
Never counts: a check that holds; a failed check that touches only one end of the claim, because wrong arithmetic
inside a step does not say that the step was not used; any failed check about a claim that nobody made (`available`)
unless it names it.
Cannot see: contradictions in words without values, and sources outside the record.
"""

from auditor.records.structure import Claim, Finding
from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case, overlap

NAME = "record_contradiction"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    broken = [one for one in bench.structure.findings if not one.holds and concerns(one, case.claim)]
    if not broken:
        return None
    message = " ".join(one.message for one in broken)
    return RuleFinding(rule=NAME, conclusion="holds", message=message, cites=(bench.structure_id,))


def concerns(finding: Finding, claim: Claim) -> bool:
    if finding.claim is not None:
        return finding.claim == claim.id
    if claim.status != "stated" or claim.relation != "depends_on":
        return False
    at_target = any(overlap(place, claim.target) for place in finding.places)
    return at_target and any(overlap(place, source) for place in finding.places for source in claim.sources)
