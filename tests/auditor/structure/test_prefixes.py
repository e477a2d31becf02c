"""Conversations placed call by call have the ids they have when each is placed alone, and share one list."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import BadInput
from auditor.records.lines import Line, Shared
from auditor.records.messages import Message, Text, place
from auditor.records.structure import ModelCall, PlacedPayload, Structure
from auditor.records.wire import read, write
from auditor.structure.prefixes import Prefixes


def said(words: list[int]) -> tuple[Message, ...]:
    return tuple(Message(role="user", parts=(Text(text=str(word)),)) for word in words)


@given(st.lists(st.lists(st.integers(0, 2), max_size=5), max_size=16))
def test_ids_are_those_of_each_conversation_alone(calls: list[list[int]]) -> None:
    prefixes, known = Prefixes("root"), set[str]()
    lines = []
    for words in calls:
        alone = place(said(words), "root")
        fresh, line = prefixes.place(said(words))
        assert {one.id for one in alone} <= known | {one.id for one in fresh}
        known |= {one.id for one in fresh}
        assert list(prefixes.all(said(words))) == list(alone)
        lines.append((line, tuple(one.id for one in alone)))
    for line, ids in lines:  # later calls left earlier ones as they were
        assert line == ids and tuple(line) == ids and len(line) == len(ids)
        assert all(one in line for one in ids) and set(line) == set(ids)
        assert not any(one in line for one in known - set(ids))


def test_a_line_is_a_sequence() -> None:
    shared = Shared("abc")
    line, longer = Line(shared, 2), Line(shared)
    shared.append("d")
    assert line == ("a", "b") and longer == ["a", "b", "c"] and line == ("a", "b")
    assert line[-1] == "b" and line[:1] == ("a",) and longer[1:] == ("b", "c")
    assert "c" not in line and "c" in longer and "d" not in longer and line != longer
    assert hash(line) == hash(Line("ab")) and repr(line) == "('a', 'b')"


def structure(lines: list[Line], parents: dict[str, str | None]) -> Structure:
    calls = [
        ModelCall(id=str(number), record="2", model="m", model_digest="d", dialect=None, inputs=line, outputs=(),
                  tools=None, settings={}, at=None)
        for number, line in enumerate(lines)
    ]  # fmt: skip
    placed = [PlacedPayload(id=own, parent=parent, role="user", payload="p") for own, parent in parents.items()]
    return Structure(
        run="r", version=1, code="c", agent="chain", model="m", origin="proxy", records=(), messages=tuple(placed),
        calls=tuple(calls), steps=(), claims=(), links=(), findings=(),
    )  # fmt: skip


@given(st.lists(st.lists(st.integers(0, 2), max_size=5), max_size=16))
def test_a_run_is_written_without_repeating_what_its_calls_saw(calls: list[list[int]]) -> None:
    prefixes, parents, lines = Prefixes("root"), dict[str, str | None](), []
    for words in calls:
        fresh, line = prefixes.place(said(words))
        parents |= {one.id: one.parent for one in fresh}
        lines.append(line)
    made = structure(lines, parents)
    form = write(made)
    assert [call["inputs"]["count"] for call in form["calls"]] == [len(words) for words in calls]
    again = read(Structure, json.loads(json.dumps(form)))
    assert again == made and [tuple(call.inputs) for call in again.calls] == [tuple(line) for line in lines]


def test_a_call_that_names_messages_nobody_has_is_refused() -> None:
    form = write(structure([Line("ab")], {"a": "root", "b": "a"}))
    assert read(Structure, form).calls[0].inputs == ("a", "b")
    assert read(Structure, {**form, "calls": [form["calls"][0] | {"inputs": ["a", "b"]}]}).calls[0].inputs == ("a", "b")
    for wrong in ({"last": "c", "count": 2}, {"last": "b", "count": 4}, {"last": None, "count": 1}, {"last": "b"}, 7):
        with pytest.raises(BadInput):
            read(Structure, {**form, "calls": [form["calls"][0] | {"inputs": wrong}]})
