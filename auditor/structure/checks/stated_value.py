"""stated_value: a sentence that cites a tool states the number the tool's recorded result holds.

Only where that result holds exactly one number, so that there is no doubt which one was meant.
"""

from auditor.records.structure import Finding
from auditor.structure.checks.protocol import Recorded
from auditor.structure.claims import decisions, sentence_around
from auditor.structure.cues import cited
from auditor.structure.links import Place, Places


def check(run: Recorded) -> list[Finding]:
    """One finding for each number that a sentence says a tool gave, right or wrong."""
    findings = []
    layout, places, names = run.layout, run.places, run.names
    for step in layout.steps:
        if step.kind != "answer" or step.call is None:
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
