"""Trees of thoughts: which texts were proposed, what each was valued at, what the selector kept, which call answered.

Two sources, in this order: a recorder's events (searches.py), in spans or in a transcript; else the shape of the
prompts (three or more calls that share system prompt and opening line and none of which continues another), which is
marked inferred. How nodes find their parents is in branches.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from auditor.records.messages import Message, PlacedMessage, Span, Text, message_id, part_text
from auditor.records.structure import ModelCall, Selection, Step
from auditor.records.telemetry import SELECTION_ATTRIBUTE
from auditor.structure.branches import Branches
from auditor.structure.fields import raw_place
from auditor.structure.inputs import RecordedSpan, Thread
from auditor.structure.layout import Layout, last_input, short
from auditor.structure.searches import Choice, Visited, Walk, is_search, read_search

_PROPOSES = re.compile(r"\b(?:propose|option|next step|suggest|candidate)", re.IGNORECASE)
_SCORES = re.compile(r"\b(?:score|rate|evaluate|value|grade)\b", re.IGNORECASE)
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
_MOST_LOOKS = 1_000_000
"""Texts that are searched for another one, per run: a bound on time, far above what a run needs."""


@dataclass(frozen=True, kw_only=True)
class _Told:
    """An event that could be read."""

    said: Choice | Walk
    text: str
    at: str | None
    message: str | None
    """Where it stands in a transcript; None for a span's."""


def mark(layout: Layout, thread: Thread) -> None:
    """Turn answers into branches and scores and add selection steps, where the run is a tree."""
    told = _told(layout, thread)
    if told:
        _Marker(layout).recorded(told)
    else:
        _mark_by_shape(layout)


def _told(layout: Layout, thread: Thread) -> list[_Told]:
    """Events of the transcript as they stand, then of spans in order of time and of ledger position."""
    texts: list[tuple[str | None, str | None, str]] = []
    if thread.transcript is not None:
        texts += [(one.id, None, part_text(one.message.parts[0])) for one in layout.placed.values() if is_event(one)]
    texts += [(None, at or None, text) for at, text in _texts_of(thread.spans)]
    found = []
    for message, at, text in texts:
        said = read_search(text)
        if said is None:
            layout.gaps.append("a selection event could not be read")
        else:
            found.append(_Told(said=said, text=text, at=at, message=message))
    return found


def is_event(placed: PlacedMessage) -> bool:
    """Whether a message is a recorder's event of a search; such a message is no prompt."""
    parts = placed.message.parts
    return placed.message.role == "event" and len(parts) == 1 and is_search(part_text(parts[0]))


def _texts_of(spans: Sequence[RecordedSpan]) -> list[tuple[str, str]]:
    texts: list[tuple[str, int, str]] = []
    for recorded in spans:
        own = recorded.span.attributes.get(SELECTION_ATTRIBUTE)
        if isinstance(own, str):
            texts.append((recorded.span.started or "", recorded.position, own))
        for event in recorded.span.events:
            inner = event.attributes.get(SELECTION_ATTRIBUTE)
            if isinstance(inner, str):
                texts.append((event.at or recorded.span.started or "", recorded.position, inner))
    return [(at, text) for at, _, text in sorted(texts, key=lambda one: one[:2])]


