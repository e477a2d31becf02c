"""argument_source: an identifier, date or number in a tool argument was seen before the call.

Also right: a number that one step of arithmetic gives, a date one day away. Not seen: names and codes without digits,
free text.
"""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from auditor.records.messages import ToolCall
from auditor.records.structure import Finding
from auditor.structure.checks.protocol import Recorded
from auditor.structure.layout import Layout
from auditor.structure.links import Place, Places
from auditor.structure.values import occurrences


def check(run: Recorded) -> list[Finding]:
    """One finding for each argument from nowhere."""
    findings = []
    layout, places = run.layout, run.places
    for step in layout.steps:
        if step.kind != "tool_call" or step.call is None or step.span is None:
            continue
        inputs = run.calls[step.call].inputs
        visible = set(inputs) | {step.span.message}
        for place in _checkable(places.of_step(step)):
            if any(one.span.message in visible for one in places.same(place)):
                continue
            if place.value.number is not None and _worked_out(places, place, visible):
                continue
            if place.value.kind == "date" and _next_day(places, place, visible):
                continue
            if place.value.number is None and _occurs(layout, inputs, place.value.text):
                continue
            part = run.part(step)
            tool = part.name if isinstance(part, ToolCall) else "a tool"
            findings.append(Finding(
                check="argument_source", holds=False, places=(place.span,),
                message=f"The argument {place.value.text} of {tool} appears nowhere before the call.",
            ))  # fmt: skip
    return findings


def _checkable(own: Sequence[Place]) -> list[Place]:
    """Identifiers, dates and numbers from 10 up that are a field of their own or stand in a one-word field."""
    texts = [place for place in own if place.value.kind == "text"]
    return [
        place for place in own
        if place.value.kind in ("id", "date", "number") and place.value.weighty
        and not any(
            one.span.start <= place.span.start and place.span.end <= one.span.end and len(one.value.text.split()) > 3
            for one in texts
        )
    ]  # fmt: skip


def _worked_out(places: Places, place: Place, visible: set[str]) -> bool:
    """One step of arithmetic, or a sum of several numbers of one message, gives the number."""
    seen = [one for one in places.all if one.index < place.index and one.span.message in visible]
    if places.derived(place, seen) is not None:
        return True
    wanted = place.value.number
    per_message: dict[str, set[Fraction]] = {}
    for one in seen:
        if one.value.number is not None and one.step.kind == "tool_result":
            per_message.setdefault(one.span.message, set()).add(one.value.number)
    everything = set().union(*per_message.values()) if per_message else set()
    pairs = {a + b for numbers in per_message.values() if len(numbers) <= 60 for a in numbers for b in numbers}
    return any(wanted == a * k for a in everything | pairs for k in range(1, 10)) or any(
        wanted is not None and wanted - a in everything | pairs for a in pairs
    )


def _next_day(places: Places, place: Place, visible: set[str]) -> bool:
    """A date one day from one that was seen: "a day later" is said without naming the date."""
    wanted = _day(place)
    seen = (one for one in places.all if one.value.kind == "date" and one.index < place.index)
    days = (_day(one) for one in seen if one.span.message in visible)
    return wanted is not None and any(day is not None and abs((wanted - day).days) == 1 for day in days)


def _day(place: Place) -> date | None:
    try:
        return date.fromisoformat(place.value.normal[:10])
    except ValueError:
        return None


def _occurs(layout: Layout, inputs: Sequence[str], wanted: str) -> bool:
    return any(
        occurrences(layout.part_text(one, index), wanted)
        for one in inputs
        for index in range(len(layout.message(one).parts))
    )
