"""What a stated value speaks of: the recorded thing whose id stands before it in the same item of a list or line.

An anchor is a code that is a field of a recorded object. It holds for the rest of its line; where it heads a line
(`1. Flight HAT069`), for what is set in below it; where it is the value of a label (`Reservation ID: FQ8APE`), for the
items beside and below it. A line that is set in less ends it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditor.structure.checks.heard import Entity, Heard, Leaf, is_capitals
from auditor.structure.checks.statements import Statement

_WORD = re.compile(r"[^\W\d_]+")
_PLAIN_WORDS = frozenset({
    "a", "an", "the", "is", "are", "was", "were", "be", "been", "of", "at", "on", "for", "to", "from", "by",
    "with", "your", "you", "my", "our", "this", "that", "it", "its", "and", "or", "as", "in", "will", "would",
    "have", "has", "had", "each", "per", "one", "only", "also", "now", "new", "original", "current", "same", "i",
    "we", "there", "which", "who", "est", "time",
})  # fmt: skip
_STEM = 5


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """A stated value and the recorded objects of the anchors it stands under, nearest anchor first."""

    statement: Statement
    anchors: Sequence[tuple[Statement, Sequence[Entity]]]


@dataclass
class _Open:
    statement: Statement
    entities: Sequence[Entity]


def anchored(found: Sequence[Statement], heard: Heard) -> Iterator[Anchored]:
    """The statements of one text in order, each with its anchors."""
    open_: list[_Open] = []
    lines: dict[int, list[_Open]] = {}
    for one in found:
        entities = heard.entities(one.text) if one.kind in ("code", "text") else ()
        if entities:
            lines.setdefault(one.line, []).append(_Open(one, entities))
    entered = -1
    for one in found:
        if one.line != entered:
            open_ = [kept for kept in open_ if _reaches(kept.statement, one)]
            entered = one.line
        own = lines.get(one.line, ())
        before = [anchor for anchor in own if anchor.statement.span.start < one.span.start]
        beside = before[::-1] or (list(own) if len(own) == 1 else [])
        nearest = [*beside, *(anchor for anchor in reversed(open_) if anchor.statement.line != one.line)]
        anchors = [(anchor.statement, anchor.entities) for anchor in nearest if anchor.statement is not one]
        yield Anchored(statement=one, anchors=anchors)
        open_ += [anchor for anchor in own if anchor.statement is one]


def field_of(statement: Statement, entities: Sequence[Entity]) -> list[Leaf]:
    """Fields of the objects that the statement's label names, of its kind; empty where none or no label."""
    words = [word for word in statement.label if word not in _PLAIN_WORDS and len(word) > 2]
    if not words:
        return []
    best: list[Leaf] = []
    least = 99
    for entity in entities:
        for leaf in entity.leaves:
            if not _comparable(statement, leaf):
                continue
            rest = _uncovered(words, leaf.path)
            if rest is None or rest > least:
                continue
            if rest < least:
                best, least = [], rest
            best.append(leaf)
    return best


def _comparable(statement: Statement, leaf: Leaf) -> bool:
    if is_capitals(statement.text):
        return is_capitals(leaf.text) and len(leaf.text) == len(statement.text)
    return leaf.kind == statement.kind


def _reaches(anchor: Statement, later: Statement) -> bool:
    """Whether an anchor's item still goes on at a later line."""
    return later.indent >= anchor.indent if anchor.labelled else later.indent > anchor.indent


def _uncovered(words: Sequence[str], path: Sequence[str]) -> int | None:
    """How many words of the names that a label touches it leaves out; None where the label says more than the path."""
    rest = 0
    covered: set[str] = set()
    for name in path[-3:]:
        own = [word.casefold() for word in _WORD.findall(name)]
        touched = [word for word in own if any(_alike(word, said) for said in words)]
        covered.update(said for said in words if any(_alike(word, said) for word in own))
        if touched:
            rest += len(own) - len(touched) if name is path[-1] else 0
    return None if len(covered) < len(set(words)) else rest


def _alike(one: str, other: str) -> bool:
    """Equal, or the same word in another form: `price` and `prices`, `departs` and `departure`."""
    short, long = sorted((one, other), key=len)
    if short == long:
        return True
    return len(short) >= 4 and long.startswith(short) or (len(short) > _STEM and short[:_STEM] == long[:_STEM])
