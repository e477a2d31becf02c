"""Exact checks of the record against itself. Each decides on its own; what cannot be told is left out.

arithmetic
    A stated `a + b = c` is right, to the decimals that were stated. Not seen: names, brackets, several `=`.
stated_value
    A sentence that cites a tool states the number the tool's recorded result holds. Only where that result holds
    exactly one number, so that there is no doubt which one was meant.
argument_source
    An identifier, date or number in a tool argument was seen before, or is one step of arithmetic or one day away.
    Not seen: names and codes without digits, free text.
selector
    The choice follows from the recorded scores. Not seen: selectors other than argmax, argmin and first.
claimed_action
    An action the reply says was done was asked of some tool. Not seen: actions whose tool has an unrelated name.
success_after_error
    The tools that could have done a claimed action did not all answer with an error. Not seen: errors that do not
    say that they are.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction

from auditor.records.messages import Span, ToolCall, ToolResult
from auditor.records.structure import Claim, Finding, Step
from auditor.structure.arithmetic import sums
from auditor.structure.claims import decisions, sentence_around, tool_names
from auditor.structure.cues import cited, claimed_actions, could_do
from auditor.structure.layout import Layout
from auditor.structure.links import Place, Places
from auditor.structure.tree import field_span
from auditor.structure.values import Offsets, fraction_text, occurrences

_FAILED = re.compile(r"\A\s*(?:error\b|exception\b|traceback\b|failed\b)", re.IGNORECASE)


def check_record(layout: Layout, places: Places, claims: Sequence[Claim]) -> list[Finding]:
    """Findings in the order of the checks above, each in the order of the run."""
    names = tool_names(layout)
    return [
        *_arithmetic(layout), *_stated_values(layout, places, names, claims), *_argument_sources(layout, places),
        *_selectors(layout, claims), *_actions(layout, names),
    ]  # fmt: skip


def _arithmetic(layout: Layout) -> list[Finding]:
    findings = []
    for step in layout.steps:
        if step.kind not in ("thought", "answer", "branch") or step.span is None:
            continue
        text = layout.text(step.span)
        offsets = Offsets(text)
        for found in sums(text):
            said = f"{' '.join(found.left.split())} = {found.right}"
            right = f"The text says {said}; it is {fraction_text(found.value)}."
            places = tuple(
                _within(step.span, offsets[start], offsets[end]) for start, end in (found.left_at, found.right_at)
            )
            message = f"{said} is right." if found.holds else right
            findings.append(Finding(check="arithmetic", holds=found.holds, message=message, places=places))
    return findings


def _stated_values(layout: Layout, places: Places, names: Mapping[str, str], claims: Sequence[Claim]) -> list[Finding]:
    findings = []
    calls = {call.id: call for call in layout.calls}
    for step in layout.steps:
        if step.kind != "answer" or step.call is None:
            continue
        inputs = set(calls[step.call].inputs)
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
                claim=_claim_on(claims, "tool_answer", place.span, results[-1].id),
            ))  # fmt: skip
    return findings


def _known(places: Places, place: Place, inputs: set[str]) -> bool:
    return any(one.span.message in inputs and one.step.kind == "tool_result" for one in places.same(place))


def _argument_sources(layout: Layout, places: Places) -> list[Finding]:
    findings = []
    calls = {call.id: call for call in layout.calls}
    for step in layout.steps:
        if step.kind != "tool_call" or step.call is None or step.span is None:
            continue
        inputs = calls[step.call].inputs
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
            part = layout.message(step.span.message).parts[step.span.part]
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


def _selectors(layout: Layout, claims: Sequence[Claim]) -> list[Finding]:
    findings = []
    steps = {step.id: step for step in layout.steps}
    for selection in layout.selections:
        step = steps[selection.step]
        wanted = _choose(selection.selector, selection.scores)
        if wanted is None or step.span is None or step.message is None:
            continue
        holds = selection.chosen in wanted
        chosen = selection.scores[selection.chosen]
        should = ", ".join(str(one) for one in sorted(wanted))
        message = (
            f"{selection.selector} took branch {selection.chosen} (score {chosen:g}), as its scores say."
            if holds
            else f"{selection.selector} took branch {selection.chosen} (score {chosen:g}); its scores say {should}."
        )
        spans = [field_span(layout, step.message, f"/candidates/{one}/score") for one in range(len(selection.scores))]
        findings.append(Finding(check="selector", holds=holds, message=message, places=(step.span, *spans),
                                claim=_claim_on(claims, "score_branch", step.span, None)))  # fmt: skip
    return findings


def _choose(selector: str, scores: Sequence[float]) -> frozenset[int] | None:
    """Indices the selector may take, all ties among them; None for a selector that cannot be run again."""
    if selector == "first":
        return frozenset({0})
    if selector in ("argmax", "argmin"):
        best = max(scores) if selector == "argmax" else min(scores)
        return frozenset(index for index, score in enumerate(scores) if score == best)
    return None


def _actions(layout: Layout, names: Mapping[str, str]) -> list[Finding]:
    """claimed_action and success_after_error, in one walk over the run."""
    findings = []
    asked: list[tuple[str, Step]] = []
    results: list[tuple[str, Step]] = []
    for step in layout.steps:
        part = layout.message(step.span.message).parts[step.span.part] if step.span is not None else None
        if step.kind == "tool_call" and isinstance(part, ToolCall):
            asked.append((part.name, step))
        elif step.kind == "tool_result":
            results.append((names[step.id], step))
        elif step.kind == "answer" and step.span is not None and asked:
            text = layout.text(step.span)
            offsets = Offsets(text)
            for word, start, end in claimed_actions(text):
                said = _within(step.span, offsets[start], offsets[end])
                findings += _action(layout, word, said, asked, results)
    return findings


def _action(
    layout: Layout, word: str, said: Span, asked: Sequence[tuple[str, Step]], results: Sequence[tuple[str, Step]]
) -> list[Finding]:
    if not any(could_do(name, word) for name, _ in asked):
        message = f"The reply says something was {word}, but no tool that could do it was called."
        return [Finding(check="claimed_action", holds=False, places=(said,), message=message)]
    done = [(name, step) for name, step in results if could_do(name, word)]
    if done and all(_is_error(layout, step) for _, step in done):
        name, step = done[-1]
        spans = (said, step.span) if step.span is not None else (said,)
        message = f"The reply says something was {word}, but {name} answered with an error."
        return [Finding(check="success_after_error", holds=False, places=spans, message=message)]
    return []


def _is_error(layout: Layout, step: Step) -> bool:
    if step.span is None:
        return False
    part = layout.message(step.span.message).parts[step.span.part]
    if not isinstance(part, ToolResult):
        return False
    if part.is_error is not None:
        return part.is_error
    if _FAILED.search(part.text):
        return True
    try:
        data = json.loads(part.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and bool(data.get("error"))


def _claim_on(claims: Sequence[Claim], type_: str, target: Span, source: str | None) -> str | None:
    for claim in claims:
        if claim.type == type_ and claim.target == target and source in (None, claim.source_step):
            return claim.id
    return None


def _within(outer: Span, start: int, end: int) -> Span:
    return Span(message=outer.message, part=outer.part, start=outer.start + start, end=outer.start + end)
