"""Trees of thoughts: which calls proposed, which scored, what the selector took, which call answered.

Two sources, in this order: a recorder's selection events (exact inputs and choice of the selector), else the shape of
the prompts (three or more calls that share system prompt and opening line and none of which continues another), which
is marked inferred.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auditor.records.messages import Message, PlacedMessage, Span, Text, message_id, part_text
from auditor.records.structure import ModelCall, Selection, Step
from auditor.records.telemetry import SELECTION_ATTRIBUTE
from auditor.structure.inputs import RecordedSpan, Thread
from auditor.structure.layout import Layout, short
from auditor.structure.values import json_values

_PROPOSES = re.compile(r"\b(?:propose|option|next step|suggest|candidate)", re.IGNORECASE)
_SCORES = re.compile(r"\b(?:score|rate|evaluate|value|grade)\b", re.IGNORECASE)
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A selector's inputs and choice as recorded."""

    text: str
    """The recorded JSON text."""
    selector: str
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    chosen: int
    at: str | None


def mark(layout: Layout, thread: Thread) -> None:
    """Turn answers into branches and scores and add selection steps, where the run is a tree."""
    choices = recorded_choices(thread.spans, layout.gaps)
    if choices:
        _mark_recorded(layout, choices)
    else:
        _mark_by_shape(layout)


def recorded_choices(spans: Sequence[RecordedSpan], gaps: list[str]) -> list[Choice]:
    """Selection events in order of time, then of ledger position; unreadable ones become gaps."""
    texts: list[tuple[str, int, str]] = []
    for recorded in spans:
        own = recorded.span.attributes.get(SELECTION_ATTRIBUTE)
        if isinstance(own, str):
            texts.append((recorded.span.started or "", recorded.position, own))
        for event in recorded.span.events:
            inner = event.attributes.get(SELECTION_ATTRIBUTE)
            if isinstance(inner, str):
                texts.append((event.at or recorded.span.started or "", recorded.position, inner))
    found = []
    for at, _, text in sorted(texts, key=lambda one: one[:2]):
        choice = _read(text, at or None)
        if choice is None:
            gaps.append("a selection event could not be read")
        else:
            found.append(choice)
    return found


def _read(text: str, at: str | None) -> Choice | None:
    try:
        data: Any = json.loads(text)
        candidates = [(str(one["text"]), float(one["score"])) for one in data["candidates"]]
        chosen = data["chosen"]
    except (ValueError, KeyError, TypeError):
        return None
    if type(chosen) is not int or not 0 <= chosen < len(candidates):
        return None
    if not all(math.isfinite(score) for _, score in candidates):
        return None
    return Choice(
        text=text, selector=str(data.get("selector", "unknown")), texts=tuple(text for text, _ in candidates),
        scores=tuple(score for _, score in candidates), chosen=chosen, at=at,
    )  # fmt: skip


def _mark_recorded(layout: Layout, choices: Sequence[Choice]) -> None:
    taken: set[str] = set()
    event = layout.root
    for choice in choices:
        branches = [_branch(layout, text, taken) for text in choice.texts]
        scores = [
            _score(layout, text, score, branch, taken)
            for text, score, branch in zip(choice.texts, choice.scores, branches, strict=True)
        ]
        message = Message(role="event", parts=(Text(text=choice.text),))
        placed = PlacedMessage(id=message_id(message, event), parent=event, message=message)
        layout.add_message(placed)
        event = placed.id
        span = field_span(layout, event, "/chosen")
        cause = scores[choice.chosen] or branches[choice.chosen]
        step = layout.add_step(
            "selection", parent=cause.id if cause else None, call=None, message=event, span=span,
            label=f"{choice.selector} took {choice.texts[choice.chosen]}", at=choice.at, rule="selection_event",
        )  # fmt: skip
        layout.selections.append(
            Selection(
                step=step.id,
                selector=choice.selector,
                scores=choice.scores,
                candidates=tuple(branch.id if branch else "" for branch in branches),
                chosen=choice.chosen,
            )  # fmt: skip
        )
        if any(branch is None for branch in branches):
            layout.gaps.append("a candidate of a selection was written by no recorded call")
    _lead_on(layout, choices, taken)
    _order(layout)


def _order(layout: Layout) -> None:
    """Move every selection right behind the last branch or score it was given."""
    given: dict[str, str] = {}
    for selection in layout.selections:
        inside = {step.id: step.order for step in layout.steps if step.id in selection.candidates}
        inside |= {step.id: step.order for step in layout.steps if step.kind == "score" and step.parent in inside}
        if inside:
            given[selection.step] = max(inside, key=inside.__getitem__)
    moved = {step.id: step for step in layout.steps if step.id in given}
    layout.steps[:] = [
        one
        for step in layout.steps
        if step.id not in moved
        for one in (step, *(moved[own] for own, last in given.items() if last == step.id))
    ]
    layout.renumber()


