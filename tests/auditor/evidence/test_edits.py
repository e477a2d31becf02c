"""Same-type swaps, implied decisions, JSON leaves, and edits of text."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.evidence.json_text import json_leaves, replace_leaves
from auditor.evidence.methods.ablation import Ablation
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import replay
from auditor.evidence.sources import Edit, Vocabulary, apply, locate, moved, other_digits, swapped
from auditor.evidence.targets import implied, standing
from auditor.records.messages import Message, Span, Text
from auditor.records.structure import Structure, ValueLink

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.one_of(st.text(max_size=6), st.integers(), st.booleans(), st.none(), FLOATS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip


@given(value=JSON, plain=st.booleans(), indent=st.sampled_from([None, 1]))
def test_json_leaves_are_where_they_say(value: Any, plain: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=plain, indent=indent)
    leaves = json_leaves(text)
    seen: list[Any] = []
    replace_leaves(value, seen.append)
    assert [leaf.value for leaf in leaves] == seen
    for leaf in leaves:
        raw = text[leaf.places[0] : leaf.places[-1]]
        if isinstance(leaf.value, str):
            assert json.loads(f'"{raw}"') == leaf.value
        else:
            assert json.loads(raw) == leaf.value


@given(digits=st.from_regex(r"[0-9]{1,9}", fullmatch=True), seed=st.integers(0, 999))
def test_another_number_has_as_many_digits(digits: str, seed: int) -> None:
    other = other_digits(digits, random.Random(seed))
    assert other != digits and len(other) == len(digits)
    assert digits[0] == "0" or len(digits) == 1 or other[0] != "0"


def test_every_other_number_is_equally_likely() -> None:
    draw = random.Random(1)
    drawn = [other_digits("42", draw) for _ in range(8900)]
    assert set(drawn) == {str(n) for n in range(10, 100)} - {"42"}
    assert max(drawn.count(n) for n in set(drawn)) < 150


def test_words_come_from_enumerations_and_the_run() -> None:
    vocabulary = Vocabulary(words=("chair", "lamp", "price"), enums=(("red", "green"),))
    assert swapped("red", random.Random(0), vocabulary) == "green"
    assert swapped("lamp", random.Random(0), vocabulary) in {"chair", "price"}
    assert swapped("?!", random.Random(0), vocabulary) is None


def test_edits_and_offsets() -> None:
    edits = [Edit(start=2, end=4, text="xyz"), Edit(start=6, end=6, text="-")]
    assert apply("abcdefgh", edits) == "abxyzef-gh"
    assert moved(5, edits) == 6 and moved(7, edits) == 9
    with pytest.raises(ReplayRefused):
        apply("abcdef", [Edit(start=0, end=3, text=""), Edit(start=2, end=4, text="")])


@pytest.mark.parametrize(
    ("rule", "operands", "result", "replacement", "expected"),
    [
        ("sum", ("34", "5"), "39", "41", "46"), ("difference", ("50", "8"), "42", "60", "52"),
        ("product", ("12", "3"), "36", "20", "60"), ("quotient", ("84", "2"), "42", "60", "30"),
    ],
)  # fmt: skip
def test_recorded_derivations_are_computed_again(
    kit: Any, rule: Any, operands: tuple[str, str], result: str, replacement: str, expected: str
) -> None:
    spans = {
        text: Span(message="m", part=0, start=10 * n, end=10 * n + 2) for n, text in enumerate([*operands, result])
    }
    link = ValueLink(
        earlier=spans[operands[0]], later=spans[result], value=result, rule=rule, others=(spans[operands[1]],)
    )
    question = kit.ask(
        [Message(role="user", parts=(Text(text="x"),))], Message(role="assistant", parts=(Text(text="y"),))
    )
    structure: Structure = type(question.structure)(**{**vars(question.structure), "links": (link,)})
    texts: Callable[[Span], str] = {(s.message, s.start): t for t, s in spans.items()}.get  # type: ignore[assignment]
    found = implied(
        operands[0], replacement, result, spans[operands[0]], spans[result], structure,
        lambda span: texts((span.message, span.start)),  # type: ignore[arg-type]
    )  # fmt: skip
    assert found == expected


def test_copies_are_followed_and_unrelated_values_are_not(kit: Any) -> None:
    question = kit.ask(
        [Message(role="user", parts=(Text(text="x"),))], Message(role="assistant", parts=(Text(text="y"),))
    )
    here = Span(message="m", part=0, start=0, end=2)
    assert implied("42", "57", "$42.00", here, here, question.structure, lambda span: "") == "$57.00"
    assert implied("42", "57", "13", here, here, question.structure, lambda span: "") is None


def test_a_source_said_in_another_call_is_measured_at_its_copy(kit: Any) -> None:
    inputs = [Message(role="user", parts=(Text(text="Chosen option b: 73. Answer."),))]
    output = Message(role="assistant", parts=(Text(text="The box is 73."),))
    question = kit.ask(inputs, output)
    other = Message(role="assistant", parts=(Text(text="Option b: 73"),))
    messages = {**question.messages, "elsewhere": other}
    question = type(question)(**{**vars(question), "messages": messages})
    told = replay(question, kit.loaded)
    (place,) = locate(told, Span(message="elsewhere", part=0, start=10, end=12))
    assert place.text == "73" and place.found.message == question.call.inputs[0]
    with pytest.raises(ReplayRefused):
        locate(told, Span(message="elsewhere", part=0, start=0, end=12))


def test_copies_change_together_in_the_joint_arm(kit: Any) -> None:
    inputs = [
        Message(role="user", parts=(Text(text="The code is 58 here."),)),
        Message(role="tool", parts=(Text(text="checked 58 again"),)),
    ]
    output = Message(role="assistant", parts=(Text(text="Answer 58."),))

    def links(talk: Any) -> list[ValueLink]:
        return [ValueLink(earlier=talk.find(0, "58"), later=talk.find(1, "58"), value="58", rule="copy")]

    question = kit.ask(inputs, output, lambda talk: [talk.claim([talk.find(0, "58")], talk.find(2, "58"))], links)
    (evidence,) = Ablation().answer(question, replay(question, kit.loaded))
    joint = next(arm for arm in evidence.arms if arm.family == "joint")
    assert joint.skipped is None and joint.n == 32
    swaps = kit.arm(evidence.arms[0].effects)
    rows = kit.arm(joint.effects)
    assert [row["replacement"] for row in rows] == [row["replacement"] for row in swaps]  # common draws
    assert [row["effect"] for row in rows] != [row["effect"] for row in swaps]


def test_a_value_stands_only_whole() -> None:
    assert standing("2", "25") is None
    assert standing("lamp", "lamps") is None
    assert standing("42", "$42.00") == (1, 3)
    assert standing("42", "x42y") == (1, 3)
    assert standing("", "x") is None
