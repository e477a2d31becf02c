"""Cutting what a model wrote into thoughts and an answer. Offsets are UTF-8 bytes of the text, without outer blanks.

Rules, first that applies:

1. marks: `<think>…</think>`, `Step k:`, `Thought:`, `Action:`, `Observation:`, `Answer:`, `Final answer:` at the
   start of a line or behind a sentence. What follows the last answer mark is the answer, the rest are thoughts.
2. no mark, several sentences, and one before the last argues (`=`, `first`, `then`, `so`, `because`…): the last
   sentence is the answer, each one before it a thought.
3. otherwise the whole text is the answer.

Sentences end at `. ! ?` before a blank, at their Chinese, Arabic and Devanagari kin, and at line ends.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from auditor.structure.values import Offsets

PieceKind = Literal["thought", "answer"]

_MARK = re.compile(
    r"(?:(?<=\A)|(?<=\n)|(?<=[.!?。！？।؟]\s)|(?<=[.!?。！？।؟]))[ \t>*_#-]*"
    r"(?P<mark>(?P<step>step\s+\d+)|(?P<thought>thought|reasoning)|(?P<action>action(?:\s+input)?|observation)"
    r"|(?P<answer>(?:final\s+)?answer))(?:\s+\d+)?[*_]*\s*[:：][*_]*",
    re.IGNORECASE,
)
_THINK = re.compile(r"<think(?:ing)?>(?P<inner>.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_END = re.compile(r"(?:[.!?](?=[\s\"”')\]]|\Z)[\"”')\]]*|[。！？।؟]+|\n+)")
_ARGUES = re.compile(
    r"=|\b(?:first|then|next|so|therefore|thus|hence|because|since|let me|let's|i need|i should|i will|we need)\b",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|vs|etc|e\.g|i\.e|cf|approx)\.$")


@dataclass(frozen=True, kw_only=True)
class TextPiece:
    """One thought or the answer: bytes [start, end); `mark` is the word that announced it, or empty."""

    kind: PieceKind
    text: str
    start: int
    end: int
    mark: str = ""


def cut(text: str) -> tuple[TextPiece, ...]:
    """Thoughts and at most one answer, in order. Empty for a blank text."""
    offsets = Offsets(text)
    thought_ends = 0
    found: list[tuple[PieceKind, int, int, str]] = []
    for think in _THINK.finditer(text):
        found += [("thought", start, end, "think") for start, end in _sentences(text, *think.span("inner"))]
        thought_ends = think.end()
    marked = _marked(text, thought_ends)
    found += _unmarked(text, thought_ends) if marked is None else marked
    return tuple(
        TextPiece(kind=kind, text=text[start:end], start=offsets[start], end=offsets[end], mark=mark)
        for kind, start, end, mark in found
    )


def sentences(text: str) -> list[tuple[int, int]]:
    """Byte ranges of the sentences of a text, without outer blanks."""
    offsets = Offsets(text)
    return [(offsets[start], offsets[end]) for start, end in _sentences(text, 0, len(text))]


def _marked(text: str, begin: int) -> list[tuple[PieceKind, int, int, str]] | None:
    """Pieces of a text with marks; None when it has none."""
    marks = list(_MARK.finditer(text, begin))
    if not marks:
        return None
    answers = [mark for mark in marks if mark["answer"]]
    found: list[tuple[PieceKind, int, int, str]] = [
        ("thought", start, end, "") for start, end in _sentences(text, begin, marks[0].start())
    ]
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        until = following.start() if following else len(text)
        word = " ".join(mark["mark"].casefold().split())
        if answers and mark is answers[-1]:
            line = text.find("\n\n", mark.end(), until)
            start, end = _strip(text, mark.end(), until if line < 0 else line)
            if start < end:
                found.append(("answer", start, end, word))
        else:
            start, end = _strip(text, mark.start("mark"), until)
            found.append(("thought", start, end, word))
    if not answers:
        found = _last_sentence_answers(text, found)
    return found


def _last_sentence_answers(
    text: str, found: list[tuple[PieceKind, int, int, str]]
) -> list[tuple[PieceKind, int, int, str]]:
    """Without an answer mark, the last sentence behind the last step is the answer, if there is one."""
    kind, start, end, mark = found[-1]
    parts = list(_sentences(text, start, end))
    if mark.startswith("action") or len(parts) < 2:
        return found
    last = parts[-1]
    head = _strip(text, start, last[0])
    return [*found[:-1], (kind, *head, mark), ("answer", *last, "")]


def _unmarked(text: str, begin: int) -> list[tuple[PieceKind, int, int, str]]:
    whole = _strip(text, begin, len(text))
    if whole[0] >= whole[1]:
        return []
    parts = list(_sentences(text, *whole))
    if len(parts) > 1 and any(_ARGUES.search(text[start:end]) for start, end in parts[:-1]) and _is_chain(text, parts):
        return [*(("thought", start, end, "") for start, end in parts[:-1]), ("answer", *parts[-1], "")]
    return [("answer", *whole, "")]


def _is_chain(text: str, parts: list[tuple[int, int]]) -> bool:
    """A derivation ends in a statement with a value; a reply that ends in a question or a courtesy is no chain."""
    last = text[slice(*parts[-1])]
    return not last.endswith(("?", "？", "؟")) and bool(re.search(r"\d|answer|therefore|so ", last, re.IGNORECASE))


def _sentences(text: str, begin: int, until: int) -> Iterator[tuple[int, int]]:
    start = begin
    for end in _END.finditer(text, begin, until):
        if end[0][0] == "." and _no_end(text, start, end.start() + 1):
            continue
        piece = _strip(text, start, end.end())
        if piece[0] < piece[1]:
            yield piece
        start = end.end()
    piece = _strip(text, start, until)
    if piece[0] < piece[1]:
        yield piece


def _no_end(text: str, start: int, end: int) -> bool:
    """The stop belongs to an abbreviation or to the number of a list item."""
    if _ABBREVIATION.search(text[max(start, end - 8) : end]):
        return True
    return end - start < 12 and re.fullmatch(r"\s*\d{1,2}\.", text[start:end]) is not None


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
