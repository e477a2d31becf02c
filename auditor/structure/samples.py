"""Sample sets: several answers to one prompt, how they agree, and what the run itself says was voted for.

One call with several choices is a recorded set; several calls of one model with the same context, none a retry of
another, are an inferred one. At least two samples must have given an answer. Proposals and scores of a tree are none.

What was voted for is stated by a recorder's event (`auditor.vote` of a span, or a transcript's message of role `event`)
or, failing that, by the answer of a later call that was shown the texts of at least two samples.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from auditor.records.messages import Message, Span, Text, part_text, place
from auditor.records.structure import ModelCall, SampleSet, Step
from auditor.records.telemetry import VOTE_ATTRIBUTE
from auditor.structure.answers import normal_answer
from auditor.structure.inputs import Thread
from auditor.structure.layout import Layout

_LONG = 20
"""Characters from which on a whole sample's text, found in a prompt, was surely shown there."""
_MOST_SHOWN = 200
"""Samples whose texts are looked for in later prompts."""
_MOST_READERS = 1000
"""Calls, the last ones of a run, that may have been shown samples."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    call: ModelCall
    step: Step | None
    answer: str | None


def mark_samples(layout: Layout, thread: Thread) -> None:
    """Fill the layout's sample sets; a vote's event becomes a message and a step."""
    sets = sample_sets(layout)
    votes = _votes(layout, thread)
    calls = {call.id: (place, call) for place, call in enumerate(layout.calls)}
    for own, at in votes:
        before = [
            place for place, one in enumerate(sets) if one.stated is None and _begun(calls[one.calls[0]][1], at)
        ]
        if not before:
            layout.gaps.append("a vote belongs to no recorded samples")
            continue
        sets[before[-1]] = _voted(layout, sets[before[-1]], own, at)
    readers = layout.calls[-_MOST_READERS:]
    layout.samples = [one if one.stated else _answered(layout, one, calls, readers) for one in sets]


def sample_sets(layout: Layout) -> list[SampleSet]:
    """Sets in the order of their first call, without what was voted for."""
    steps: dict[tuple[str, str], list[Step]] = {}
    for step in layout.steps:
        if step.call is not None and step.message is not None:
            steps.setdefault((step.call, step.message), []).append(step)
    again = {call.retry_of for call in layout.calls}
    groups: dict[tuple[object, ...], list[ModelCall]] = {}
    for call in layout.calls:
        if call.outputs and call.id not in again and call.inputs:
            # The id of a message covers all before it.
            key = (call.inputs[-1], len(call.inputs), call.continues, call.model, call.agent)
            groups.setdefault(key, []).append(call)
    found = []
    for calls in groups.values():
        if sum(len(call.outputs) for call in calls) < 2:
            continue
        held = [(call, steps.get((call.id, output), [])) for call in calls for output in call.outputs]
        if not any(step.kind in ("branch", "score") for _, own in held for step in own):
            rows = [_row(layout, call, own) for call, own in held]
            if sum(row.answer is not None for row in rows) > 1:
                found.append(_set(rows, len(calls)))
    return found


def _row(layout: Layout, call: ModelCall, steps: Sequence[Step]) -> _Row:
    answers = [step for step in steps if step.kind == "answer" and step.span is not None]
    if not answers or answers[-1].span is None:
        return _Row(call=call, step=None, answer=None)
    step = answers[-1]
    return _Row(call=call, step=step, answer=_normal(layout, step))


def _normal(layout: Layout, step: Step) -> str | None:
    return normal_answer(layout.text(step.span), marked=bool(step.rule)) if step.span is not None else None


def _set(rows: Sequence[_Row], calls: int) -> SampleSet:
    votes = Counter(row.answer for row in rows if row.answer is not None)
    most = max(votes.values())
    winners = [answer for answer, count in votes.items() if count == most]
    return SampleSet(
        prompt=rows[0].call.inputs[-1], calls=tuple(row.call.id for row in rows),
        steps=tuple(row.step.id if row.step else "" for row in rows), answers=tuple(row.answer for row in rows),
        votes=dict(votes), winner=winners[0] if len(winners) == 1 else None, agreement=most / len(rows), stated=None,
        grade="recorded" if calls == 1 else "inferred", rule="choices" if calls == 1 else "identical_prompts",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Vote:
    message: str
    span: Span
    winner: str


def is_vote(message: Message) -> bool:
    """Whether a message is a recorder's event of a vote; such a message is no prompt."""
    return message.role == "event" and len(message.parts) == 1 and _winner(part_text(message.parts[0])) is not None