def _branch(layout: Layout, text: str, taken: set[str]) -> Step | None:
    """The first unclaimed output that contains the candidate's text."""
    wanted = text.strip()
    for call in layout.calls:
        for step in layout.of_call.get(call.id, ()):
            if step.kind not in ("answer", "thought") or step.span is None or step.id in taken:
                continue
            if wanted and wanted in layout.text(step.span):
                taken.add(step.id)
                return layout.replace_step(
                    step, kind="branch", parent=step.parent, rule="candidate_text", grade="recorded"
                )
    return None


def _score(layout: Layout, text: str, score: float, branch: Step | None, taken: set[str]) -> Step | None:
    """The first unclaimed output whose prompt ends with the candidate and whose last number is its score."""
    for call in layout.calls:
        if branch is not None and call.id == branch.call:
            continue
        if text.strip() not in last_input(layout, call):
            continue
        for step in layout.of_call.get(call.id, ()):
            if step.kind != "answer" or step.span is None or step.id in taken:
                continue
            numbers = _NUMBERS.findall(layout.text(step.span))
            if numbers and float(numbers[-1]) == score:
                taken.add(step.id)
                return layout.replace_step(
                    step, kind="score", parent=branch.id if branch else step.parent, rule="candidate_in_prompt",
                    grade="recorded",
                )  # fmt: skip
    return None


def _lead_on(layout: Layout, choices: Sequence[Choice], taken: set[str]) -> None:
    """A later call whose prompt holds the chosen text was caused by the selection."""
    for selection, choice in zip(layout.selections, choices, strict=True):
        chosen = choice.texts[choice.chosen].strip()
        for call in layout.calls:
            own = layout.of_call.get(call.id, [])
            if not own or any(step.id in taken for step in own) or chosen not in last_input(layout, call):
                continue
            layout.replace_step(
                own[0], kind=own[0].kind, parent=selection.step, rule="chosen_in_prompt", grade="inferred"
            )


def _mark_by_shape(layout: Layout) -> None:
    """Without events: calls that share their opening and do not continue each other, told apart by their last line."""
    calls = [call for call in layout.calls if call.dialect is not None or call.at is not None]
    given = {one for call in calls for one in call.outputs}
    openings = {_opening(layout, call) for call in calls}
    if len(calls) < 3 or len(openings) != 1 or any(given & set(call.inputs) for call in calls):
        return
    asked = [last_input(layout, call).strip().splitlines()[-1:] or [""] for call in calls]
    proposing = [bool(_PROPOSES.search(line[0])) and not _SCORES.search(line[0]) for line in asked]
    scoring = [bool(_SCORES.search(line[0])) for line in asked]
    if sum(proposing) < 2 or not any(scoring):
        return
    branches: list[Step] = []
    for call, proposes, scores in zip(calls, proposing, scoring, strict=True):
        for step in list(layout.of_call.get(call.id, ())):
            if step.kind != "answer" or step.span is None:
                continue
            if scores:
                parent = next(
                    (one for one in branches if one.span and layout.text(one.span) in last_input(layout, call)), None
                )
                cause = parent.id if parent else step.parent
                layout.replace_step(step, kind="score", parent=cause, rule="prompt_shape", grade="inferred")
            elif proposes:
                branches.append(
                    layout.replace_step(step, kind="branch", parent=step.parent, rule="prompt_shape", grade="inferred")
                )


def last_input(layout: Layout, call: ModelCall) -> str:
    """Text of the last message a call saw."""
    if not call.inputs:
        return ""
    return "\n".join(part_text(part) for part in layout.message(call.inputs[-1]).parts)


def field_span(layout: Layout, message: str, pointer: str) -> Span:
    """The span of a scalar JSON field of a message's first part; KeyError when there is none."""
    values = json_values(layout.part_text(message, 0)) or ()
    for value in values:
        if value.pointer == pointer:
            return Span(message=message, part=0, start=value.start, end=value.end, pointer=pointer)
    raise KeyError(pointer)


def _opening(layout: Layout, call: ModelCall) -> tuple[str, str]:
    """System prompt and first line of the first user message."""
    system = user = ""
    for one in call.inputs:
        message = layout.message(one)
        text = part_text(message.parts[0]) if message.parts else ""
        if message.role == "system" and not system:
            system = text
        elif message.role == "user" and not user:
            user = text.strip().splitlines()[0] if text.strip() else ""
    return system, short(user)
