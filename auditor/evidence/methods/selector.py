"""Does the choice between branches follow their scores? The recorded selector is run again on other scores.

Algorithm: the selector (argmax, argmin, first) is an exact function of the recorded scores. Give every branch every
other branch's score: all orders of the scores for up to 7 branches, else 5,000 drawn with the record's seed. The effect
is the share of orders in which the choice goes to another branch; tracks says whether it follows the score that the
recorded choice had. No model is run. Reference: exact enumeration. Blind spots: shows that the choice follows the
scores, not that the scores follow the branches; unnamed selectors cannot be run again.
"""

import itertools
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

from auditor.evidence.answering import refused
from auditor.evidence.measures import share_estimate
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.specs import SPECS
from auditor.evidence.targets import same_place
from auditor.records.canonical import canonical_bytes, seed_of
from auditor.records.evidence import Arm, Check, Cost, Estimate, Evidence, Interval, Source
from auditor.records.structure import Claim, Selection

MOST_EXHAUSTIVE = 7
DRAWS = 5000
MOST_KEPT = 720
"""Orders whose outcome is kept one by one; the share is over all of them."""


def choose(selector: str, scores: Sequence[float]) -> int | None:
    """The index that a named selector takes (ties: the first); None for a selector that is not known here."""
    if not scores:
        return None
    if selector == "first":
        return 0
    if selector in ("argmax", "max", "best"):
        return max(range(len(scores)), key=scores.__getitem__)
    if selector in ("argmin", "min"):
        return min(range(len(scores)), key=scores.__getitem__)
    return None


class Selector:
    """Implements evidence.protocol.Method; needs the record only. Answers score_branch claims."""

    spec = SPECS["selector"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        answers = []
        for claim in question.claims:
            if claim.type != "score_branch":
                continue
            try:
                answers.append(self._one(question, claim, _selection(question, claim)))
            except ReplayRefused as refusal:
                answers.append(refused(question, claim, self.spec, refusal))
        return answers

    def _one(self, question: Question, claim: Claim, selection: Selection) -> Evidence:
        began = time.perf_counter()
        scores, n = selection.scores, len(selection.scores)
        again = choose(selection.selector, scores)
        if again is None:
            raise ReplayRefused("unsupported", f"selector {selection.selector!r} cannot be run again")
        seed = seed_of(question.seed_key, 0)
        exhaustive = n <= MOST_EXHAUSTIVE
        orders = _orders(n, seed)
        rows: list[dict[str, object]] = []
        moved = followed = total = 0
        for order in orders:
            taken = choose(selection.selector, [scores[k] for k in order])
            changed = taken != selection.chosen
            follows = taken is not None and scores[order[taken]] == scores[selection.chosen]
            moved, followed, total = moved + changed, followed + follows, total + 1
            if len(rows) < MOST_KEPT:
                rows.append({"replacement": " ".join(str(scores[k]) for k in order), "effect": float(changed),
                             "margin": None, "tracks": follows, "seed": str(seed)})  # fmt: skip
        what = f"all {total} orders of the scores" if exhaustive else f"{total} random orders of the scores"
        effect = _share("effect", moved, total, exhaustive, what)
        arm = Arm(
            family="selector_swap", n=len(rows), effects=question.keep(canonical_bytes(rows)), mean=effect, margin=None,
            tracks=_share("tracks", followed, total, exhaustive, what),
        )  # fmt: skip
        return Evidence(
            run=question.structure.run, claim=claim.id, call=claim.call, kind="intervention", method=self.spec.id,
            target=claim.target, target_tokens=None, arms=(arm,), estimates=(effect,), seed=str(seed),
            sources=tuple(Source(label=f"score {scores[k]:g}", span=span, effect=effect)
                          for k, span in enumerate(claim.sources[:n])),
            checks=(Check(name="selector_replay", passed=again == selection.chosen, value=float(again),
                          bound=float(selection.chosen), unit="1", note="recorded scores against recorded choice"),),
            cost=Cost(seconds=time.perf_counter() - began),
            detail=f"{selection.selector} run again on {what}; with none of it used, the choice would never change.",
            note=self.spec.note,
        )  # fmt: skip


def _selection(question: Question, claim: Claim) -> Selection:
    """The selection a claim is about: its target step, or the step whose span is the target."""
    steps = {step.id: step for step in question.structure.steps}
    for selection in question.structure.selections:
        step = steps.get(selection.step)
        here = step is not None and step.span is not None and same_place(step.span, claim.target)
        if selection.step == claim.target_step or here:
            if len(selection.scores) < 2:
                raise ReplayRefused("unsupported", "fewer than two scored branches")
            return selection
    raise ReplayRefused("unsupported", "no recorded selection belongs to this claim")


def _orders(n: int, seed: int) -> Iterable[tuple[int, ...]]:
    if n <= MOST_EXHAUSTIVE:
        yield from itertools.permutations(range(n))
        return
    draw = random.Random(seed)
    for _ in range(DRAWS):
        yield tuple(draw.sample(range(n), n))


def _share(name: str, hits: int, total: int, exhaustive: bool, population: str) -> Estimate:
    """A share; where every order was tried it is exact, and its interval is the point."""
    if not exhaustive:
        found = share_estimate(name, hits, total, population)
        return Estimate(name=name, value=found.value, unit="probability", interval=found.interval)
    value = hits / total
    interval = Interval(low=value, high=value, level=0.95, method="exact", n=total, population=population)
    return Estimate(name=name, value=value, unit="probability", interval=interval)
