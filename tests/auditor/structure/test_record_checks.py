"""Record checks find what is wrong and stay silent on what is right."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from auditor.structure import checks
from auditor.structure.arithmetic import recompute
from auditor.structure.checks.catalogue import CHECKS, table

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


def test_a_check_listed_twice_is_refused() -> None:
    assert list(table([("a", lambda run: []), ("b", lambda run: [])])) == ["a", "b"]
    with pytest.raises(ValueError, match="called a"):
        table([("a", lambda run: []), ("a", lambda run: [])])


def test_every_check_of_the_folder_is_listed() -> None:
    folder = Path(checks.__path__[0])
    with_check = {one.stem for one in folder.glob("*.py") if "\ndef check(" in one.read_text()}
    assert with_check <= set(CHECKS)


FLIGHTS = json.dumps([
    {"flight": "QX101", "origin": "AAA", "destination": "BBB", "departure_time": "07:00:00", "prices": {"low": 121}},
    {"flight": "QX202", "origin": "CCC", "destination": "DDD", "departure_time": "19:30:00", "prices": {"low": 187}},
])  # fmt: skip


def replied(runs: ModuleType, made: Made, reply: str, result: str = FLIGHTS) -> list[tuple[str, str]]:
    """(Stated, recorded) of the stated_value findings that do not hold."""
    run = made(_acted(runs, {"day": "2026-03-04"}, "Flights on 2026-03-04?", result, reply, tool="search"))
    return [
        (run.text(one.places[0]), run.text(one.places[1]) if len(one.places) > 1 else "")
        for one in run.findings("stated_value")
        if not one.holds
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("1. **Flight QX101**\n   - Departure: 07:00 AM\n   - Low price: $121\n2. QX202\n   - Departure: 19:30", []),
        ("1. **Flight QX101**\n   - Departure: 07:30 PM\n2. **Flight QX202**\n   - Departure: 7:30 PM",
         [("07:30", "07:00:00")]),
        ("1. **Flight QX101**\n   - Low price: $187", [("$187", "121")]),
        ("Flight QX303 is free.", [("QX303", "")]),
        ("Flight QX101 from AAA to BBB.", []),
        ("Flight QX101 from AAA to DDD.", [("DDD", "AAA")]),
        ("It is $121 + $187 = $308, within the 24-hour window.", []),
        ("On March 4 there are two: QX101 and QX202.", []),
        ("On March 9 there are two: QX101 and QX202.", [("March 9", "")]),
    ],
)  # fmt: skip
def test_stated_values_of_recorded_things(
    runs: ModuleType, made: Made, reply: str, found: list[tuple[str, str]]
) -> None:
    assert replied(runs, made, reply) == found


def test_reasoning_and_marked_thoughts_state_nothing(runs: ModuleType, made: Made) -> None:
    assert replied(runs, made, "<think>Perhaps QX999 or $5,555.</think>Take QX101.") == []


def test_a_result_about_another_thing_than_was_asked(runs: ModuleType, made: Made) -> None:
    run = made(_acted(runs, {"order": "QL99B"}, "Cancel QL99B.", '{"order": "QL98C", "state": "open"}', "Done."))
    (finding,) = run.findings("argument_echo")
    assert [run.text(place) for place in finding.places] == ["QL99B", "QL98C"]
    right = '{"order": "QL99B", "state": "open"}'
    assert made(_acted(runs, {"order": "QL99B"}, "Cancel QL99B.", right, "Done.")).findings("argument_echo") == []


def test_a_change_that_was_not_applied(runs: ModuleType, made: Made) -> None:
    first = [runs.said("user", "Make order QL99B express.")]
    look = runs.said("assistant", runs.asks("call-a-0000000", "get_order", {"order": "QL99B"}))
    second = [*first, look, runs.gave("call-a-0000000", "get_order", '{"order": "QL99B", "speed": "slow"}')]
    ask = runs.said("assistant", runs.asks("call-b-0000000", "update_order", {"order": "QL99B", "speed": "express"}))
    third = [*second, ask, runs.gave("call-b-0000000", "update_order", '{"order": "QL99B", "speed": "slow"}')]
    run = made([runs.recorded(0, first, look, run="r"), runs.recorded(1, second, ask, run="r"),
                runs.recorded(2, third, runs.said("assistant", "Done."), run="r")])  # fmt: skip
    (finding,) = run.findings("not_applied")
    assert [run.text(place) for place in finding.places] == ["slow", "express"]
    assert run.findings("argument_echo") == []


def test_asking_again_for_what_is_recorded(runs: ModuleType, made: Made) -> None:
    def asked_twice(second_tool: str, second_result: str) -> list[Any]:
        messages = [runs.said("user", "Where is QL99B?")]
        calls = []
        turns = [("get_order", "in town"), (second_tool, "ok"), ("get_order", second_result)]
        for at, (tool, result) in enumerate(turns):
            ask = runs.said("assistant", runs.asks(f"call-{at}-0000000", tool, {"order": "QL99B"}))
            calls.append(runs.recorded(at, list(messages), ask, run="r"))
            messages += [ask, runs.gave(f"call-{at}-0000000", tool, result)]
        calls.append(runs.recorded(3, list(messages), runs.said("assistant", "In town."), run="r"))
        found: list[Any] = made(calls).findings("asked_again")
        return found

    assert len(asked_twice("find_order", "in town")) == 1
    assert asked_twice("find_order", "delivered") == []  # it said something new
    assert asked_twice("move_order", "in town") == []  # something may have changed between


def test_an_argument_other_than_was_confirmed(runs: ModuleType, made: Made) -> None:
    def confirmed(speed: str, answer: str = "Yes.") -> list[Any]:
        first = [runs.said("user", "Send QL99B fast.")]
        reply = runs.said("assistant", "I will send it:\n- **Order**: QL99B\n- **Speed**: Express\nShall I proceed?")
        second = [*first, reply, runs.said("user", answer)]
        ask = runs.said("assistant", runs.asks("call-b-0000000", "send_order", {"order": "QL99B", "speed": speed}))
        found: list[Any] = made(
            [runs.recorded(0, first, reply, run="r"), runs.recorded(1, second, ask, run="r")]
        ).findings("argument_agreed")
        return found

    assert confirmed("express") == []
    assert len(confirmed("slow")) == 1
    assert confirmed("slow", "Yes, but slow.") == []


def test_a_near_miss_of_a_recorded_object(runs: ModuleType, made: Made) -> None:
    def booked(name: str) -> list[Any]:
        first = [runs.said("user", "Book for me and my family.")]
        look = runs.said("assistant", runs.asks("call-a-0000000", "get_family", {}))
        people = (("Ada", "1980-02-03"), ("Ben", "2011-05-06"))
        family = [{"first": one, "last": "Okafor", "born": born} for one, born in people]
        second = [*first, look, runs.gave("call-a-0000000", "get_family", json.dumps(family))]
        person = {"first": name, "last": "Okafor", "born": "1980-02-03"}
        ask = runs.said("assistant", runs.asks("call-b-0000000", "book", {"people": [person]}))
        found: list[Any] = made(
            [runs.recorded(0, first, look, run="r"), runs.recorded(1, second, ask, run="r")]
        ).findings("argument_source")
        return found

    assert booked("Ada") == []
    assert [len(one.places) for one in booked("Ben")] == [2]
