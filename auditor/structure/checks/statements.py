"""Values that a reply states, each with the words that say what it is: read line by line, as lists are written.

A statement is a value of auditor.structure.values, or a code in capitals (`JFK`, `HATHAT`), in a text part that the
model wrote for somebody: reasoning and text marked as thought or step are left out, so are list marks (`1.`).
`label` holds the words between the value and what stands before it on its line (another value, a comma, a stop);
`indent` is how far its line is set in. Not seen: tables, values whose name stands behind them (`12 seats`) apart from
one following word, kept in `unit`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from auditor.records.messages import Span, Text
from auditor.records.structure import Step
from auditor.structure.checks.forms import forms_of, kind_of
from auditor.structure.layout import Layout
from auditor.structure.values import Value

_CODE = re.compile(r"(?<![\w'’-])[A-Z]{3,}(?![\w'’-])")
_WORD = re.compile(r"[^\W\d_]+")
_LEAD = re.compile(r"\s*(?:(?:[-*+•–]|\d{1,3}[.)])\s+)?(?:\*\*|__)?")
_BULLET = re.compile(r"\s*(?:[-*+•–]|\d{1,3}[.)])\s")
_SPLIT = re.compile(r"[.;,!?|(]\s|\s[-–—]\s|\)")
_LIST_MARK = re.compile(r"\s*(?:\*\*)?\Z")
_LAST = re.compile(r"([^\W\d_]+|[^\w\s*])[\s*]*\Z")
_AFTER = 24


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A stated value. Offsets of `span` are bytes of the part's text."""

    span: Span
    text: str
    kind: str
    forms: frozenset[str]
    label: tuple[str, ...]
    unit: str
    lead: str
    """The word or mark right before it, without blanks and emphasis."""
    follows: str
    """The mark right behind it, blanks and emphasis aside: a colon says that it names what comes next."""
    line: int
    indent: int
    labelled: bool
    """A colon parts it from its label: `Economy Price: $121`."""
    heads: bool
    """It stands in the first words of its line, which what is set in below speaks of."""


def written(layout: Layout, step: Step) -> bool:
    """The step is text the model wrote for somebody: no reasoning, no marked thought."""
    if step.call is None or step.span is None or step.kind not in ("answer", "thought", "branch"):
        return False
    if step.kind == "thought" and step.rule:
        return False
    return isinstance(layout.message(step.span.message).parts[step.span.part], Text)


def statements(layout: Layout, step: Step) -> list[Statement]:
    """Stated values of one step, in order."""
    if step.span is None:
        return []
    message, part = step.span.message, step.span.part
    data = layout.part_text(message, part).encode()
    lines = _line_starts(data)
    found = []
    before = 0
    for value in sorted([*layout.values_of(step.span), *_codes(data, step.span)], key=lambda one: one.start):
        line = bisect_right(lines, value.start) - 1
        if value.kind == "flag" or value.start < before or _is_list_mark(data, lines[line], value):
            continue
        cut = max(lines[line], before)
        if _is_name(data, cut, value):
            continue
        between = data[cut : value.start].decode(errors="replace")
        label, labelled = _label(between)
        lead = _LAST.search(between)
        after = data[value.end : value.end + _AFTER].decode(errors="replace")
        head = data[lines[line] : value.start].decode(errors="replace")
        unit = _WORD.match(after.lstrip(" *"))
        found.append(Statement(
            span=Span(message=message, part=part, start=value.start, end=value.end), text=value.text,
            kind=kind_of(value), forms=forms_of(value, after), label=label, labelled=labelled,
            follows=after.lstrip(" *")[:1],
            lead=lead[1].casefold() if lead else "", unit=unit[0].casefold() if unit else "", line=line,
            indent=_indent(head),
            heads=not labelled and cut == lines[line] and len(_WORD.findall(head)) <= 3,
        ))  # fmt: skip
        before = value.end
    return found


def _codes(data: bytes, span: Span) -> Iterator[Value]:
    """Codes in capitals, which are no typed values: they have no digit."""
    text = data[span.start : span.end].decode(errors="replace")
    ascii_only = text.isascii()
    for hit in _CODE.finditer(text):
        start = hit.start() if ascii_only else len(text[: hit.start()].encode())
        at = span.start + start
        yield Value(kind="id", key=f"id:{hit[0].casefold()}", text=hit[0], start=at, end=at + len(hit[0]))


def _line_starts(data: bytes) -> list[int]:
    starts, at = [0], data.find(b"\n")
    while at >= 0:
        starts.append(at + 1)
        at = data.find(b"\n", at + 1)
    return starts


def _is_name(data: bytes, cut: int, value: Value) -> bool:
    """Capitals that name what follows (`(DOB: 1970-06-06`), no value."""
    if not value.text.isalpha() or data[value.end : value.end + 1] != b":":
        return False
    return data[cut : value.start].decode(errors="replace").rstrip(" *")[-1:] in ("", "(", ",", "-", "\n")


def _indent(head: str) -> int:
    """How far a line is set in; a list item stands deeper than plain text at the same column."""
    blanks = len(head) - len(head.lstrip())
    return 2 * blanks + (_BULLET.match(head) is not None)


def _is_list_mark(data: bytes, line: int, value: Value) -> bool:
    head = data[line : value.start].decode(errors="replace")
    return data[value.end : value.end + 1] in (b".", b")") and _LIST_MARK.match(head) is not None


def _label(before: str) -> tuple[tuple[str, ...], bool]:
    """Words that name a value, and whether a colon parts them from it."""
    lead = _LEAD.match(before)
    text = before[lead.end() if lead else 0 :].rstrip()
    if text.endswith("("):
        text = text[:-1]
    name, colon, rest = text.rpartition(":")
    if colon and not _WORD.search(rest):
        own, labelled = name, True
    else:
        own, labelled = _SPLIT.split(rest if colon else text)[-1], False
    return tuple(word.casefold() for word in _WORD.findall(own)), labelled
