"""selector: the choice follows from the recorded scores.

Not seen: selectors other than argmax, argmin and first.
"""

from collections.abc import Sequence

from auditor.records.structure import Finding
from auditor.structure.checks.protocol import Recorded
from auditor.structure.tree import field_span


def check(run: Recorded) -> list[Finding]:
    """One finding for each selection that can be made again."""
    findings = []
    layout = run.layout
    steps = {step.id: step for step in layout.steps}
    for selection in layout.selections:
        step = steps[selection.step]
        wanted = _choose(selection.selector, selection.scores)
        if wanted is None or step.span is None or step.message is None:
            continue
        holds = selection.chosen in wanted
        chosen = selection.scores[selection.chosen]
        should = ", ".join(str(one) for one in sorted(wanted))
        message = (
            f"{selection.selector} took branch {selection.chosen} (score {chosen:g}), as its scores say."
            if holds
            else f"{selection.selector} took branch {selection.chosen} (score {chosen:g}); its scores say {should}."
        )
        spans = [field_span(layout, step.message, f"/candidates/{one}/score") for one in range(len(selection.scores))]
        findings.append(Finding(check="selector", holds=holds, message=message, places=(step.span, *spans),
                                claim=run.claim("score_branch", step.span)))  # fmt: skip
    return findings


def _choose(selector: str, scores: Sequence[float]) -> frozenset[int] | None:
    """Indices the selector may take, all ties among them; None for a selector that cannot be run again."""
    if selector == "first":
        return frozenset({0})
    if selector in ("argmax", "argmin"):
        best = max(scores) if selector == "argmax" else min(scores)
        return frozenset(index for index, score in enumerate(scores) if score == best)
    return None
