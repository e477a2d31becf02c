"""Record checks find what is wrong and stay silent on what is right."""

from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest

from auditor.structure.arithmetic import recompute

Made = Callable[..., Any]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("31 + 25", Fraction(56)),
        ("2 + 3 * 4", Fraction(14)), ("10 / 4", Fraction(5, 2)), ("$1,200 - 0.5", Fraction(2399, 2)),
        ("8 / 2 / 2", Fraction(2)), ("0.1 + 0.2", Fraction(3, 10)), ("1 / 0", None), ("2 × 3 − 1", Fraction(5)),
    ],
)  # fmt: skip
def test_recompute(expression: str, value: Fraction | None) -> None:
    assert recompute(expression) == value


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("31 + 25 = 56.", [True]),
        ("31 + 25 = 57.", [False]),
        ("10 / 3 = 3.33", [True]),
        ("10 / 3 = 3.34", [False]),
        ("so 3 * $5 = $15 and 2 + 2 = 5", [True, False]),
        ("x + 3 = 7 and (1 + 2) * 3 = 9", [True]),
        ("1 + 2 = 3 + 4", []),
        ("2x + 3 = 5", []),
        ("on 2024-05-27 = today", []),
    ],
)
def test_stated_arithmetic(runs: ModuleType, made: Made, text: str, holds: list[bool]) -> None:
    run = made([runs.recorded(0, [runs.said("user", "q")], runs.said("assistant", text), run="r")])
    assert [finding.holds for finding in run.findings("arithmetic")] == holds


def _acted(
    runs: ModuleType, arguments: dict[str, object], user: str, result: str, reply: str, tool: str = "cancel_order"
) -> Any:
    first = [runs.said("user", user)]
    asked = runs.said("assistant", runs.asks("call-x-0000000", tool, arguments))
    then = [*first, asked, runs.gave("call-x-0000000", tool, result)]
    return [runs.recorded(0, first, asked, run="r"), runs.recorded(1, then, runs.said("assistant", reply), run="r")]


def test_an_argument_from_nowhere(runs: ModuleType, made: Made) -> None:
    run = made(_acted(runs, {"order": "ZX81A"}, "Cancel order QL99B.", "ok", "Done."))
    (finding,) = run.findings("argument_source")
    assert not finding.holds and run.text(finding.places[0]) == "ZX81A"
    assert (
        made(_acted(runs, {"order": "QL99B"}, "Cancel order ql99b.", "ok", "Done.")).findings("argument_source") == []
    )


def test_an_argument_that_was_worked_out_is_known(runs: ModuleType, made: Made) -> None:
    assert made(_acted(runs, {"total": 150}, "Charge 100 and 50.", "ok", "Done.")).findings("argument_source") == []
    assert len(made(_acted(runs, {"total": 151}, "Charge 100 and 50.", "ok", "Done.")).findings("argument_source")) == 1


def test_an_action_that_was_never_asked_for(runs: ModuleType, made: Made) -> None:
    wrong = made(
        _acted(runs, {"order": "QL99B"}, "Cancel QL99B.", "ok", "I have refunded your order.", tool="find_order")
    )
    (finding,) = wrong.findings("claimed_action")
    assert wrong.text(finding.places[0]) == "refunded"
    assert made(_acted(runs, {}, "Cancel it.", "ok", "I have cancelled your order.")).findings("claimed_action") == []
    assert made(_acted(runs, {}, "Cancel it.", "ok", "I can cancel it.", tool="find")).findings("claimed_action") == []


@pytest.mark.parametrize("error", ["Error: no such order", '{"error": "unknown"}'])
def test_success_after_an_error(runs: ModuleType, made: Made, error: str) -> None:
    run = made(_acted(runs, {}, "Cancel it.", error, "I have cancelled your order."))
    (finding,) = run.findings("success_after_error")
    assert [run.text(place) for place in finding.places] == ["cancelled", error]
    assert made(_acted(runs, {}, "Cancel it.", error, "I could not cancel it.")).findings("success_after_error") == []
