"""argument_source: what a tool is called with stood somewhere before the call.

Checked: identifiers, dates, numbers from 10 up, codes of five capitals and more, and single words that begin with a
capital (names), each where it is a field of its own or stands in a field of at most three words. Also right: a number
that arithmetic over what was heard gives (see derived.py), a date one day from one that was heard where somebody spoke
of a day before or after.

near miss  An object of at least three fields in the arguments that agrees with a recorded object in all fields but
           one is that object with a wrong field, even where the wrong value stands elsewhere; unless a
           user said the value (who may have asked for the change).
new code   A code in capitals that stood nowhere before, beside one that is a field of a recorded object.
kin        A date in one object with an id, and a code in capitals in a call that names ids, stand in the recorded
           objects of those ids (or in what was asked to find them), where these hold such values at all.

Not seen: free text, words without a capital, codes of three or four capitals (a city is often asked for by one), values
that stand elsewhere in the run in fields of objects that are not recorded.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date

from auditor.records.messages import Span, ToolCall
from auditor.records.structure import Finding, Step
from auditor.structure.checks.derived import derived
from auditor.structure.checks.forms import forms_of
from auditor.structure.checks.heard import Entity, Heard, Leaf, is_capitals, is_event
from auditor.structure.checks.objects import Objects, objects_in
from auditor.structure.checks.protocol import Recorded
from auditor.structure.layout import value_span
from auditor.structure.values import Value

_NAME = re.compile(r"[A-Z][a-z]{2,}")
_NEAR = 80
"""Numbers heard last that an argument may be worked out from."""
_LEAST_FIELDS = 3


def check(run: Recorded) -> list[Finding]:
    """One finding for each argument from nowhere, and for each near miss."""
    findings = []
    heard, objects = Heard(run.layout, run.reader), Objects(run.reader)
    together: list[Step] = []
    for step in run.layout.steps:
        if step.kind == "tool_call" and step.call is not None and step.span is not None:
            findings += _of_call(run, step, heard, objects)
            together.append(step)  # calls of one output do not answer for each other
            continue
        while together:
            heard.add(together.pop(0))
        heard.add(step)
        if step.kind == "tool_result":
            objects.add(step)
    return findings


def _of_call(run: Recorded, step: Step, heard: Heard, objects: Objects) -> list[Finding]:
    part = run.part(step)
    tool = part.name if isinstance(part, ToolCall) else "a tool"
    findings = []
    named: set[tuple[int, int]] = set()
    if step.span is None:
        return []
    for value in _checkable(run.layout.values_of(step.span)):
        if _known(value, heard):
            continue
        span = value_span(step.span.message, step.span.part, value)
        named.add((span.start, span.end))
        findings.append(Finding(
            check="argument_source", holds=False, places=(span,),
            message=f"The argument {value.text} of {tool} appears nowhere before the call.",
        ))  # fmt: skip
    for leaf, other in objects.near_misses(step, _LEAST_FIELDS):
        said = leaf.text.casefold() in heard.asked_for
        if not said and not _covered(leaf.span, named):
            named.add((leaf.span.start, leaf.span.end))
            findings.append(Finding(
                check="argument_source", holds=False, places=(leaf.span, other.span),
                message=f"The argument {leaf.text} ({'/'.join(leaf.path)}) of {tool} belongs to a recorded object that "
                f"has {other.text} there.",
            ))  # fmt: skip
    for leaf, other in _unkin(objects_in(run.reader, step), heard):
        if not _covered(leaf.span, named):
            findings.append(Finding(
                check="argument_source", holds=False, places=(leaf.span, other.span),
                message=f"The argument {leaf.text} ({'/'.join(leaf.path)}) of {tool} stands in no recorded object of "
                f"what it is given with ({other.text}).",
            ))  # fmt: skip
    return findings


def _unkin(objects: Iterable[tuple[frozenset[str], Sequence[Leaf]]], heard: Heard) -> Iterator[tuple[Leaf, Leaf]]:
    """Dates and codes in capitals that the recorded objects of the ids beside them do not hold, and one they do."""
    own = [leaves for _, leaves in objects]
    every: list[Entity] = []
    for leaves in own:
        entities = [entity for leaf in leaves for entity in heard.entities(leaf.text)]
        every += entities
        for leaf in leaves:
            if leaf.kind == "date" and is_event(leaf):
                yield from _missing(leaf, entities, lambda one: one.kind == "date" and is_event(one))
    for leaves in own:
        codes = [leaf for leaf in leaves if is_capitals(leaf.text)]
        known = [leaf for leaf in codes if heard.recorded_code(leaf.text)]
        for leaf in codes:
            if known and not heard.knows(leaf.forms) and not heard.word(leaf.text):
                yield leaf, known[0]
    if len(own) > 1:
        for leaf in own[0]:
            if is_capitals(leaf.text):
                yield from _missing(leaf, every, _capitals_of(len(leaf.text)))


def _capitals_of(size: int) -> Callable[[Leaf], bool]:
    return lambda one: is_capitals(one.text) and len(one.text) == size


def _missing(leaf: Leaf, entities: Sequence[Entity], like: Callable[[Leaf], bool]) -> Iterator[tuple[Leaf, Leaf]]:
    if any(entity.holds(leaf.forms) for entity in entities):
        return
    alike = [one for entity in entities for one in (*entity.leaves, *entity.asked) if like(one)]
    named = [one for one in alike if one.path[-1:] == leaf.path[-1:]]
    if alike:
        yield leaf, (named or alike)[-1]


def _checkable(own: Sequence[Value]) -> list[Value]:
    long = [one for one in own if one.kind == "text" and len(one.text.split()) > 3]
    return [
        one for one in own
        if _is_checked(one) and not any(text.start <= one.start and one.end <= text.end for text in long)
    ]  # fmt: skip


def _is_checked(value: Value) -> bool:
    if value.kind in ("id", "date", "number"):
        return value.weighty
    if value.kind != "text":
        return False
    return _NAME.fullmatch(value.text) is not None or (is_capitals(value.text) and len(value.text) >= 5)


def _known(value: Value, heard: Heard) -> bool:
    forms = forms_of(value)
    if value.kind == "id":  # four digits of another id do not make it known
        forms = frozenset(one for one in forms if not one.startswith("number:"))
        return heard.knows(forms) or (value.text.isalnum() and heard.word(value.text))
    if heard.knows(forms):
        return True
    if value.number is not None:
        return derived(value.number, list(heard.recent)[-_NEAR:], ())
    if value.kind == "date":
        return heard.shifted and _next_day(value, heard)
    return heard.word(value.text)


def _next_day(value: Value, heard: Heard) -> bool:
    try:
        own = date.fromisoformat(value.normal[:10])
    except ValueError:
        return False
    beside = (own.toordinal() + shift for shift in (-1, 1))
    days = (date.fromordinal(one).isoformat()[5:] for one in beside if 0 < one <= date.max.toordinal())
    return any(f"day:{day}" in heard.event_days for day in days)


def _covered(span: Span, named: set[tuple[int, int]]) -> bool:
    return any(start < span.end and span.start < end for start, end in named)

