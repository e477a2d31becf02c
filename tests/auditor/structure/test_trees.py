"""Searches over thoughts become trees, from what recorders say of them; selectors are run again."""

import json
import random
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from auditor.records.exchange import Payload, Transcript
from auditor.records.messages import Message, Span, Text, span_text
from auditor.structure.checks.selector import replay
from auditor.structure.fields import fields, raw_place
from auditor.structure.inputs import RecordedTranscript

Made = Callable[..., Any]


def transcript(*messages: Message, facts: Mapping[str, object] | None = None) -> RecordedTranscript:
    value = Transcript(format="f", run="r", model="m", messages=Payload(address="a", size=1), tools=None, origin="o",
                       facts=facts or {})  # fmt: skip
    return RecordedTranscript(position=1, id="1" * 64, project="p", transcript=value, messages=messages)


def said(role: str, text: str) -> Message:
    return Message(role=role, parts=(Text(text=text),))  # type: ignore[arg-type]


def event(body: Mapping[str, object] | str) -> Message:
    return said("event", body if isinstance(body, str) else json.dumps(body))


def choice(*candidates: tuple[str, float], kept: list[int], **more: object) -> dict[str, object]:
    return {"selector": "greedy", "candidates": [{"text": text, "score": score} for text, score in candidates],
            "chosen": kept[0], "kept": kept, **more}  # fmt: skip


def visits(*rows: tuple[str, float], **more: object) -> dict[str, object]:
    return {"selector": "depth_first", **more, "visits": [{"path": path.split("/"), "score": s} for path, s in rows]}


def nodes(run: Any) -> list[tuple[Any, ...]]:
    """(text, its parent's, depth, score, fate) of each node."""
    text = {one.step: shown(run, one.step) for one in run.structure.branches}
    return [(text[one.step], text.get(one.parent), one.depth, one.score, one.fate) for one in run.structure.branches]


def shown(run: Any, step: str) -> str:
    own = next(one for one in run.structure.steps if one.id == step)
    assert own.kind == "branch"
    text = run.text(own.span)
    return json.loads(f'"{text}"') if own.span.pointer else text


FIRST = choice(("a é\n", 3.0), ("b\n", 1.0), ("c\n", 2.0), kept=[0, 2], depth=1, state=[""])
SECOND = choice(
    ("a é\nx", 0.5), ("c\ny \"q\"", 2), ("a é\nz", 2), kept=[1, 2], keep=2, depth=2, state=["a é\n", "c\n"]
)  # fmt: skip


def test_a_breadth_first_search_is_a_tree_of_what_each_step_adds(made: Made) -> None:
    run = made(transcripts=[transcript(said("user", "q"), event(FIRST), event(SECOND))])
    assert nodes(run) == [
        ("a é\n", None, 1, 3.0, "kept"), ("b\n", None, 1, 1.0, "pruned"), ("c\n", None, 1, 2.0, "kept"),
        ("x", "a é\n", 2, 0.5, "pruned"), ('y "q"', "c\n", 2, 2.0, "kept"), ("z", "a é\n", 2, 2.0, "kept"),
    ]  # fmt: skip
    assert run.structure.agent == "tree"
    assert run.kinds() == ["prompt", *["branch"] * 3, "selection", *["branch"] * 3, "selection"]
    second = run.structure.selections[1]
    assert (second.selector, second.chosen, second.kept, second.scores) == ("greedy", 1, (1, 2), (0.5, 2.0, 2.0))
    assert second.candidates == tuple(one.step for one in run.structure.branches[3:])
    steps = {one.id: one for one in run.structure.steps}
    grown = steps[second.candidates[0]]
    assert (grown.rule, grown.grade, grown.span.pointer) == ("begins_with", "recorded", "/candidates/0/text")
    assert run.text(steps[second.step].span) == "1" and steps[second.step].label.startswith("greedy kept 2 of 3")
    assert [one.holds for one in run.findings("selector")] == [True, True]
    again = made(transcripts=[transcript(said("user", "q"), event(FIRST), event(SECOND))])
    assert again.structure == run.structure


