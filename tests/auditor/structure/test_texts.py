"""Cutting keeps every byte and finds the answer where people put it."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.structure.marks import decided
from auditor.structure.texts import cut, sentences

FENCE = "```"
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
    "a think tag that the prompt opened": ("Let me see. It is 7.</think>7", ["Let me see.", "It is 7."], "7"),
    "a think tag without an end": ("<think>Let me see. It is", ["Let me see.", "It is"], None),
    "words before the tags": ("Well.<think>Hm.</think>It is 7.", ["Well.", "Hm."], "It is 7."),
    "two thoughts in tags": ("<think>A 1.</think>\n<think>B 2.</think>\n3", ["A 1.", "B 2."], "3"),
    "answer tags": ("<think>x.</think><answer> 4 </answer>", ["x."], "4"),
    "a tag in code is text": (
        f"Use this:\n{FENCE}\n<think>\n{FENCE}\nIt is 4.", [], f"Use this:\n{FENCE}\n<think>\n{FENCE}\nIt is 4.",
    ),
    "chinese": ("首先，31+25=56。所以答案是68。", ["首先，31+25=56。"], "所以答案是68。"),
    "arabic": ("أولا 1+1=2. إذن النتيجة 2.", ["أولا 1+1=2."], "إذن النتيجة 2."),
    "devanagari": ("पहले 1+1=2। तो उत्तर 2।", ["पहले 1+1=2।"], "तो उत्तर 2।"),
    "cyrillic": ("Сначала 1+1=2. Ответ 2.", ["Сначала 1+1=2."], "Ответ 2."),
    "cyrillic marks": ("Шаг 1: 1+1=2.\nОтвет: 2", ["Шаг 1: 1+1=2."], "2"),
    "chinese marks": ("第一步：1+1=2。\n最终答案：2", ["第一步：1+1=2。"], "2"),
    "arabic marks": ("الخطوة 1: 1+1=2.\nالإجابة النهائية: 2", ["الخطوة 1: 1+1=2."], "2"),
    "devanagari marks": ("चरण 1: 1+1=2।\nउत्तर: 2", ["चरण 1: 1+1=2।"], "2"),
    "one sentence": ("According to the lookup, the price is 482.", [], "According to the lookup, the price is 482."),
    "a reply, no chain": (
        "Here is your booking:\n1. Flight HAT017\n2. Seat 4\nShall I go on?",
        [],
        "Here is your booking:\n1. Flight HAT017\n2. Seat 4\nShall I go on?",
    ),
    "react": (
        "Thought 1: I need the price.\nAction 1: lookup\nAction Input: {\"item\": \"lamp: red\"}",
        ["Thought 1: I need the price.", "Action 1: lookup", "Action Input: {\"item\": \"lamp: red\"}"],
        None,
    ),
    "react to its end": (
        "Thought: I know.\nFinal Answer: The lamp costs 4.", ["Thought: I know."], "The lamp costs 4.",
    ),
    "headings": ("### Step 1\nAdd 1 and 2.\n### Final Answer\n3", ["Step 1\nAdd 1 and 2."], "3"),
    "reasons behind the answer": ("Answer: 7\n\nI added 3. Then 4.", ["I added 3.", "Then 4."], "7"),
    "an answer of several paragraphs": (
        "Final Answer: I looked at all of the three shops near you:\n\n- A: 3\n- B: 4",
        [],
        "I looked at all of the three shops near you:\n\n- A: 3\n- B: 4",
    ),
    "hashes": ("She has 3+4 = 7 eggs.\n#### 7", ["She has 3+4 = 7 eggs."], "7"),
    "a letter for the answer": ("She has 3+4 = 7 eggs\nA: 7", ["She has 3+4 = 7 eggs"], "7"),
    "a heading of four hashes is no answer": ("#### Rows\nThere are 7 rows", [], "#### Rows\nThere are 7 rows"),
    "boxed": (
        r"We add. Thus $x = \boxed{\frac{3}{4}}$. I hope this helps.",
        ["We add.", "I hope this helps."],
        r"Thus $x = \boxed{\frac{3}{4}}$.",
    ),
    "boxed in a display": ("We add 1.\n\\[\n\\boxed{5}\n\\]", ["We add 1."], "\\[\n\\boxed{5}\n\\]"),
    "the answer is": (
        "First 1 + 1 = 2. The answer is 2. Check: 2 - 1 = 1.",
        ["First 1 + 1 = 2.", "Check: 2 - 1 = 1."],
        "The answer is 2.",
    ),
    "json": ('{"thought": "a. B", "answer: 1": [1.5, 2]}', [], '{"thought": "a. B", "answer: 1": [1.5, 2]}'),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_thoughts_and_answer(name: str) -> None:
    text, thoughts, answer = CHAINS[name]
    pieces = cut(text)
    if thoughts is not None:
        assert [piece.text for piece in pieces if piece.kind == "thought"] == thoughts
    assert [piece.text for piece in pieces if piece.kind == "answer"] == ([] if answer is None else [answer])


WHOLE = [
    "It costs 3.50 dollars a day.", "Dr. J. R. Smith met Mrs. Lee at St. Ives.", "See Fig. 3 and Eq. (2), p. 12.",
    "Use tools, e.g. Hammers, i.e. what Mr. X sells.", "It was on Jan. 5 at 3 p.m. in the U.S. embassy.",
    "Apples, pears, etc. are fruit.", "Visit www.example.com or v1.2.3 now.", "1. The first of the items.",
    "Wait... what is it?", "The range is 1.5-2.5 kg, approx. 3 lbs. each.", "He said “Stop.” and left.",
    "Это стоит 3.50 руб. за кг, т.е. дорого.", "В 2024 г. в г. Москве жил А. С. Пушкин и т.д. и т.п. без конца.",
    "См. рис. 3 и табл. 4 на стр. 12.", "价格是3.50元，日期是2024.05.27。", "السعر 3.50 دولار.", "मूल्य 3.50 रुपये है।",
    "The date is 27.05.2024 in Berlin.", "Die Kosten betragen z.B. 3,50 Euro bzw. 4 Euro.",
    "The paper of Yao et al. shows it.", "Nous avons $x.\\ Y$ ici.", "Let `a. B` be code.",
    "So \\(a. B\\) holds.", "$$a. B\n\nC. D$$", "\\begin{align}\na &= 1. B\\\\\n\nc &= 2\n\\end{align}",
    f"{FENCE}python\nx = 1. \n\nprint('A. B')\n{FENCE}", f"{FENCE}\nan unclosed fence. It\n\nruns on.",
    f"~~~\nA. B\n{FENCE}\nC. D\n~~~",
]  # fmt: skip


@pytest.mark.parametrize("text", WHOLE)
def test_what_is_one_sentence(text: str) -> None:
    assert [text.encode()[start:end].decode() for start, end in sentences(text)] == [text]


SEVERAL = [
    ["It is plan B.", "Then we go."], ["He came at 3 p.m.", "She left."], ["It costs $5.", "That is $6 less."],
    ["A costs $5 and B is.", "C costs $6."], ["Он пришёл в 2024 г.", "Она ушла."], ["是吗？", "是！", "好。"],
    ["هل هو؟", "نعم."], ["یہ ہے۔", "وہ ہے۔"], ["यह है।", "वह है॥", "हाँ।"], ["Really?!", "Yes!"],
    ["1. Add 3.", "2. Add 4.", "- See."], ["x = 1", "= 2", "y = 3"], ["“Stop.”", "He left."], ["(It is.)", "So."],
    ["It is 3 + 4 = <<3+4=7>>7 eggs", "She eats 2 of them a day", "So 7 - 2 = 5 are left"],
    ["It is 3 + 4 = 7 eggs", "7 - 2 = 5 eggs", "Ann sells them"],
    ["Here:", f"{FENCE}\na. B\n{FENCE}", "Done."], ["\\[ a. B \\]", "So."],
]  # fmt: skip


@pytest.mark.parametrize("wanted", SEVERAL)
def test_what_is_several_sentences(wanted: list[str]) -> None:
    blank = "\n" if wanted[0][0] in "1xH\\" else " "
    text = blank.join(wanted)
    assert [text.encode()[start:end].decode() for start, end in sentences(text)] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "It is 3 + 4 = 7 eggs for Ann and 2 for Bob", "It is 3 + 4 = 7 on Monday", "3 + 4 = 7 eggs x 2 = 14 eggs",
        "We read The Hobbit and saw Paris", "That is 3 + 4 = 7 DVD players",
    ],
)  # fmt: skip
def test_a_capital_alone_ends_nothing(text: str) -> None:
    assert len(sentences(text)) == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (r"Thus $x = \boxed{\frac{3}{4}}$.", r"\frac{3}{4}"), ("So the answer is 68.", "68"), ("答案是68。", "68"),
        (r"\boxed{1} or \boxed{2}", "2"), ("The answer is **B**.", "B"), (r"\boxed{a", "a"), ("It is 7.", None),
    ],
)  # fmt: skip
def test_what_decides(text: str, part: str | None) -> None:
    found = decided(text)
    assert (None if found is None else text[slice(*found)]) == part


BITS = st.sampled_from([
    "a", "b1 ", ".", "!", "?\n", ":", "=", "。", "؟", "।", "é", "🙂", "-", "\n", "\n\n", "\r\n", " ", "\ud800", "`",
    FENCE, f"\n{FENCE}\n", "~~~", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\begin{align}", "\\end{align}", "\\boxed{",
    "{", "}", "[", "]", '"', "<think>", "</think>", "<answer>", "</answer>", "Step 1:", "Thought:", "Action Input:",
    "Observation:", "Answer:", "**Final Answer:**", "#### 7", "### Answer\n", "A: 3", "The answer is ", "答案：",
    "Mr. ", "1. ", "3.5", "= <<1+2=3>>3 eggs ", "So ", "Ann ", "4 - 2 = 2 ", "\u2028", "\x00", "<<", ">>",
])  # fmt: skip
BETWEEN = re.compile(
    r"(?:\s|[>*_#:：-]|</?(?:think|answer)>|(?:The answer is|Final Answer|Answer|答案|A(?=:)))*", re.IGNORECASE
)


@given(st.lists(BITS, max_size=30).map("".join) | st.text(max_size=40))
def test_pieces_are_the_text(text: str) -> None:
    """In order, at their places in bytes and characters, and nothing but blanks and marks between them."""
    raw = text.encode("utf-8", "surrogatepass")
    pieces = cut(text)
    assert sum(piece.kind == "answer" for piece in pieces) <= 1
    byte, at = 0, 0
    for piece in pieces:
        start, end = piece.chars
        assert byte <= piece.start < piece.end <= len(raw) and at <= start < end
        assert raw[piece.start : piece.end].decode("utf-8", "surrogatepass") == piece.text == text[start:end]
        assert BETWEEN.fullmatch(text, at, start), text[at:start]
        byte, at = piece.end, end
    assert BETWEEN.fullmatch(text, at), text[at:]


@given(st.lists(BITS, max_size=30).map("".join) | st.text(max_size=40))
def test_sentences_cover_every_word_once(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    covered = "".join(raw[start:stop].decode("utf-8", "surrogatepass") for start, stop in sentences(text))
    assert "".join(covered.split()) == "".join(text.split())


HOSTILE = [
    ".", "a. ", "=1 ", "= 1 A ", "`", "$", "$a", "\\(", "\\[", "\\begin{align}", "<think>", "</think>", "Step 1:",
    "1,", "<<1", ": ", "#", "\n#", "A. ", " ", "\n", "{", "[", "\\boxed{", FENCE + "\n", "\n~~~", "…", "”", "= 1 b ",
    "So a ", "=<<1=1>>1 So ", "Answer:\n\n", "**", "The answer is ",
]  # fmt: skip


@pytest.mark.parametrize("bit", HOSTILE)
def test_time_is_linear(bit: str) -> None:
    text = "x = 1 " + bit * (200_000 // len(bit)) + "x = 1"
    started = time.process_time()
    cut(text)
    assert time.process_time() - started < 4.0


def test_a_blank_text_has_no_piece() -> None:
    assert cut(" \n ") == ()
    assert cut("Answer: ") == ()
