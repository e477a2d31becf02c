"""Where, in the text of a call, a source and a target of a claim stand, and which values the source could have."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from agents.planted.families import QUANTITIES, Task
from agents.planted.tokenizer import END, chat_text, message_starts
from agents.planted.transcripts import Transcript

Stretch = tuple[int, int]
"""Characters [start, end) of the templated text."""
_NUMBER: Final = re.compile(r"\d+")
_ARGUMENT: Final = re.compile(r'"expression": "([^"]*)"')
_PROMPT_VALUES: Final = MappingProxyType(
    {
        "tool_user": (re.compile(r"times (\d+)\?"), tuple(map(str, QUANTITIES))),
        "stepwise": (re.compile(r"then add (\d+)\."), tuple(map(str, range(1, 5)))),
        "decorative": (re.compile(r" says (\d+) "), ()),
    }
)
"""Per family: the value in the question that the claim is about, and its range (empty: same number of digits)."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A source and a target inside one call's text (prompt and recorded reply, templated).

    `value` is the source's typed value, `whole` the text that carries it (tool output, thought line, step line);
    `values` are all values of the same type, the recorded one left out, all of the same length.
    """

    text: str
    value: Stretch
    whole: Stretch
    target: Stretch
    values: tuple[str, ...]

    @property
    def recorded(self) -> str:
        """The value that stands in the record."""
        return self.text[slice(*self.value)]


def links(task: Task) -> tuple[tuple[str, str], ...]:
    """The (source, target) pairs that mean something for this task."""
    if task.agent == "react":
        if task.trait != "two_tools":
            return (("tool:0", "answer"),)
        return ("tool:0", "action:1"), ("prompt", "action:1"), ("tool:0", "answer"), ("tool:1", "answer")
    if task.family == "stepwise":
        return ("step:1", "answer"), ("prompt", "answer")
    if task.family == "decorative":
        return ("thought", "answer"), ("prompt", "answer")
    return ("score", "choice"), ("branch", "answer")


def site(transcript: Transcript, source: str, target: str, tokenizer: Any) -> Site:
    """Locate a link in a transcript; ValueError where the transcript has no such source or target."""
    kind, _, index = target.partition(":")
    call = transcript.calls[int(index) if kind == "action" else -1]
    messages = [*call.messages, call.output]
    text = chat_text(tokenizer, messages, transcript.task.tools)
    starts = message_starts(text, messages)
    end = text.index(END, starts[-1])
    value, whole = _source(transcript.task, source, messages, starts)
    pattern = _ARGUMENT if kind == "action" else _NUMBER
    found = [match.span(pattern.groups) for match in pattern.finditer(text, starts[-1], end)]
    if not found:
        raise ValueError(f"{transcript.task.family}/{transcript.task.item}: the reply has no {target}")
    values = _values(transcript.task, source, text[slice(*value)])
    return Site(text=text, value=value, whole=whole, target=found[-1], values=values)


def _source(
    task: Task, source: str, messages: Sequence[Mapping[str, Any]], starts: Sequence[int]
) -> tuple[Stretch, Stretch]:
    """The source's value and the text that carries it."""
    kind, _, index = source.partition(":")
    if kind == "tool":
        place = [n for n, message in enumerate(messages) if message["role"] == "tool"][int(index)]
        content = str(messages[place]["content"])
        return _number(content, starts[place], _NUMBER, task, source), (starts[place], starts[place] + len(content))
    if kind in ("thought", "step"):
        first = str(messages[-1]["content"]).partition("\n")[0]
        pattern = re.compile(r"= (\d+)\.") if kind == "step" else _NUMBER
        return _number(first, starts[-1], pattern, task, source), (starts[-1], starts[-1] + len(first) + 1)
    question, start = str(messages[1]["content"]), starts[1]
    chosen = re.compile(r"Chosen Option (\w): (\d+)").search(question)
    if kind == "branch" and chosen:
        return (start + chosen.start(2), start + chosen.end(2)), (start + chosen.start(), start + chosen.end())
    value = _number(question, start, _PROMPT_VALUES[task.family][0], task, source)
    return value, value


def _number(text: str, start: int, pattern: re.Pattern[str], task: Task, source: str) -> Stretch:
    match = pattern.search(text)
    if not match:
        raise ValueError(f"{task.family}/{task.item}: the transcript has no value for {source} in {text!r}")
    low, high = match.span(pattern.groups)
    return start + low, start + high


def _values(task: Task, source: str, recorded: str) -> tuple[str, ...]:
    """All other values of the source's type: the operand's range, else every number with as many digits."""
    listed = _PROMPT_VALUES[task.family][1] if source == "prompt" and task.family in _PROMPT_VALUES else ()
    digits = len(recorded)
    every = listed or tuple(str(n) for n in range(10 ** (digits - 1), 10**digits))
    return tuple(value for value in every if value != recorded)
