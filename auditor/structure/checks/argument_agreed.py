"""argument_agreed: what a tool is called with is what the reply before it put up for confirmation.

Before it acts, an agent says what it will do and the user says yes. Three rules; the reply must ask, and a message of
somebody else must stand between it and the call:

listed   A line of the reply names a field of the arguments by all its words (`Cabin Class: Economy`): the argument, if
         it is a word, stands in one of those lines.
said     A word argument stands neither in the reply nor in the answer, though another value that field is known to take
         (from recorded fields of its name, or from the names of numbers in one field) does.
swapped  Of the ids of one shape, the dates, the amounts: the arguments hold exactly one that neither reply nor answer
         holds, and the reply exactly one that the arguments do not hold.

Not seen: what the user changed in the answer in other words than the argument's, and with it the fields it concerns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from auditor.records.messages import Span, ToolCall
from auditor.records.structure import Finding, Step
from auditor.structure.checks.forms import plain
from auditor.structure.checks.heard import Leaf, is_capitals
from auditor.structure.checks.protocol import Recorded, within
from auditor.structure.checks.statements import Statement, statements, written
from auditor.structure.values import Offsets

_LINE = re.compile(r"^[ \t]*(?:[-*+•–]|\d{1,3}[.)])?[ \t]*[*_]{0,3}(?P<label>[^\W\d_][^:\n]{1,40}):[*_]{0,3}[ \t]*"
                   r"[*_]{0,3}(?P<value>[^\n]{2,80}?)[*_ \t]*$", re.MULTILINE)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")
_ASKS = re.compile(r"[?？؟]|\bconfirm\b|\bproceed\b", re.IGNORECASE)
_BORN = frozenset({"birth", "dob", "born", "created"})
_BEFORE = frozenset({"current", "currently", "original", "old", "previous", "existing", "from"})
"""Words of a label that says how things are, not how they will be."""
_MOST_KNOWN = 20


@dataclass(frozen=True, kw_only=True)
class _Listed:
    words: frozenset[str]
    value: str
    span: Span


@dataclass
class _Put:
    """The last reply, what it put up for confirmation, and the answer so far."""

    step: Step
    text: str
    listed: Sequence[_Listed]
    stated: Sequence[Statement]
    answer: str = ""


@dataclass
class _Known:
    """Values recorded under a field's name, as words."""

    values: dict[str, dict[str, None]] = field(default_factory=dict)
    names: dict[str, dict[str, None]] = field(default_factory=dict)
    """Field -> names of the numbers in it (`prices: economy, business`)."""

    def add(self, leaf: Leaf) -> None:
        own = self.values.setdefault(leaf.path[-1] if leaf.path else "", {})
        if _is_word(leaf) and len(own) < _MOST_KNOWN:
            own[plain(leaf.text)] = None
        if leaf.kind == "number" and len(leaf.path) > 1:
            beside = self.names.setdefault(leaf.path[-2], {})
            if len(beside) < _MOST_KNOWN:
                beside[plain(leaf.path[-1])] = None

    def others(self, leaf: Leaf) -> dict[str, None]:
        """Values the field takes, and names that stand beside the value as names of numbers."""
        own = plain(leaf.text)
        found = dict(self.values.get(leaf.path[-1], {}))
        for names in self.names.values():
            if own in names:
                found |= names
        return found


def check(run: Recorded) -> list[Finding]:
    """One finding for each argument that differs from what was put up for confirmation."""
    findings: list[Finding] = []
    known = _Known()
    put: _Put | None = None
    for step in run.layout.steps:
        if step.kind == "prompt" and step.span is not None and put is not None:
            put.answer += " " + plain(run.layout.text(step.span))
        elif step.kind == "answer" and written(run.layout, step):
            put = _put(run, step)
        elif step.kind in ("tool_call", "tool_result"):
            if step.kind == "tool_call" and put is not None and put.answer:
                findings += _compare(run, step, put, known)
            for leaf in run.reader.leaves(step):
                known.add(leaf)
    return findings


def _put(run: Recorded, step: Step) -> _Put | None:
    if step.span is None:
        return None
    text = run.layout.text(step.span)
    if not _ASKS.search(text):
        return None
    offsets = Offsets(text)
    listed = [
        _Listed(
            words=frozenset(_WORD.findall(hit["label"].casefold())), value=plain(hit["value"]),
            span=within(step.span, offsets[hit.start("value")], offsets[hit.end("value")]),
        )
        for hit in _LINE.finditer(text)
    ]  # fmt: skip
    return _Put(step=step, text=text, listed=listed, stated=statements(run.layout, step))


def _compare(run: Recorded, call: Step, put: _Put, known: _Known) -> list[Finding]:
    part = run.part(call)
    name = part.name if isinstance(part, ToolCall) else "a tool"
    leaves = run.reader.leaves(call)
    wrong: list[tuple[Leaf, Span, str]] = []
    for leaf in leaves:
        if _is_word(leaf) and len(leaf.path) == 1 and not _holds(put.answer, plain(leaf.text)):
            found = _listed(leaf, put) or _said(leaf, put, known)
            if found is not None:
                wrong.append((leaf, *found))
    for group in ("code", "date", "number"):
        wrong += _swapped([leaf for leaf in leaves if leaf.kind == group], put)
    return [
        Finding(
            check="argument_agreed", holds=False, places=(leaf.span, span),
            message=f"{name} was called with {leaf.text} ({'/'.join(leaf.path)}); the reply before it said {said}.",
        )
        for leaf, span, said in wrong
    ]  # fmt: skip


def _listed(leaf: Leaf, put: _Put) -> tuple[Span, str] | None:
    words = {word.casefold() for word in _WORD.findall(leaf.path[0])}
    own = [one for one in put.listed if words and words <= one.words and not _BEFORE & one.words]
    if not own or any(_holds(one.value, plain(leaf.text)) for one in own):
        return None
    return own[0].span, own[0].value


def _said(leaf: Leaf, put: _Put, known: _Known) -> tuple[Span, str] | None:
    others = known.others(leaf)
    text = re.sub(r"[_-]", " ", put.text.casefold())
    own = plain(leaf.text)
    if own not in others or _first(text, own, others) is not None:
        return None
    for other in others:
        at = _first(text, other, others) if other != own else None
        if at is not None and put.step.span is not None:
            offsets = Offsets(put.text)
            if len(text) == len(put.text):
                return within(put.step.span, offsets[at], offsets[at + len(other)]), other
    return None


def _first(text: str, wanted: str, others: Sequence[str] | dict[str, None]) -> int | None:
    """Where a word stands by itself, not inside a longer value of the same field (`economy` in `basic economy`)."""
    covered = [
        hit.span() for other in others if other != wanted and wanted in other
        for hit in re.finditer(re.escape(other), text)
    ]  # fmt: skip
    for hit in re.finditer(rf"(?<!\w){re.escape(wanted)}(?!\w)", text):
        if not any(start <= hit.start() and hit.end() <= end for start, end in covered):
            return hit.start()
    return None


def _swapped(leaves: Sequence[Leaf], put: _Put) -> list[tuple[Leaf, Span, str]]:
    """The one value that was not put up, where just one of its shape that was put up is missing."""
    found: list[tuple[Leaf, Span, str]] = []
    shapes: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        if leaf.kind != "number" or len(leaf.text) > 1:
            shapes.setdefault(_shape(leaf.kind, leaf.text), []).append(leaf)
    for shape, own in shapes.items():
        asked = [
            one for one in put.stated if _shape(one.kind, one.text) == shape and not _BORN & set(one.label)
        ]  # fmt: skip
        extra = [one for one in own if not any(one.forms & other.forms for other in asked)]
        missing = {one.forms: one for one in asked if not any(one.forms & other.forms for other in own)}
        alone = len({one.forms for one in extra}) == 1 and len(missing) == 1 and len(own) > 1
        if alone and not _holds(put.answer, plain(extra[0].text)):
            (lost,) = missing.values()
            found += [(one, lost.span, lost.text) for one in extra]
    return found


def _shape(kind: str, text: str) -> str:
    return f"code {re.sub('[0-9]+', '9', text.casefold())}" if kind == "code" else kind


def _is_word(leaf: Leaf) -> bool:
    return leaf.kind == "text" and not is_capitals(leaf.text) and len(leaf.text.split()) <= 3


def _holds(text: str, said: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(said)}(?!\w)", text) is not None