def _winner(text: str) -> str | None:
    """The field `winner` of an event, a text or a number; None where it is no vote."""
    if text.lstrip()[:1] != "{" or '"winner"' not in text:
        return None
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    winner = data.get("winner")
    if type(winner) in (int, float):
        return str(winner)
    return winner if isinstance(winner, str) and winner.strip() else None


def _votes(layout: Layout, thread: Thread) -> list[tuple[_Vote, str | None]]:
    """Votes of the transcript as they stand, then of spans in order of time; with the time."""
    found: list[tuple[_Vote, str | None]] = []
    for placed in list(layout.placed.values()) if thread.transcript is not None else ():
        if is_vote(placed.message):
            found.append((_vote(layout, placed.id), None))
    parent = layout.root
    for at, text in sorted(_texts(thread)):
        if _winner(text) is None:
            layout.gaps.append("a vote could not be read")
            continue
        (placed,) = place((Message(role="event", parts=(Text(text=text),)),), parent)
        layout.add_message(placed)
        parent = placed.id
        found.append((_vote(layout, placed.id), at or None))
    return found


def _texts(thread: Thread) -> Iterable[tuple[str, str]]:
    for recorded in thread.spans:
        for at, attributes in (
            (recorded.span.started, recorded.span.attributes),
            *((event.at or recorded.span.started, event.attributes) for event in recorded.span.events),
        ):
            text = attributes.get(VOTE_ATTRIBUTE)
            if isinstance(text, str):
                yield at or "", text


def _vote(layout: Layout, message: str) -> _Vote:
    winner = _winner(layout.part_text(message, 0)) or ""
    return _Vote(message=message, span=layout.field(message, "/winner"), winner=winner)


def _begun(first: ModelCall, at: str | None) -> bool:
    """Whether a set's first call was before a vote, as far as times say."""
    return at is None or first.at is None or first.at <= at


def _voted(layout: Layout, samples: SampleSet, vote: _Vote, at: str | None) -> SampleSet:
    wanted = normal_answer(vote.winner, marked=True)
    steps = [step for step, answer in zip(samples.steps, samples.answers, strict=True) if answer == wanted and step]
    layout.add_step(
        "selection", parent=steps[0] if steps else None, call=None, message=vote.message, span=vote.span,
        label=f"vote took {vote.winner}", at=at, rule="vote_event",
    )  # fmt: skip
    return replace(samples, stated=vote.span)


def _answered(
    layout: Layout, samples: SampleSet, calls: Mapping[str, tuple[int, ModelCall]], readers: Sequence[ModelCall]
) -> SampleSet:
    """The answer of the first later call whose last message holds the texts of two samples."""
    own = [calls[one] for one in dict.fromkeys(samples.calls)]
    outputs = list(dict.fromkeys(output for _, call in own for output in call.outputs))
    texts = [text for one in outputs[:_MOST_SHOWN] if len(text := _text(layout, one)) >= _LONG]
    last = max(place for place, _ in own)
    for call in readers if len(texts) > 1 else ():
        if calls[call.id][0] <= last or not call.inputs or call.inputs[-1] in outputs:
            continue
        prompt = _text(layout, call.inputs[-1])
        if sum(text in prompt for text in texts) < 2:
            continue
        steps = [step for step in layout.of_call.get(call.id, ()) if step.kind == "answer"]
        if steps:
            return replace(samples, stated=steps[-1].span)
    return samples


def _text(layout: Layout, message: str) -> str:
    return "\n".join(part.text for part in layout.message(message).parts if isinstance(part, Text)).strip()


def stated_answer(layout: Layout, span: Span) -> str | None:
    """What a set's `stated` says, in normal form."""
    if span.pointer is not None:
        winner = _winner(layout.part_text(span.message, span.part))
        return None if winner is None else normal_answer(winner, marked=True)
    step = next((one for one in layout.steps if one.span == span and one.kind == "answer"), None)
    return _normal(layout, step) if step is not None else None

