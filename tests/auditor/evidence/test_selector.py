"""The selector is run again on every order of the scores; the share is exact."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from auditor.evidence.methods.selector import Selector, choose
from auditor.records.messages import Message, Text
from auditor.records.structure import Selection


def asked(kit: Any, selector: str, scores: tuple[float, ...], chosen: int) -> Any:
    inputs = [Message(role="user", parts=(Text(text="Scores " + " ".join(f"{s:g}" for s in scores)),))]
    output = Message(role="assistant", parts=(Text(text="Taken."),))
    question = kit.ask(
        inputs, output, lambda talk: [talk.claim([talk.find(0, "Scores")], talk.find(1, "Taken"), "score_branch")]
    )
    selection = Selection(step="t", selector=selector, scores=scores, candidates=("",) * len(scores), chosen=chosen)
    return replace(question, structure=replace(question.structure, selections=(selection,)))


@pytest.mark.parametrize(("n", "share"), [(2, 1 / 2), (3, 2 / 3), (5, 4 / 5)])
def test_argmax_moves_unless_its_score_stays(kit: Any, n: int, share: float) -> None:
    scores = tuple(float(k) for k in range(n))
    (evidence,) = Selector().answer(asked(kit, "argmax", scores, n - 1), None)
    (arm,) = evidence.arms
    assert arm.mean.value == pytest.approx(share) and arm.tracks is not None and arm.tracks.value == 1.0
    assert arm.mean.interval is not None and arm.mean.interval.method == "exact"
    assert arm.mean.unit == "probability" and arm.family == "selector_swap"
    assert len(kit.arm(arm.effects)) == arm.n
    assert evidence.checks[0].passed


def test_first_never_moves(kit: Any) -> None:
    (evidence,) = Selector().answer(asked(kit, "first", (1.0, 2.0, 3.0), 0), None)
    assert evidence.arms[0].mean.value == 0.0


def test_a_choice_that_the_scores_do_not_give_fails_its_check(kit: Any) -> None:
    (evidence,) = Selector().answer(asked(kit, "argmax", (1.0, 9.0), 0), None)
    assert evidence.checks[0].passed is False


def test_many_branches_are_sampled_with_an_interval(kit: Any) -> None:
    (evidence,) = Selector().answer(asked(kit, "argmax", tuple(map(float, range(9))), 8), None)
    interval = evidence.arms[0].mean.interval
    assert interval is not None and interval.low < 8 / 9 < interval.high and interval.n == 5000


def test_unknown_selectors_and_other_claims(kit: Any, shop: Callable[..., Any]) -> None:
    (evidence,) = Selector().answer(asked(kit, "llm_vote", (1.0, 2.0), 1), None)
    assert evidence.reason == "unsupported"
    assert Selector().answer(shop(kit), None) == []
    assert choose("argmin", [2.0, 1.0, 1.0]) == 1 and choose("argmax", []) is None
    assert json.dumps(evidence.detail)
