"""Conversations placed call by call have the ids they have when each is placed alone, and share one list."""

from hypothesis import given
from hypothesis import strategies as st

from auditor.records.lines import Line, Shared
from auditor.records.messages import Message, Text, place
from auditor.records.structure import ModelCall
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


def test_a_call_is_written_with_its_ids() -> None:
    call = ModelCall(
        id="1", record="2", model="m", model_digest="d", dialect=None, inputs=Line("ab"), outputs=("c",), tools=None,
        settings={}, at=None,
    )  # fmt: skip
    assert write(call)["inputs"] == ["a", "b"]
    assert read(ModelCall, write(call)) == call
