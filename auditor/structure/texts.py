"""Cutting what a model wrote into thoughts and an answer. Offsets are UTF-8 bytes of the text, without outer blanks.

Rules, first that applies:

1. tags: what stands in `<think>`, `<reasoning>` and their kin are thoughts, one per sentence, and so is all before a
   `</think>` that the prompt opened. `<answer>…</answer>` is the answer.
2. marks (marks.py): `Step k:`, `Thought:`, `Action:`, `Observation:`, `Answer:`, `Final answer:` and their kin in
   other languages at the start of a line or behind a sentence; `#### 7` at the end. What follows the last answer mark
   is the answer, the rest are thoughts; what an author marked as one step stays one.
3. no answer mark: the last unit with `\\boxed{…}`, or the last sentence that says "the answer is", is the answer.
4. no mark, several sentences, and one before the last argues (`=`, `first`, `then`, `so`, `because`…): the last
   sentence is the answer, each one before it a thought.
5. otherwise the whole text is the answer.

Pieces are in order; between them stand blanks, marks and tags only. Code, formulas and JSON are never cut (blocks.py),
sentences end as sentences.py says. An answer may be followed by thoughts: reasons given afterwards.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from auditor.structure.blocks import Blocks, Range, blocks, is_json
from auditor.structure.marks import Tagged, answer_end, marks, stated_answer, tagged
from auditor.structure.offsets import Offsets
from auditor.structure.sentences import sentences as _sentences
from auditor.structure.sentences import strip

PieceKind = Literal["thought", "answer"]

_ARGUES = re.compile(
    r"=|\b(?:first|then|next|so|therefore|thus|hence|because|since|let me|let's|i need|i should|i will|we need)\b",
    re.IGNORECASE,
)
_VALUE = re.compile(r"\d|answer|therefore|so ", re.IGNORECASE)
_Found = tuple[PieceKind, int, int, str]


@dataclass(frozen=True, kw_only=True)
class TextPiece:
    """One thought or the answer: bytes [start, end); `mark` is the word that announced it, or empty."""

    kind: PieceKind
    text: str
    start: int
    end: int
    mark: str = ""
    chars: Range = (0, 0)
    """The same place in characters."""


def cut(text: str) -> tuple[TextPiece, ...]:
    """Thoughts and at most one answer, in order. Empty for a blank text."""
    offsets = Offsets(text)
    return tuple(
        TextPiece(
            kind=kind, text=text[start:end], start=offsets[start], end=offsets[end], mark=mark, chars=(start, end)
        )
        for kind, start, end, mark in _found(text)
    )


def sentences(text: str) -> list[Range]:
    """Byte ranges of the sentences of a text, without outer blanks."""
    offsets = Offsets(text)
    return [(offsets[start], offsets[end]) for start, end in _sentences(text, 0, len(text), blocks(text))]


def _found(text: str) -> list[_Found]:
    if is_json(text):
        return [("answer", *strip(text, 0, len(text)), "")]
    tags = tagged(text)
    if not tags:
        return _outside(text, 0, len(text))
    found: list[_Found] = []
    at = 0
    answered = any(tag.name == "answer" for tag in tags)
    for tag in tags:
        found += _thoughts(text, at, tag.start, "")
        found += _inside(text, tag)
        at = tag.end
    return found + (_thoughts(text, at, len(text), "") if answered else _outside(text, at, len(text)))


def _inside(text: str, tag: Tagged) -> list[_Found]:
    if tag.name == "answer":
        start, end = strip(text, *tag.inner)
        return [("answer", start, end, tag.name)] if start < end else []
    return _thoughts(text, *tag.inner, "think")


def _thoughts(text: str, start: int, end: int, mark: str) -> list[_Found]:
    if start >= end:
        return []
    return [("thought", *one, mark) for one in _sentences(text, start, end, blocks(text, start, end))]


def _outside(text: str, begin: int, end: int) -> list[_Found]:
    """Pieces of what stands outside of tags."""
    kept = blocks(text, begin, end)
    found = _marked(text, begin, end, kept)
    return _unmarked(text, begin, end, kept) if found is None else found


def _marked(text: str, begin: int, end: int, kept: Blocks) -> list[_Found] | None:
    """Pieces of a text with marks; None when it has none."""
    own = marks(text, begin, end, kept)
    if not own:
        return None
    answers = [mark for mark in own if mark.kind == "answer"]
    found = _thoughts(text, begin, own[0].start, "")
    for mark, following in zip(own, [*own[1:], None], strict=True):
        until = following.start if following else end
        if answers and mark is answers[-1]:
            start, stop = strip(text, mark.end, answer_end(text, mark.end, until, kept))
            if start < stop:
                found.append(("answer", start, stop, mark.word))
            found += [("thought", *one, "") for one in _sentences(text, stop, until, kept)]
        else:
            found.append(("thought", *strip(text, mark.at, until), mark.word))
    return found if answers else _last_answers(text, found, kept)


def _last_answers(text: str, found: list[_Found], kept: Blocks) -> list[_Found]:
    """Without an answer mark, what is boxed behind the last mark, else its last sentence, is the answer."""
    kind, start, end, mark = found[-1]
    parts = list(_sentences(text, start, end, kept))
    if mark.startswith("action") or len(parts) < 2:
        return found
    at, how = stated_answer(text, parts) or (len(parts) - 1, "")
    if at == 0:
        return found
    head = strip(text, start, parts[at][0])
    return [*found[:-1], (kind, *head, mark), ("answer", *parts[at], how), *_as_thoughts(parts[at + 1 :])]


def _unmarked(text: str, begin: int, end: int, kept: Blocks) -> list[_Found]:
    whole = strip(text, begin, end)
    if whole[0] >= whole[1]:
        return []
    parts = list(_sentences(text, *whole, kept))
    if len(parts) > 1:
        stated = stated_answer(text, parts)
        if stated is not None:
            at, how = stated
            return [*_as_thoughts(parts[:at]), ("answer", *parts[at], how), *_as_thoughts(parts[at + 1 :])]
        if any(_ARGUES.search(text, *part) for part in parts[:-1]) and _is_chain(text[slice(*parts[-1])]):
            return [*_as_thoughts(parts[:-1]), ("answer", *parts[-1], "")]
    return [("answer", *whole, "")]


def _as_thoughts(parts: Iterable[Range]) -> list[_Found]:
    return [("thought", *part, "") for part in parts]


def _is_chain(last: str) -> bool:
    """A derivation ends in a statement with a value; a reply that ends in a question or a courtesy is no chain."""
    return not last.endswith(("?", "？", "؟")) and bool(_VALUE.search(last))
