"""Where a value of the run was first seen, and where it came back: copies and one-step derivations.

Links are made from what the model wrote (thoughts, tool arguments, answers, branches) back to earlier places; a shared
value is no proof of use. Derivations are `a+b`, `a-b`, `a*b`, `a/b` over values of the run, computed with rationals,
and are looked for only where no copy was found.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from auditor.records.messages import Span
from auditor.records.structure import Step, ValueLink
from auditor.structure.layout import Layout, value_span
from auditor.structure.values import Value, occurrences

Rule = Literal["copy", "sum", "difference", "product", "quotient"]

WRITTEN = frozenset({"thought", "tool_call", "answer", "branch"})
"""Steps the model wrote."""
_SMALL_TEXT = 400
"""In texts up to this many bytes even a single digit counts as a shared value."""
_MOST_LINKS = 2000
_MOST_OPERANDS = 80
_FIRST, _LATEST = 16, 48
"""Of many places of one value these are looked at."""
_MOST_TRIES = 1000
"""Values without a copy for which a derivation is looked for; a bound on time, far above what a run needs."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A value of the run at one place. `index` orders places as the run did."""

    index: int
    step: Step
    span: Span
    value: Value
    small: bool
    """The text around it is so short that a single digit means something."""


@dataclass(frozen=True, kw_only=True)
class Derivation:
    rule: Rule
    left: Place
    right: Place


class Places:
    """All values of a laid-out run in order, findable by value."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.all: list[Place] = []
        self._by_key: dict[str, list[Place]] = {}
        """Loose key → places, in order of the run."""
        self._numbers: list[Place] = []
        self._of_step: dict[str, list[Place]] = {}
        for step in layout.steps:
            if step.span is None or step.kind == "selection":
                continue
            small = len(layout.part_text(step.span.message, step.span.part)) <= _SMALL_TEXT
            for value in layout.values_of(step.span):
                if value.kind == "flag" or _is_mark(step, value):
                    continue
                span = value_span(step.span.message, step.span.part, value)
                place = Place(index=len(self.all), step=step, span=span, value=value, small=small)
                self.all.append(place)
                self._by_key.setdefault(loose_key(value), []).append(place)
                if value.number is not None:
                    self._numbers.append(place)
                if not value.written:
                    self._of_step.setdefault(step.id, []).append(place)

    def of_step(self, step: Step) -> list[Place]:
        """Values of a step but those in words: `two` says how many more often than it says a value."""
        return self._of_step.get(step.id, [])

    def same(self, place: Place) -> list[Place]:
        """Earlier places of the same value in other steps, oldest first; trivial values only where texts are short."""
        return list(self._earlier(place))

    def first(self, place: Place) -> Place | None:
        """The earliest of `same`, without gathering the others."""
        return next(self._earlier(place), None)

    def alike(self, value: Value) -> Sequence[Place]:
        """All places of a value, in order of the run."""
        return self._by_key.get(loose_key(value), ())

    def _earlier(self, place: Place) -> Iterator[Place]:
        """Of very many places the first 16 and the last 48, so that a run costs what is in it and not its square."""
        weighty = place.value.weighty
        if not (weighty or place.small):
            return
        group = self._by_key.get(loose_key(place.value), [])
        count = bisect_left(group, place.index, key=_index)
        while count and group[count - 1].step.id == place.step.id:
            count -= 1
        near = range(count) if count <= _FIRST + _LATEST else (*range(_FIRST), *range(count - _LATEST, count))
        for at in near:
            other = group[at]
            if (weighty or other.small) and same_value(place.value, other.value):
                yield other

    def derived_from(self, place: Place, sees: Callable[[Place], bool]) -> Derivation | None:
        """One step of arithmetic over the latest earlier numbers that `sees` lets through gives this one."""
        operands: list[Place] = []
        for at in range(bisect_left(self._numbers, place.index, key=_index) - 1, -1, -1):
            if sees(self._numbers[at]):
                operands.append(self._numbers[at])
                if len(operands) == _MOST_OPERANDS:
                    break
        return self.derived(place, operands[::-1])

    def derived(self, place: Place, seen: Sequence[Place]) -> Derivation | None:
        """One step of arithmetic over `seen` that gives this number; the latest operands win."""
        wanted = place.value.number
        if wanted is None or not (place.value.weighty or place.small):
            return None
        operands = [one for one in seen if one.index < place.index and one.value.number is not None][-_MOST_OPERANDS:]
        by_number: dict[Fraction, Place] = {}
        for one in operands:
            by_number[_number(one)] = one
        for left in reversed(operands):
            found = _partner(left, wanted, by_number)
            if found is not None:
                return found
        return None


def _index(place: Place) -> int:
    return place.index


def value_links(layout: Layout, places: Places) -> list[ValueLink]:
    """Links of everything the model wrote to where it was seen first; at most 2,000."""
    links: list[ValueLink] = []
    numbers: list[Place] = []
    tries = 0
    for place in places.all:
        if place.step.kind in WRITTEN:
            earlier = places.first(place)
            tries += earlier is None
            worked_out = earlier is None and tries <= _MOST_TRIES
            derivation = places.derived(place, numbers[-_MOST_OPERANDS:]) if worked_out else None
            if earlier is not None:
                links.append(ValueLink(earlier=earlier.span, later=place.span, value=place.value.normal, rule="copy"))
            elif derivation is not None:
                links.append(
                    ValueLink(
                        earlier=derivation.left.span,
                        later=place.span,
                        value=place.value.normal,
                        rule=derivation.rule,
                        others=(derivation.right.span,),
                    )  # fmt: skip
                )
            if len(links) >= _MOST_LINKS:
                layout.gaps.append(f"only the first {_MOST_LINKS} value links were kept")
                break
        if place.value.number is not None:
            numbers.append(place)
    return links


def same_value(left: Value, right: Value) -> bool:
    """Equal keys; a date without a year equals every year's."""
    if left.key == right.key:
        return True
    return left.kind == right.kind == "date" and "date:--" in (left.key[:7], right.key[:7])


