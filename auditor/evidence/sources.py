"""What is changed: where a claim's sources stand in one call, and what may be put in their place. Torch-free.

A swap keeps the type: digits become other digits of the same number, an enumerated value another one of its schema,
a word another word of the same run; JSON stays JSON because only characters inside a value change.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Replay
from auditor.evidence.targets import same_place, text_of
from auditor.records.messages import Span, part_text

DIGITS = re.compile(r"\d+")
WORD = re.compile(r"[^\W\d_]{2,}")
Type = Literal["number", "word", "other"]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Put `text` in place of the characters [start, end) of the rendered text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """A source as it stands in the call: the claim's span, the span it was found at, and its characters."""

    claimed: Span
    found: Span
    start: int
    end: int
    text: str

    @property
    def type(self) -> Type:
        """What kind of value it is, by its text."""
        return type_of(self.text)


def type_of(text: str) -> Type:
    """`number` when it holds digits, else `word` when it holds letters."""
    return "number" if DIGITS.search(text) else "word" if WORD.search(text) else "other"


def locate(replay: Replay, span: Span) -> tuple[Place, ...]:
    """Where a source stands in the call: its own span, or its copies when it was said in another call.

    ReplayRefused `unsupported` when neither it nor a copy is shown to the model.
    """
    visible = {*replay.question.call.inputs, *replay.question.call.outputs[:1]}
    if span.message in visible:
        return (_at(replay, span, span),)
    copies = [
        link.later
        for link in replay.question.structure.links
        if link.rule == "copy" and same_place(link.earlier, span) and link.later.message in replay.question.call.inputs
    ]
    if not copies:
        copies = list(_written_again(replay, text_of(replay.question.messages, span)))
    if not copies:
        raise ReplayRefused("unsupported", "the source is not shown to the model in this call")
    return tuple(_at(replay, span, copy) for copy in copies)


def _at(replay: Replay, claimed: Span, found: Span) -> Place:
    start, end = replay.characters_of(found)
    return Place(claimed=claimed, found=found, start=start, end=end, text=replay.text[start:end])


def _written_again(replay: Replay, text: str) -> Iterator[Span]:
    """Whole-word occurrences of a text in the call's inputs."""
    if not text.strip():
        return
    pattern = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    for ident in replay.question.call.inputs:
        for index, part in enumerate(replay.question.messages[ident].parts):
            whole = part_text(part)
            for match in pattern.finditer(whole):
                start = len(whole[: match.start()].encode())
                yield Span(message=ident, part=index, start=start, end=start + len(match.group().encode()))


def copies_of(replay: Replay, places: Sequence[Place], before: int) -> tuple[Place, ...]:
    """Other places of the same values before the character `before`, from the record's copy links."""
    spans: list[Span] = []
    reached = [place.found for place in places]
    links = [link for link in replay.question.structure.links if link.rule == "copy"]
    for known in reached:  # grows while links lead on
        for link in links:
            for one, other in ((link.earlier, link.later), (link.later, link.earlier)):
                if same_place(one, known) and not any(same_place(other, r) for r in reached):
                    reached.append(other)
                    spans.append(other)
    found: list[Place] = []
    for span in spans:
        try:
            copy = _at(replay, span, span)
        except ReplayRefused:
            continue  # said in another call, or not shown
        apart = all(copy.end <= p.start or copy.start >= p.end for p in [*places, *found])
        if copy.end <= before and apart:
            found.append(copy)
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What may stand in for a word: the words of the run, and the enumerated values of tool schemas."""

    words: tuple[str, ...]
    enums: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, question: Question) -> "Vocabulary":
        """Words of all recorded messages of the run, sorted; enumerations anywhere in the tool schemas."""
        words: set[str] = set()
        for ident in sorted(question.messages):
            for part in question.messages[ident].parts:
                words.update(WORD.findall(part_text(part)))
        return cls(words=tuple(sorted(words)), enums=tuple(_enums(list(question.tools))))

    def other(self, word: str, draw: random.Random) -> str | None:
        """Another value of the same enumeration, else another word of the run in the same letter case."""
        for values in self.enums:
            if word in values and len(values) > 1:
                return draw.choice([value for value in values if value != word])
        alike = [w for w in self.words if w.lower() != word.lower() and w[0].isupper() == word[0].isupper()]
        close = [w for w in alike if abs(len(w) - len(word)) <= 1] or alike
        return draw.choice(close) if close else None


def _enums(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        listed = value.get("enum")
        if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
            yield tuple(listed)
        for inner in value.values():
            yield from _enums(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _enums(inner)


def swapped(text: str, draw: random.Random, vocabulary: Vocabulary) -> str | None:
    """The text with every number (else every word) replaced by another of its type; None when there is none."""
    if DIGITS.search(text):
        return DIGITS.sub(lambda match: other_digits(match.group(), draw), text)
    for values in vocabulary.enums:
        if text in values:
            return vocabulary.other(text, draw)
    if not WORD.search(text):
        return None
    changed = WORD.sub(lambda match: vocabulary.other(match.group(), draw) or match.group(), text)
    return changed if changed != text else None


def other_digits(digits: str, draw: random.Random) -> str:
    """Another number of as many digits, uniformly; it starts with 0 only where the old one did."""
    low = 0 if digits[0] == "0" or len(digits) == 1 else 10 ** (len(digits) - 1)
    high = 10 ** len(digits) - 1
    drawn = draw.randint(low, high - 1)
    return str(drawn + 1 if drawn >= int(digits) else drawn).zfill(len(digits))


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text with non-overlapping edits made."""
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda e: e.start):
        if edit.start < at:
            raise ReplayRefused("unsupported", "two changes overlap")
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*pieces, text[at:]])


def moved(offset: int, edits: Sequence[Edit]) -> int:
    """Where a character offset outside all edits goes."""
    return offset + sum(len(e.text) - (e.end - e.start) for e in edits if e.end <= offset)