class _Marker:
    """Ties what the events say to the calls that wrote and scored it, where those were recorded."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._branches = Branches(layout)
        self._taken: set[str] = set()
        self._looks = 0
        self._found = len(layout.steps)
        """Steps before any event was read; those behind are of events."""
        self._texts = {
            step.id: layout.text(step.span)
            for step in layout.steps
            if step.call is not None and step.kind in ("answer", "thought") and step.span is not None
        }

    def recorded(self, told: Sequence[_Told]) -> None:
        layout, event = self._layout, self._layout.root
        chosen: list[str] = []
        for one in told:
            if one.message is None:
                message = Message(role="event", parts=(Text(text=one.text),))
                placed = PlacedMessage(id=message_id(message, event), parent=event, message=message)
                layout.add_message(placed)
                event = placed.id
            at = one.message or event
            if isinstance(one.said, Choice):
                self._choice(one.said, at, one.at)
                chosen.append(one.said.candidates[one.said.chosen].text.strip())
            else:
                self._walk(one.said, at, one.at)
        self._lead_on(chosen)
        self._order()
        layout.branches = self._branches.all()

    def _choice(self, choice: Choice, message: str, at: str | None) -> None:
        layout = self._layout
        ties = self._branches.ties(choice)
        branches, scores = [], []
        for place, (one, tie) in enumerate(zip(choice.candidates, ties, strict=True)):
            branches.append(self._branch(one.text, message, f"/candidates/{place}/text", at, tie.begun))
        for one, branch in zip(choice.candidates, branches, strict=True):
            scores.append(self._score(one.text, one.score, branch))
        cause = scores[choice.chosen] or branches[choice.chosen]
        took = choice.candidates[choice.chosen].text
        label = f"{choice.selector} took {took}"
        if len(choice.kept) > 1:
            label = f"{choice.selector} kept {len(choice.kept)} of {len(branches)}, first {took}"
        step = layout.add_step(
            "selection", parent=cause.id, call=None, message=message, span=layout.field(message, "/chosen"),
            label=label, at=at, rule="selection_event",
        )  # fmt: skip
        ids = tuple(branch.id for branch in branches)
        layout.selections.append(Selection(
            step=step.id, selector=choice.selector, scores=choice.scores, candidates=ids, chosen=choice.chosen,
            kept=choice.kept,
        ))  # fmt: skip
        self._branches.choose(choice, branches, [score.id if score else None for score in scores], ties)

    def _walk(self, walk: Walk, message: str, at: str | None) -> None:
        for place, visit in enumerate(walk.visits):
            pointer = f"/visits/{place}/path/{len(visit.path) - 1}"
            branch = self._branch(visit.path[-1], message, pointer, at)
            score = None if visit.score is None else self._score(visit.path[-1], visit.score, branch)
            self._layout.visits.append(Visited(step=branch.id, message=message, place=place, walk=walk))
            self._branches.visit(walk, visit, branch, score.id if score else None)

    def _branch(self, text: str, message: str, pointer: str, at: str | None, begun: int = 0) -> Step:
        """The first unclaimed output that contains the text, or what it adds to its parent's; else what it adds, where
        the event says it. The parent's text is its first `begun` characters."""
        layout, own = self._layout, text[begun:]
        for wanted in dict.fromkeys((text.strip(), own.strip())):
            written = self._written(wanted) if wanted else None
            if written is not None:
                self._taken.add(written.id)
                return layout.replace_step(
                    written, kind="branch", parent=written.parent, rule="candidate_text", grade="recorded"
                )
        layout.gaps.append("a candidate of a selection was written by no recorded call")
        return layout.add_step(
            "branch", parent=None, call=None, message=message, span=_behind_parent(layout, message, pointer, begun),
            label=own, at=at, rule="selection_event",
        )  # fmt: skip

    def _written(self, wanted: str) -> Step | None:
        layout = self._layout
        for call in layout.calls if self._may_look() else ():
            for step in layout.of_call.get(call.id, ()):
                if step.id not in self._texts or step.id in self._taken:
                    continue
                if self._may_look() and wanted in self._texts[step.id]:
                    return step
        return None

    def _score(self, text: str, score: float, branch: Step) -> Step | None:
        """The first unclaimed output whose prompt ends with the candidate and whose last number is its score."""
        layout, wanted = self._layout, text.strip()
        for call in layout.calls if wanted and self._may_look() else ():
            if call.id == branch.call or not self._may_look() or wanted not in last_input(layout, call):
                continue
            for step in layout.of_call.get(call.id, ()):
                if step.kind != "answer" or step.span is None or step.id in self._taken:
                    continue
                numbers = _NUMBERS.findall(self._texts[step.id])
                if numbers and float(numbers[-1]) == score:
                    self._taken.add(step.id)
                    return layout.replace_step(
                        step, kind="score", parent=branch.id, rule="candidate_in_prompt", grade="recorded"
                    )
        return None

    def _may_look(self) -> bool:
        self._looks += 1
        if self._looks == _MOST_LOOKS:
            self._layout.gaps.append(f"only {_MOST_LOOKS} texts were searched for candidates of selections")
        return self._looks < _MOST_LOOKS

    def _lead_on(self, chosen: Sequence[str]) -> None:
        """A later call whose prompt holds the chosen text was caused by the selection."""
        layout = self._layout
        for selection, text in zip(layout.selections, chosen, strict=True):
            for call in layout.calls if text and self._may_look() else ():
                own = layout.of_call.get(call.id, [])
                if not own or any(step.id in self._taken for step in own):
                    continue
                if self._may_look() and text in last_input(layout, call):
                    layout.replace_step(
                        own[0], kind=own[0].kind, parent=selection.step, rule="chosen_in_prompt", grade="inferred"
                    )

    def _order(self) -> None:
        """Every selection stands right behind the last branch or score it was given; steps of a transcript's event
        stand where the event does."""
        layout = self._layout
        places = {message: place for place, message in enumerate(layout.placed)}
        scores = {step.parent: step for step in layout.steps if step.kind == "score"}
        steps = {step.id: step for step in layout.steps}
        behind: dict[str, str] = {}
        for selection in layout.selections:
            given = [steps[one] for one in selection.candidates if one in steps]
            given += [scores[one.id] for one in given if one.id in scores]
            if given:
                behind[selection.step] = max(given, key=lambda one: one.order).id
        made = layout.steps[self._found :]
        own = [step for step in made if step.id not in behind]
        rest = layout.steps[: self._found]
        layout.steps[:] = _behind(_merged(rest, own, places), behind, steps)
        layout.renumber()