def test_parents_are_named_or_begin_the_text_or_stand_in_no_event(made: Made) -> None:
    second = {"selector": "first", "chosen": 0, "candidates": [
        {"text": "far", "score": 0, "parent": "c\n"}, {"text": "near", "score": 0, "parent": 1},
        {"text": "b\nu", "score": 0}, {"text": "a é\nv", "score": 0}, {"text": "lost", "score": 0, "parent": 9},
    ]}  # fmt: skip
    run = made(transcripts=[transcript(event(FIRST), event(second))])
    found = [(text, parent) for text, parent, *_ in nodes(run)[3:]]
    assert found == [("far", "c\n"), ("near", "b\n"), ("b\nu", None), ("v", "a é\n"), ("lost", None)]
    steps = {one.id: one for one in run.structure.steps}
    rules = [(steps[one.step].rule, steps[one.step].grade) for one in run.structure.branches[3:]]
    assert rules[0] == rules[1] == ("parent_named", "recorded") and rules[3] == ("begins_with", "inferred")


def test_a_word_is_not_a_beginning_of_a_longer_word(made: Made) -> None:
    run = made(transcripts=[transcript(
        event(choice(("1", 2), kept=[0])), event(choice(("12", 2), ("1 and 2", 1), kept=[0]))
    )])  # fmt: skip
    assert [(text, parent) for text, parent, *_ in nodes(run)] == [("1", None), ("12", None), (" and 2", "1")]


def test_of_equal_candidates_each_is_a_node(made: Made) -> None:
    run = made(transcripts=[transcript(
        event(choice(("s\n", 2), ("s\n", 0), ("t\n", 1), kept=[0, 1])), event(choice(("s\nu", 1), kept=[0]))
    )])  # fmt: skip
    assert [one[4] for one in nodes(run)] == ["kept", "kept", "pruned", "kept"]
    assert run.structure.branches[3].parent == run.structure.branches[0].step


@pytest.mark.parametrize(("selector", "scores", "keep", "taken"), [
    ("argmax", [1, 3, 3], 1, (1,)), ("argmin", [2, 1, 1], 1, (1,)), ("first", [0, 9], 1, (0,)),
    ("greedy", [1, 3, 2, 3, 3], 3, (1, 3, 4)), ("greedy", [1], 5, (0,)), ("sample", [1, 2], 1, None),
])  # fmt: skip
def test_replay(selector: str, scores: list[float], keep: int, taken: tuple[int, ...] | None) -> None:
    assert replay(selector, scores, keep) == taken


@pytest.mark.parametrize(("said_of_it", "holds"), [
    (choice(("a", 1), ("b", 3), ("c", 2), kept=[1, 2]), [True]),
    (choice(("a", 1), ("b", 3), ("c", 2), kept=[2, 1]), [False]),  # not in falling order
    (choice(("a", 1), ("b", 3), ("c", 2), kept=[1, 0]), [False]),
    (choice(("a", 2), ("b", 2), ("c", 2), kept=[2, 0]), [True]),  # equal scores stand for each other
    (choice(("a", 1), ("b", 3), ("c", 2), kept=[1], keep=2), [False]),  # too few
    (choice(("a", 1), ("b", 3), kept=[1, 0], keep=5), [True]),
    (choice(("a", 1), ("b", 3), kept=[1]) | {"selector": "argmin"}, [False]),
    (choice(("a", 1), ("b", 3), kept=[0]) | {"selector": "argmin"}, [True]),
    (choice(("a", 1), ("b", 3), kept=[1]) | {"selector": "first"}, [False]),
    (choice(("a", 3), ("b", 3), kept=[1]) | {"selector": "argmax"}, [True]),
    (choice(("a", 1), ("b", 3), kept=[0]) | {"selector": "sample"}, []),
])  # fmt: skip
def test_a_selector_that_does_not_follow_its_scores_is_found(made: Made, said_of_it: Any, holds: list[bool]) -> None:
    run = made(transcripts=[transcript(event(said_of_it))])
    found = run.findings("selector")
    assert [one.holds for one in found] == holds
    for one in found:
        scores = [str(candidate["score"]) for candidate in said_of_it["candidates"]]
        assert [run.text(place) for place in one.places] == [str(said_of_it["chosen"]), *scores]


def test_a_depth_first_search_is_a_tree_of_its_visits(made: Made) -> None:
    walk = [visits(("a", 0), ("a/b", 2), ("a/c", 0), prune_from=1), visits(("a/c/b", 0), ("d", 0), prune_from=1)]
    run = made(transcripts=[transcript(*map(event, walk))])
    assert nodes(run) == [
        ("a", None, 1, 0.0, "kept"), ("b", "a", 2, 2.0, "pruned"), ("c", "a", 2, 0.0, "kept"),
        ("b", "c", 3, 0.0, "open"), ("d", None, 1, 0.0, "open"),
    ]  # fmt: skip
    assert [one.holds for one in run.findings("selector")] == [True] * 3
    assert run.structure.selections == () and run.structure.agent == "tree"


