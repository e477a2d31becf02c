"""What is explained: the log-probability of the decision tokens, and what a changed source would imply instead.

Torch-free. A decision is copied from its source, or computed from it by one arithmetic step; the record's value links
say which. `implied` redoes that step with another value, so that a swap can ask whether the decision follows it.
"""

import operator
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation

from auditor.records.messages import Message, Span, span_text
from auditor.records.structure import Structure, ValueLink

_RULES: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "sum": operator.add, "difference": operator.sub, "product": operator.mul, "quotient": operator.truediv,
}  # fmt: skip


def same_place(a: Span, b: Span) -> bool:
    """Whether two spans overlap in the same part."""
    return a.message == b.message and a.part == b.part and a.start < b.end and b.start < a.end


def standing(piece: str, text: str) -> tuple[int, int] | None:
    """Where `piece` stands in `text` as a whole value: "2" does not stand in "25", nor "lamp" in "lamps"."""
    if not piece.strip():
        return None
    same = {True: r"\d", False: r"[^\W\d_]"}
    before = f"(?<!{same[piece[0].isdigit()]})" if piece[0].isalnum() else ""
    after = f"(?!{same[piece[-1].isdigit()]})" if piece[-1].isalnum() else ""
    found = re.search(before + re.escape(piece) + after, text)
    return found.span() if found else None


def implied(
    source: str, replacement: str, decision: str, source_span: Span, target: Span,
    structure: Structure, texts: Callable[[Span], str],
) -> str | None:  # fmt: skip
    """The decision text that `replacement` implies where `source` implied `decision`; None when nothing says.

    First choice is a copy (the source's text stands in the decision); else a recorded derivation is computed again.
    """
    within = standing(source, decision)
    if within is not None:
        return decision[: within[0]] + replacement + decision[within[1] :]
    around = standing(decision, source)
    if around is not None:
        return replacement[around[0] : around[1]] if len(replacement) == len(source) else None
    for link in structure.links:
        if same_place(link.later, target) and link.rule != "copy":
            found = _derived(link, source, replacement, decision, source_span, texts)
            if found is not None:
                return found
    return None


def _derived(
    link: ValueLink, source: str, replacement: str, decision: str, span: Span, texts: Callable[[Span], str]
) -> str | None:
    operands = [link.earlier, *link.others]
    numbers = [_number(texts(operand)) for operand in operands]
    changed = [place for place, operand in enumerate(operands) if same_place(operand, span)]
    old, new, result = _number(source), _number(replacement), _number(decision)
    if not changed:  # the same value copied on its way: an operand that equals the source
        changed = [place for place, number in enumerate(numbers) if number is not None and number == old]
    if len(changed) != 1 or new is None or result is None or any(number is None for number in numbers):
        return None
    known = [number for number in numbers if number is not None]
    for order in (known, known[::-1]):
        if _fold(link.rule, order) != result:
            continue
        swapped = [new if place == changed[0] else number for place, number in enumerate(known)]
        value = _fold(link.rule, swapped if order is known else swapped[::-1])
        if value is not None and value == value.to_integral_value() and value >= 0:
            return decision.replace(str(int(result)), str(int(value))) if str(int(result)) in decision else None
    return None


def _fold(rule: str, numbers: Iterable[Decimal]) -> Decimal | None:
    rest = iter(numbers)
    total = next(rest)
    for number in rest:
        try:
            total = _RULES[rule](total, number)
        except (InvalidOperation, ZeroDivisionError):
            return None
    return total


def _number(text: str) -> Decimal | None:
    digits = "".join(c for c in text if c.isdigit() or c in ".-")
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


def text_of(messages: dict[str, Message] | object, span: Span) -> str:
    """The recorded text of a span; empty where the message is gone or the span cuts a character."""
    message = messages.get(span.message) if hasattr(messages, "get") else None
    if message is None or span.part >= len(message.parts):
        return ""
    try:
        return span_text(message, span)
    except UnicodeDecodeError:
        return ""
