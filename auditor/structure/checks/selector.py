"""selector: what was kept follows from the recorded scores, by the selector's own rule.

argmax, argmin, first, and greedy (the highest scores, as many as were to be kept, in falling order; where that number
is not recorded, as many as were kept). Candidates of equal score may stand for each other. A depth-first search must
turn back where its threshold says so.

Not seen: other selectors (a drawn sample cannot be drawn again), whether too few were kept where the number to keep is
not recorded, and a search that stopped where it might have gone on.
"""

from collections.abc import Sequence

from auditor.records.structure import Finding
from auditor.structure.checks.protocol import Recorded
from auditor.structure.layout import short
from auditor.structure.searches import Choice, read_search

_MOST_NAMED = 12


def check(run: Recorded) -> list[Finding]:
    """One finding for each selection that can be made again, and for each visit whose threshold is known."""
    return [*_choices(run), *_visits(run)]


def replay(selector: str, scores: Sequence[float], keep: int) -> tuple[int, ...] | None:
    """What a selector takes, ties in recorded order (as Python's `sorted(…, reverse=True)`); None for one that is not
    known."""
    places = range(len(scores))
    if selector == "first":
        return (0,)
    if selector == "argmax":
        return (max(places, key=scores.__getitem__),)
    if selector == "argmin":
        return (min(places, key=scores.__getitem__),)
    if selector == "greedy":
        return tuple(sorted(places, key=scores.__getitem__, reverse=True)[:keep])
    return None


def _choices(run: Recorded) -> list[Finding]:
    findings = []
    layout = run.layout
    steps = {step.id: step for step in layout.steps}
    for selection in layout.selections:
        step = steps[selection.step]
        choice = read_search(layout.part_text(step.message, 0)) if step.message is not None else None
        if not isinstance(choice, Choice) or step.span is None or step.message is None:
            continue
        wanted = replay(choice.selector, choice.scores, choice.keep or len(choice.all_kept))
        if wanted is None:
            continue
        scores = choice.scores
        alike = [scores[place] for place in wanted] == [scores[place] for place in choice.all_kept]
        holds = wanted == choice.all_kept if choice.selector == "first" else alike
        took = f"{choice.selector} took {_named(choice.all_kept, scores)}"
        message = f"{took}, as its scores say." if holds else f"{took}; its scores say {_named(wanted, scores)}."
        spans = [layout.field(step.message, f"/candidates/{place}/score") for place in range(len(scores))]
        findings.append(Finding(check="selector", holds=holds, message=message, places=(step.span, *spans),
                                claim=run.claim("score_branch", step.span)))  # fmt: skip
    return findings


def _named(places: Sequence[int], scores: Sequence[float]) -> str:
    told = ", ".join(f"{place} (score {scores[place]:g})" for place in places[:_MOST_NAMED])
    more = ", …" if len(places) > _MOST_NAMED else ""
    return f"branch{'' if len(places) == 1 else 'es'} {told}{more}"


def _visits(run: Recorded) -> list[Finding]:
    findings = []
    layout = run.layout
    fates = {branch.step: branch.fate for branch in layout.branches}
    steps = {step.id: step for step in layout.steps}
    for visited in layout.visits:
        walk, step = visited.walk, steps[visited.step]
        visit = walk.visits[visited.place]
        must, went_on = walk.prunes(visit.score), fates[visited.step] == "kept"
        if must is None or visit.score is None or step.span is None or not (must or went_on):
            continue
        holds = not (must and went_on)
        what = f"“{short(visit.path[-1])}” (score {visit.score:g})"
        message = (
            f"The search went on from {what}, though its threshold says that it must turn back."
            if not holds
            else f"The search {'went on' if went_on else 'turned back'} from {what}, as its threshold says."
        )
        score = layout.field(visited.message, f"/visits/{visited.place}/score")
        findings.append(Finding(check="selector", holds=holds, message=message, places=(step.span, score)))
    return findings