@pytest.mark.parametrize(("rule", "holds"), [
    ({"prune_from": 3}, [False, False, True]), ({"prune_below": 4}, [False, False, True]),
    ({"prune_below": 3}, [True, True]), ({"prune_from": 4}, [True, True]), ({}, []),
])  # fmt: skip
def test_a_search_that_goes_on_where_it_must_turn_back_is_found(made: Made, rule: Any, holds: list[bool]) -> None:
    run = made(transcripts=[transcript(event(visits(("a", 3), ("a/b", 3), ("a/b/c", 3), **rule)))])
    found = run.findings("selector")
    assert [one.holds for one in found] == holds
    assert [run.text(one.places[1]) for one in found] == ["3"] * len(holds)


def test_a_visit_whose_parent_was_not_visited_is_a_gap(made: Made) -> None:
    run = made(transcripts=[transcript(event(visits(("a/b", 1))))])
    assert nodes(run) == [("b", None, 2, 1.0, "open")]
    assert "a visit of a search begins at a thought that was not visited" in run.structure.gaps


def test_what_a_recorder_says_of_expansion_counts(made: Made) -> None:
    body = {"visits": [{"path": ["a"], "expanded": True}, {"path": ["b"], "score": 1, "expanded": False}],
            "prune_below": 2}  # fmt: skip
    run = made(transcripts=[transcript(event(body))])
    assert [one[3:] for one in nodes(run)] == [(None, "kept"), (1.0, "pruned")]


def test_an_event_stands_where_it_was_said(made: Made) -> None:
    run = made(transcripts=[transcript(
        said("user", "q"), said("assistant", "Option a"), event(choice(("Option a", 1), ("other", 0), kept=[0])),
        said("user", "go on"), said("assistant", "Option a it is."),
    )])  # fmt: skip
    assert run.kinds() == ["prompt", "model_call", "branch", "branch", "selection", "prompt", "model_call", "answer"]
    assert [one.order for one in run.structure.steps] == list(range(8))
    first, other = run.structure.branches
    steps = {one.id: one for one in run.structure.steps}
    assert (steps[first.step].rule, steps[other.step].rule) == ("candidate_text", "selection_event")


def test_a_live_search_of_two_levels(runs: ModuleType, made: Made) -> None:
    asked = [("Propose a.", "Plan a."), ("Propose b.", "Plan b."), ("After Plan b. propose more.", "Then c."),
             ("After Plan b. propose other.", "Then d.")]  # fmt: skip
    calls = [
        runs.recorded(at, [runs.said("user", prompt)], runs.said("assistant", text), run="r")
        for at, (prompt, text) in enumerate(asked)
    ]
    spans = [
        runs.span(4, run="r", selection=choice(("Plan a.", 1), ("Plan b.", 2), kept=[1], depth=1)),
        runs.span(5, run="r", own="3" * 16, selection=choice(("Then c.", 3), ("Then d.", 4), kept=[1], depth=2)),
    ]
    run = made(calls, spans)
    assert nodes(run) == [
        ("Plan a.", None, 1, 1.0, "pruned"), ("Plan b.", None, 1, 2.0, "kept"),
        ("Then c.", "Plan b.", 2, 3.0, "pruned"), ("Then d.", "Plan b.", 2, 4.0, "kept"),
    ]  # fmt: skip
    assert run.structure.gaps == ()


def test_prompt_shape_alone_gives_nodes_scores_and_no_fate(runs: ModuleType, made: Made) -> None:
    run = made(runs.tree())
    assert nodes(run) == [
        ("Option a: 42", None, 1, 4.0, "open"), ("Option b: 71", None, 1, 7.0, "open"),
        ("Option c: 15", None, 1, 1.0, "open"),
    ]  # fmt: skip
    kinds = {one.id: one.kind for one in run.structure.steps}
    assert [kinds[one.scored_by] for one in run.structure.branches] == ["score"] * 3