def loose_key(value: Value) -> str:
    """Key under which equal values meet: dates without year and time."""
    if value.kind == "date" and len(value.key) >= 12 and value.key.count("-") >= 2:
        return "date:--" + value.key.removeprefix("date:")[:10][-5:]
    if value.kind == "text":
        return value.key
    return value.key


def found_in(layout: Layout, steps: Iterable[Step], wanted: str) -> list[tuple[Step, Span]]:
    """Whole-word occurrences of a name in the texts of steps."""
    hits = []
    for step in steps:
        if step.span is None or not layout.may_contain(step, wanted):
            continue
        text = layout.text(step.span)
        for start, end in occurrences(text, wanted):
            at = step.span.start
            hits.append((step, Span(message=step.span.message, part=step.span.part, start=at + start, end=at + end)))
    return hits


def _is_mark(step: Step, value: Value) -> bool:
    """The `1` of `Step 1:` is a label, not a value."""
    return bool(step.rule.startswith("step ") and step.span and value.end <= step.span.start + len(step.rule.encode()))


def _number(place: Place) -> Fraction:
    number = place.value.number
    if number is None:
        raise TypeError("not a number")
    return number


def _partner(left: Place, wanted: Fraction, by_number: dict[Fraction, Place]) -> Derivation | None:
    """The operand that makes `wanted` together with `left`; trivial steps (x+0, x*1, x/1) do not count."""
    own = _number(left)
    if own in (0, 1) and left.value.number == wanted:
        return None
    options: list[tuple[Rule, Fraction]] = [("sum", wanted - own), ("difference", own - wanted)]
    if own != 0:
        options.append(("product", wanted / own))
    if wanted != 0:
        options.append(("quotient", own / wanted))
    for rule, number in options:
        other = by_number.get(number)
        if other is None or other.span == left.span or number == 0 or (number == 1 and rule in ("product", "quotient")):
            continue
        if rule == "sum" and other.index > left.index:
            continue
        return Derivation(rule=rule, left=left, right=other)
    return None
