"""What a run asked of its tools up to each reply, and which results were errors. Read by the checks on actions.

A result is an error where the dialect says so, where its text begins with a word for one, or where it is a JSON object
with a truthy `error`. Errors that do not say that they are, are not seen.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from auditor.records.messages import Span, ToolCall, ToolResult
from auditor.records.structure import Step
from auditor.structure.checks.protocol import Recorded, within
from auditor.structure.cues import claimed_actions
from auditor.structure.values import Offsets

_FAILED = re.compile(r"\A\s*(?:error\b|exception\b|traceback\b|failed\b)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Act:
    """A word of a reply that says something was done, with all that had been asked and answered before it."""

    word: str
    said: Span
    asked: tuple[tuple[str, Step], ...]
    """Tool name and step of every call before it."""
    results: tuple[tuple[str, Step], ...]


def claimed(run: Recorded) -> Iterator[Act]:
    """Every claimed action of a run's replies, once a tool had been asked for anything."""
    asked: list[tuple[str, Step]] = []
    results: list[tuple[str, Step]] = []
    for step in run.layout.steps:
        part = run.part(step)
        if step.kind == "tool_call" and isinstance(part, ToolCall):
            asked.append((part.name, step))
        elif step.kind == "tool_result":
            results.append((run.names[step.id], step))
        elif step.kind == "answer" and step.span is not None and asked:
            text = run.layout.text(step.span)
            offsets = Offsets(text)
            for word, start, end in claimed_actions(text):
                said = within(step.span, offsets[start], offsets[end])
                yield Act(word=word, said=said, asked=tuple(asked), results=tuple(results))


def is_error(run: Recorded, step: Step) -> bool:
    """Whether a tool result says that the call failed."""
    part = run.part(step)
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