BAD = [
    '{"candidates": ', '{"candidates": 3, "chosen": 0}', '{"candidates": [{"text": {}, "score": 1}], "chosen": 0}',
    '{"candidates": [{"text": "a", "score": 1e999}], "chosen": 0}', '{"candidates": [], "chosen": null}',
    '{"candidates": [{"text": "a", "score": 1}], "chosen": 0, "kept": [0, 0]}',
    '{"candidates": [{"text": "a", "score": 1}], "chosen": 0, "kept": [1]}',
    '{"candidates": [{"text": "a", "score": 1}], "chosen": 0, "depth": -1}',
    '{"candidates": [{"text": "a", "score": 1}], "chosen": true}', '{"visits": [{"path": []}]}',
    '{"visits": [{"path": ["a"], "score": "x"}]}', '{"visits": {"path": ["a"]}}', '{"visits": [1]}',
    '{"candidates": [{"text": "a", "score": 1, "parent": []}], "chosen": 0}', '{"visits": ' + "[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_an_event_that_cannot_be_read_is_a_gap(made: Made, text: str) -> None:
    run = made(transcripts=[transcript(said("user", "q"), event(text))])
    assert run.structure.gaps == ("a selection event could not be read",) and run.structure.branches == ()


def test_keys_that_come_twice_and_odd_escapes_do_not_mislead(made: Made) -> None:
    text = (r'{"selector": "first", "candidates": [], "candidates": [{"text": "\ud83d\ude00\u00e9\n", "score": 1}], '
            r'"chosen": 1, "chosen": 0}')  # fmt: skip
    second = r'{"selector": "first", "candidates": [{"text": "😀\u00e9\n\"end\"", "score": 1}], "chosen": 0}'
    run = made(transcripts=[transcript(event(text), event(second))])
    assert [one[:2] for one in nodes(run)] == [("😀é\n", None), ('"end"', "😀é\n")]


def test_fields_are_where_json_says(made: Made) -> None:
    draw = random.Random(7)

    def value(depth: int) -> Any:
        kind = draw.randrange(6 if depth else 4)
        if kind == 4:
            return [value(depth - 1) for _ in range(draw.randrange(4))]
        if kind == 5:
            return {draw.choice(["a", "b/c", "~", "é\"", ""]): value(depth - 1) for _ in range(draw.randrange(4))}
        return [draw.choice(["", "x", "é\n\"\\", "😀{[,:]}"]), draw.randrange(-5, 99), 1.5e-7, None][kind]

    def leaves(given: Any, pointer: str) -> dict[str, Any]:
        if isinstance(given, dict):
            rows = [(key.replace("~", "~0").replace("/", "~1"), one) for key, one in given.items()]
        elif isinstance(given, list):
            rows = [(str(at), one) for at, one in enumerate(given)]
        else:
            return {pointer: given}
        return {where: one for key, inner in rows for where, one in leaves(inner, f"{pointer}/{key}").items()}

    for _ in range(300):
        given = [value(4)]
        text = json.dumps(given, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 2]))
        wanted, data = leaves(given, ""), text.encode()
        found = fields(text)
        assert set(found) == set(wanted)
        for pointer, (start, end) in found.items():
            raw = data[start:end].decode()
            assert json.loads(f'"{raw}"' if isinstance(wanted[pointer], str) else raw) == wanted[pointer]
    assert fields("[1") == fields("1") == fields("") == {}


@pytest.mark.parametrize("text", ["", "plain", "é\n\"x\"\\", "😀é\t\u0000z"])
def test_a_place_in_a_string_is_found_behind_its_escapes(text: str) -> None:
    for ascii_only in (True, False):
        raw = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for place in range(len(text) + 1):
            at = raw_place(raw, place)
            assert json.loads(f'"{raw[:at]}"') == text[:place] and json.loads(f'"{raw[at:]}"') == text[place:]


def test_a_large_event_takes_no_longer_than_its_size(made: Made) -> None:
    rows = [(f"state {number}\n", float(number % 7)) for number in range(3000)]
    kept = sorted(range(3000), key=lambda at: rows[at][1], reverse=True)[:1500]
    grown = [(f"{rows[at][0]}next {at}", 1.0) for at in kept]
    run = made(transcripts=[transcript(event(choice(*rows, kept=kept)), event(choice(*grown, kept=[0])))])
    assert len(run.structure.branches) == 4500
    assert all(one.parent is not None for one in run.structure.branches[3000:])


def test_spans_of_an_event_are_bytes_of_its_text(made: Made) -> None:
    run = made(transcripts=[transcript(event(FIRST))])
    step = next(one for one in run.structure.steps if one.kind == "branch")
    assert isinstance(step.span, Span) and span_text(run.messages[step.message], step.span) == "a \\u00e9\\n"
