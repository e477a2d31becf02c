"""stated_value: what a reply states is what the recorded tool results hold. Four rules, each exact:

cited     A sentence that cites a tool states the number the tool's result holds; only where that result holds exactly
          one number, so that there is no doubt which one was meant.
field     A value behind an id of a recorded object and a label that names a field of it (`Flight HAT069 … Economy
          Price: $121`) is that field's value in one of the latest results that hold the id (see anchors.py).
kin       A date, or a code in capitals, on the line or in the item of an id stands in the recorded object of that id
          (or in what was asked of the tool that gave it), where that object holds dates or such codes; two such codes
          said to be the ends of a way (`JFK to SEA`) are fields of one recorded object, where both are recorded.
nowhere   Once a tool has answered, a value in a reply stood somewhere before it: in a message, an argument, a result;
          or it can be worked out (see derived.py), or is a day next to one that stood there.

Not seen: values in words (names, cabin classes), numbers under 10, a value that was swapped for another one of the
record where neither an id nor a label says what it is; in a reply of several sentences, reasoning, marked thoughts and
steps are not read at all.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction

from auditor.records.structure import Finding, Step
from auditor.structure.checks.anchors import Anchored, anchored, field_of
from auditor.structure.checks.derived import derived, says_worked_out
from auditor.structure.checks.forms import agree
from auditor.structure.checks.heard import Heard, Leaf, is_capitals
from auditor.structure.checks.kin import lines_of_others, unkin, way_days, way_errors
from auditor.structure.checks.protocol import Recorded
from auditor.structure.checks.statements import Statement, statements, written
from auditor.structure.claims import decisions, sentence_around
from auditor.structure.cues import cited
from auditor.structure.links import Place, Places

_RECENT = 40
"""Numbers heard last that count as near."""
_SMALL = 10
_MONEY = frozenset("$€£¥")


def check(run: Recorded) -> list[Finding]:
    """Findings of `cited`, right or wrong, then wrong ones of the other rules at places that are not named yet."""
    findings = _cited(run)
    named = {(one.places[0].message, one.places[0].part, one.places[0].start) for one in findings if not one.holds}
    for finding in _walk(run):
        place = finding.places[0]
        if (place.message, place.part, place.start) not in named:
            findings.append(finding)
    return findings


def _walk(run: Recorded) -> Iterator[Finding]:
    """field and nowhere, in one walk over the run."""
    heard = Heard(run.layout, run.reader)
    texts: dict[tuple[str, int], list[Step]] = {}
    for step in run.layout.steps:
        if written(run.layout, step) and step.span is not None:
            texts.setdefault((step.span.message, step.span.part), []).append(step)
    for step in run.layout.steps:
        own = texts.pop((step.span.message, step.span.part), None) if step.span is not None else None
        if own is not None and heard.results:
            found = [one for piece in own for one in statements(run.layout, piece)]
            yield from _of_text(found, heard)
        heard.add(step)


def _of_text(found: Sequence[Statement], heard: Heard) -> Iterator[Finding]:
    numbers = [number for one in found for number in _numbers(one)]
    named: set[frozenset[str]] = set()
    elsewhere = lines_of_others(found)
    ways, days = way_errors(found, heard, elsewhere), way_days(found, heard, elsewhere)
    for one in anchored(found, heard):
        stated = one.statement
        wrong = _field(one) or unkin(one, heard, elsewhere) or days.get(stated.span)
        if wrong is not None:
            anchor, leaf = wrong
            yield Finding(
                check="stated_value", holds=False, places=(stated.span, leaf.span),
                message=f"The reply states {stated.text} ({' '.join(stated.label)}) for {anchor.text}; "
                f"the record holds {leaf.text} ({'/'.join(leaf.path)}).",
            )  # fmt: skip
        elif stated.span in ways and not (_held(one, stated) and not _held(one, ways[stated.span])):
            other = ways[stated.span]
            yield Finding(
                check="stated_value", holds=False, places=(stated.span, other.span),
                message=f"The reply names {stated.text} together with {other.text}; no recorded object holds both.",
            )  # fmt: skip
        elif stated.forms not in named and _from_nowhere(one, numbers, heard):
            named.add(stated.forms)
            place = _instead(one)
            recorded = f" The record holds {place.text} ({'/'.join(place.path)})." if place is not None else ""
            yield Finding(
                check="stated_value", holds=False,
                places=(stated.span, place.span) if place is not None else (stated.span,),
                message=f"The reply states {stated.text}, which stands nowhere before it.{recorded}",
            )  # fmt: skip


def _field(one: Anchored) -> tuple[Statement, Leaf] | None:
    """The recorded field a statement contradicts, with the anchor of its object."""
    stated = one.statement
    if stated.kind not in ("number", "time", "date") and not is_capitals(stated.text) or not one.anchors:
        return None
    if stated.kind == "number" and not stated.labelled and all(abs(number) < 10 for number in _numbers(stated)):
        return None
    held = _held(one, stated)
    for anchor, entities in one.anchors:
        leaves = field_of(stated, entities)
        if not leaves:
            continue
        beside = [objects for other, objects in one.anchors if other.line == anchor.line and other is not anchor]
        every = [*leaves, *(leaf for objects in beside for leaf in field_of(stated, objects))]
        if any(agree(stated.forms, leaf.forms) for leaf in every):
            return None
        if stated.kind == "number" and beside:
            return None  # the line names several things: it may be their sum
        if held and (stated.kind == "number" or len({leaf.path[-1] for leaf in leaves}) > 1):
            return None  # it is another field's value, and the label may have meant that one
        return anchor, leaves[-1]
    return None


def _instead(one: Anchored) -> Leaf | None:
    for _, entities in one.anchors:
        if leaves := field_of(one.statement, entities):
            return leaves[-1]
    return None


def _held(one: Anchored, stated: Statement) -> bool:
    """An object of the anchors holds the value."""
    return any(entity.holds(stated.forms) for _, entities in one.anchors for entity in entities)


def _from_nowhere(one: Anchored, numbers: Sequence[Fraction], heard: Heard) -> bool:
    stated = one.statement
    if stated.kind == "text" or heard.knows(stated.forms) or (stated.kind != "number" and heard.word(stated.text)):
        return False
    if stated.kind == "number":
        (number,) = _numbers(stated)
        if abs(number) < _SMALL or stated.text[-1:].isalpha() or stated.follows == "-":
            return False  # `24-hour`, `20th`: measures and days are said in many ways
        if -number in heard.numbers:
            return False  # a refund is recorded below zero and said above
        near = [other for other in numbers if other != number]
        own = [
            Fraction(form.partition(":")[2]) for _, entities in one.anchors for entity in entities
            for leaf in entity.leaves if leaf.kind == "number" for form in leaf.forms
        ]  # fmt: skip
        if says_worked_out((*stated.label, stated.unit)):
            return not derived(number, [*list(heard.recent)[-_RECENT:], *near], list(heard.recent))
        return not (stated.text[:1] in _MONEY and (derived(number, near, ()) or derived(number, own, ())))
    if stated.kind == "date":
        return not _next_to(stated, heard)
    if stated.kind == "code":
        return _is_identifier(stated.text)
    return True


def _is_identifier(text: str) -> bool:
    """Letters and digits that are no measure (`24-hour`, `20th`), or five capitals and more."""
    if any(one.isdigit() for one in text):
        return not text[0].isdigit() or not text.lstrip("0123456789-").islower()
    return len(text) >= 5


def _next_to(stated: Statement, heard: Heard) -> bool:
    """A date one day from one that was heard, where somebody spoke of a day before or after."""
    if not heard.shifted:
        return False
    for form in stated.forms:
        kind, _, day = form.partition(":")
        try:
            own = date.fromisoformat(day if kind == "date" else f"2024-{day}")
        except ValueError:
            continue
        beside = [own + timedelta(days=shift) for shift in (-1, 1) if date.min < own < date.max]
        if any(f"day:{one.isoformat()[5:]}" in heard.event_days for one in beside):
            return True
    return False


def _numbers(one: Statement) -> list[Fraction]:
    return [Fraction(form.partition(":")[2]) for form in one.forms if one.kind == "number"]


def _cited(run: Recorded) -> list[Finding]:
    """One finding for each number that a sentence says a tool gave, right or wrong."""
    findings = []
    layout, places, names = run.layout, run.places, run.names
    tools = sorted(set(names.values()))
    for step in layout.steps:
        if step.kind != "answer" or step.call is None or step.span is None or not tools:
            continue
        if cited(layout.text(step.span), tools) is None:
            continue
        inputs = set(run.calls[step.call].inputs)
        seen = {one.id: names[one.id] for one in layout.steps if one.id in names and one.message in inputs}
        for place in decisions(layout, places, step):
            sentence = sentence_around(layout, step, place.span)
            cites = cited(sentence, sorted(set(seen.values())))
            if place.value.number is None or cites is None:
                continue
            results = [one for one in layout.steps if seen.get(one.id) in cites[0]]
            numbers = [one for one in places.of_step(results[-1]) if one.value.number is not None] if results else []
            if len(numbers) != 1 or (len(results) > 1 and _known(places, place, inputs)):
                continue
            (recorded,) = numbers
            holds = recorded.value.number == place.value.number
            tool = seen[results[-1].id]
            message = (
                f"The answer states {place.value.text}, and {tool} returned {recorded.value.text}."
                if holds
                else f"The answer cites {tool} for {place.value.text}, but {tool} returned {recorded.value.text}."
            )
            findings.append(Finding(
                check="stated_value", holds=holds, message=message, places=(place.span, recorded.span),
                claim=run.claim("tool_answer", place.span, results[-1].id),
            ))  # fmt: skip
    return findings


def _known(places: Places, place: Place, inputs: set[str]) -> bool:
    return any(one.span.message in inputs and one.step.kind == "tool_result" for one in places.same(place))
