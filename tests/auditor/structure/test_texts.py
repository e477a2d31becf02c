"""Cutting keeps every byte and finds the answer where people put it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.structure.texts import cut, sentences

CHAINS = {
    "marks on lines": (
        "Step 1: 31 + 5 = 36.\nAnswer: the lamp ends at 43.",
        ["Step 1: 31 + 5 = 36."],
        "the lamp ends at 43.",
    ),
    "marks in a line": ("Step 1: 31 + 25 = 56. Answer: 68.", ["Step 1: 31 + 25 = 56."], "68."),
    "thought": ("Thought: shelf 7.\nAnswer: 341", ["Thought: shelf 7."], "341"),
    "final answer": ("**Thought:** I see.\n**Final Answer:** 7", None, "7"),
    "unmarked": (
        "First, 31 + 25 = 56. Then 56 + 12 = 68. So the answer is 68.",
        ["First, 31 + 25 = 56.", "Then 56 + 12 = 68."],
        "So the answer is 68.",
    ),
    "think tags": ("<think>Let me see. 3.5 is ok.</think>\nIt is 7.", ["Let me see.", "3.5 is ok."], "It is 7."),
    "chinese": ("首先，31+25=56。所以答案是68。", ["首先，31+25=56。"], "所以答案是68。"),
    "arabic": ("أولا 1+1=2. إذن النتيجة 2.", ["أولا 1+1=2."], "إذن النتيجة 2."),
    "devanagari": ("पहले 1+1=2। तो उत्तर 2।", ["पहले 1+1=2।"], "तो उत्तर 2।"),
    "cyrillic": ("Сначала 1+1=2. Ответ 2.", ["Сначала 1+1=2."], "Ответ 2."),
    "one sentence": ("According to the lookup, the price is 482.", [], "According to the lookup, the price is 482."),
    "a reply, no chain": (
        "Here is your booking:\n1. Flight HAT017\n2. Seat 4\nShall I go on?",
        [],
        "Here is your booking:\n1. Flight HAT017\n2. Seat 4\nShall I go on?",
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_thoughts_and_answer(name: str) -> None:
    text, thoughts, answer = CHAINS[name]
    pieces = cut(text)
    if thoughts is not None:
        assert [piece.text for piece in pieces if piece.kind == "thought"] == thoughts
    assert [piece.text for piece in pieces if piece.kind == "answer"] == [answer]


@given(st.text(alphabet=st.sampled_from(list("ab1 .!?\n:=。؟।é🙂-")), max_size=60) | st.text(max_size=40))
def test_pieces_cover_every_word_once(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    end = 0
    for piece in cut(text):
        assert end <= piece.start < piece.end <= len(raw)
        assert raw[piece.start : piece.end].decode("utf-8", "surrogatepass") == piece.text
        end = piece.end
    covered = "".join(raw[start:stop].decode("utf-8", "surrogatepass") for start, stop in sentences(text))
    assert "".join(covered.split()) == "".join(text.split())


def test_a_blank_text_has_no_piece() -> None:
    assert cut(" \n ") == ()
    assert cut("Answer: ") == ()
