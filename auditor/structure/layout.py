"""A run laid out: its messages in order, its model calls, and the steps that were cut from them.

`Layout` is what segment and tree fill and what links, claims and checks read.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from auditor.records.canonical import content_id
from auditor.records.messages import Message, PlacedMessage, Span, part_text
from auditor.records.structure import Branch, ModelCall, SampleSet, Selection, Step, StepKind
from auditor.structure.fields import fields
from auditor.structure.searches import Visited
from auditor.structure.texts import sentences
from auditor.structure.values import Value, values_in

LABEL = 80
_WORD = re.compile(r"\w+")
_FIRST, _LATEST = 16, 48


@dataclass
class Layout:
    """Filled while a run is cut; nothing else in this room is mutable."""

    run: str
    project: str = "default"
    placed: dict[str, PlacedMessage] = field(default_factory=dict)
    calls: list[ModelCall] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    visits: list[Visited] = field(default_factory=list)
    """Of a depth-first search, in their order."""
    samples: list[SampleSet] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    of_call: dict[str, list[Step]] = field(default_factory=dict)
    """Steps cut from the output of a call."""
    _values: dict[tuple[str, int], tuple[Value, ...]] = field(default_factory=dict)
    _starts: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    _bytes: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _sentences: dict[tuple[str, int, int, int], list[tuple[int, int]]] = field(default_factory=dict)
    _lowered: dict[str, str] = field(default_factory=dict)
    _words: dict[str, list[int]] = field(default_factory=dict)
    _indexed: int = -1
    _calls: dict[str, ModelCall] = field(default_factory=dict)
    leaves: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Step → the scalars of its JSON text as the record checks read them, kept by them."""
    _fields: dict[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Stands before the first message: the same words in two runs are two messages, so are their claims."""
        return content_id({"project": self.project, "run": self.run})

    def add_message(self, placed: PlacedMessage) -> bool:
        """True when the message is new to the run."""
        if placed.id in self.placed:
            return False
        self.placed[placed.id] = placed
        return True

    def add_step(
        self, kind: StepKind, *, parent: str | None, call: str | None, message: str | None, span: Span | None,
        label: str, at: str | None, grade: str = "recorded", rule: str = "",
    ) -> Step:  # fmt: skip
        """Append a step; its id covers run, kind, call, message and span, so it does not depend on later steps."""
        own = content_id({
            "project": self.project, "run": self.run, "kind": kind, "call": call, "message": message,
            "span": None if span is None else vars(span),
        })  # fmt: skip
        step = Step(id=own, kind=kind, parent=parent, call=call, message=message, span=span, label=short(label),
                    order=len(self.steps), at=at, grade=grade, rule=rule)  # type: ignore[arg-type]  # fmt: skip
        self.steps.append(step)
        if call is not None:
            self.of_call.setdefault(call, []).append(step)
        return step

    def replace_step(self, step: Step, *, kind: StepKind, parent: str | None, rule: str, grade: str) -> Step:
        """Give a step the part it plays in a tree; its id stays."""
        changed = replace(step, kind=kind, parent=parent, rule=rule, grade=grade)  # type: ignore[arg-type]
        self.steps[step.order] = changed
        if step.call is not None:
            own = self.of_call[step.call]
            own[own.index(step)] = changed
        return changed

    def renumber(self) -> None:
        """Make every step's `order` its index again after steps were moved."""
        self.steps[:] = [replace(step, order=index) for index, step in enumerate(self.steps)]
        self.of_call = {}
        for step in self.steps:
            if step.call is not None:
                self.of_call.setdefault(step.call, []).append(step)

    def message(self, message_id: str) -> Message:
        return self.placed[message_id].message

    def text(self, span: Span) -> str:
        key = (span.message, span.part)
        if key not in self._bytes:
            self._bytes[key] = self.part_text(*key).encode()
        return self._bytes[key][span.start : span.end].decode()

    def sentences_of(self, span: Span) -> list[tuple[int, int]]:
        """Byte ranges of the sentences of a span, within its part; cut once."""
        key = (span.message, span.part, span.start, span.end)
        if key not in self._sentences:
            at = span.start
            self._sentences[key] = [(at + start, at + end) for start, end in sentences(self.text(span))]
        return self._sentences[key]

    def part_text(self, message: str, part: int) -> str:
        return part_text(self.message(message).parts[part])

    def values(self, message: str, part: int) -> tuple[Value, ...]:
        """Values of a part's text, read once."""
        key = (message, part)
        if key not in self._values:
            self._values[key] = values_in(self.part_text(message, part))
        return self._values[key]

    def values_of(self, span: Span) -> tuple[Value, ...]:
        """Values that lie inside a span."""
        values = self.values(span.message, span.part)
        key = (span.message, span.part)
        if key not in self._starts:
            self._starts[key] = [value.start for value in values]
        starts = self._starts[key]
        inside = values[bisect_left(starts, span.start) : bisect_left(starts, span.end)]
        return tuple(value for value in inside if value.end <= span.end)

    def field(self, message: str, pointer: str) -> Span:
        """The span of a scalar JSON field of a message's first part; KeyError when there is none."""
        if message not in self._fields:
            self._fields[message] = fields(self.part_text(message, 0))
        start, end = self._fields[message][pointer]
        return Span(message=message, part=0, start=start, end=end, pointer=pointer)

    def with_words(self, wanted: str, before: int) -> list[Step]:
        """Prompts and tool results before a step's order that hold the rarest of these words, whatever its case.

        Of very many the first 16 and the last 48, so that a run costs what is in it and not its square.
        """
        if len(self.steps) != self._indexed:
            self._words, self._indexed = {}, len(self.steps)
            for step in self.steps:
                if step.kind in ("prompt", "tool_result") and step.span is not None:
                    for word in set(_WORD.findall(self.text(step.span).lower())):
                        self._words.setdefault(word, []).append(step.order)
        holders = [self._words.get(word, []) for word in _WORD.findall(wanted.lower())]
        if not holders:
            return []
        rarest = min(holders, key=len)
        rarest = rarest[: bisect_left(rarest, before)]
        if len(rarest) > _FIRST + _LATEST:
            rarest = [*rarest[:_FIRST], *rarest[-_LATEST:]]
        return [self.steps[at] for at in rarest]

    def may_contain(self, step: Step, wanted: str) -> bool:
        """Quick look before a search: whether a step's text holds these words, whatever their case."""
        if step.span is None:
            return False
        if step.id not in self._lowered:
            self._lowered[step.id] = self.text(step.span).lower()
        return wanted.lower() in self._lowered[step.id]

    def call(self, call_id: str) -> ModelCall:
        if len(self._calls) < len(self.calls):
            self._calls = {call.id: call for call in self.calls}
        return self._calls[call_id]


def value_span(message: str, part: int, value: Value) -> Span:
    """Where a value stands."""
    return Span(message=message, part=part, start=value.start, end=value.end, pointer=value.pointer)


def whole(message: str, part: int, text: str) -> Span:
    """A part's whole text."""
    return Span(message=message, part=part, start=0, end=len(text.encode()))


def short(text: str) -> str:
    """One line of at most 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LABEL else line[: LABEL - 1] + "…"


def last_input(layout: Layout, call: ModelCall) -> str:
    """Text of the last message a call saw."""
    if not call.inputs:
        return ""
    return "\n".join(part_text(part) for part in layout.message(call.inputs[-1]).parts)


def arguments_form(arguments: str) -> str:
    """Tool arguments without their spacing: clients write the JSON again when they send it back."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments
