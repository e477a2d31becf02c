"""Was another source of the same kind used instead of the one that was named?

Counts: the named source is decorative, while a source that nobody named, of the same kind (tool against tool,
document against document, step against step), for the same decision, is relied on.
Never counts: the prompt or the question, unless a part of the prompt was named: they are always relied on; a source
that was named too; a source that overlaps the named one.
Cannot see: sources that were never tested.
"""

from auditor.records.structure import Claim
from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case, overlap, sources_overlap

NAME = "same_kind"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    claim, words = case.claim, bench.words
    if claim.status != "stated" or claim.relation != "depends_on" or words.get(claim.id) != "decorative":
        return None
    named = [other.claim for other in bench.cases if _named(other.claim, claim)]
    for other in bench.cases:
        if (
            other.kind == case.kind and other.claim.status == "available" and words.get(other.claim.id) == "relied_on"
            and overlap(other.claim.target, claim.target)
            and not any(sources_overlap(other.claim, one) for one in named)
        ):  # fmt: skip
            cites = tuple(one.decider.id for one in (case, other) if one.decider is not None)
            return RuleFinding(
                rule=NAME, conclusion="holds", cites=cites,
                message=f"The decision relied on another {case.kind} source that was not named"
                f" (claim {other.claim.id[:12]}).",
            )  # fmt: skip
    return None


def _named(other: Claim, claim: Claim) -> bool:
    return other.status == "stated" and other.relation == "depends_on" and overlap(other.target, claim.target)