def _behind_parent(layout: Layout, message: str, pointer: str, begun: int) -> Span:
    """The span of a JSON string without its first characters."""
    whole = layout.field(message, pointer)
    if not begun:
        return whole
    content = layout.text(whole)
    return replace(whole, start=whole.start + len(content[: raw_place(content, begun)].encode()))


def _merged(rest: Sequence[Step], own: Sequence[Step], places: dict[str, int]) -> list[Step]:
    """`own` steps among the others, each before the first one whose message comes later than its own."""
    found: list[Step] = []
    waiting = list(reversed(own))
    for step in rest:
        here = places.get(step.message or "", -1)
        while waiting and here > places[waiting[-1].message or ""]:
            found.append(waiting.pop())
        found.append(step)
    return [*found, *reversed(waiting)]


def _behind(order: Sequence[Step], behind: dict[str, str], steps: dict[str, Step]) -> list[Step]:
    """Selections put behind what they were given."""
    following: dict[str, list[Step]] = {}
    for selection, last in behind.items():
        following.setdefault(last, []).append(steps[selection])
    return [one for step in order for one in (step, *following.get(step.id, ()))]


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
    branches = Branches(layout)
    for call, proposes, scores in zip(calls, proposing, scoring, strict=True):
        for step in list(layout.of_call.get(call.id, ())):
            if step.kind != "answer" or step.span is None:
                continue
            if scores:
                parent = branches.proposed_in(last_input(layout, call))
                cause = parent or step.parent
                score = layout.replace_step(step, kind="score", parent=cause, rule="prompt_shape", grade="inferred")
                numbers = _NUMBERS.findall(layout.text(step.span))
                if parent is not None and numbers:
                    branches.valued(parent, float(numbers[-1]), score)
            elif proposes:
                branches.propose(
                    layout.replace_step(step, kind="branch", parent=step.parent, rule="prompt_shape", grade="inferred")
                )
    layout.branches = branches.all()


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
        if system and user:
            break
    return system, short(user)
