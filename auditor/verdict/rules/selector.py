"""Did the branch's score decide the choice? Exact: a selector is a function that can be run again.

Counts: replays of the recorded selector with the recorded scores changed (arm `selector_swap`). If the choice changes
in any replay, the score was used; if it never does, it was not.
Never counts: what a model would make of the score's text.
Cannot see: selectors whose inputs were not recorded (no arm, so availability says why).
"""

from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case

NAME = "selector"


def conclude(case: Case, bench: Bench) -> RuleFinding | None:
    draws = case.draws.get("selector_swap")
    if case.claim.type != "score_branch" or draws is None or case.decider is None:
        return None
    moved = sum(1 for effect in draws.effects if effect != 0)
    return RuleFinding(
        rule=NAME, conclusion="holds" if moved else "fails",
        message=f"Running the recorded selector again with that score changed gave another choice in {moved} of"
        f" {draws.n} replays.",
        cites=(case.decider.id,), numbers={"moved": float(moved), "n": float(draws.n)},
    )  # fmt: skip
