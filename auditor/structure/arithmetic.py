"""Calculations written out in a text, `a + b = c`, read and computed again with exact rationals; no eval.

Not read: names (`x + 3 = 7`), brackets, several `=` in a row, more than 50 operators.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from auditor.structure.values import rational

_N = r"[$€£¥]?\d[\d,]*(?:\.\d+)?"
_CHAIN = re.compile(rf"{_N}(?:\s*[-+*/×÷−x]\s*{_N})*")
"""Numbers joined by operators, as long as possible: each text is walked once."""
_RESULT = re.compile(rf"\s{{0,3}}=\s{{0,3}}(?P<right>-?{_N})(?!\s{{0,3}}[-+*/×÷^%=]|[\w,]*\.?\d)")
_JOINED = re.compile(r"(?:[\w.,+*/×÷=$€£¥^(−-]|[\w)%]\s{0,3}[-+*/×÷=−^]\s{0,3})\Z")
"""What stands before a chain that is only the tail of something longer."""
_PIECES = re.compile(rf"{_N}|[-+*/×÷−x]")
_MOST_OPERATORS = 50
_APPLY: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add, "-": operator.sub, "−": operator.sub, "*": operator.mul, "×": operator.mul, "x": operator.mul,
    "/": operator.truediv, "÷": operator.truediv,
}  # fmt: skip
_STRONG = frozenset("*×x/÷")


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A stated calculation: what the left side is, what the right side says, and their character ranges."""

    left: str
    right: str
    value: Fraction
    stated: Fraction
    left_at: tuple[int, int]
    right_at: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Right to half a unit of the last stated decimal; whole numbers must be exact."""
        decimals = len(self.right.partition(".")[2])
        return abs(self.value - self.stated) <= (Fraction(1, 2 * 10**decimals) if decimals else 0)


def sums(text: str) -> Iterator[Sum]:
    """Stated calculations of a text, in order."""
    for chain in _CHAIN.finditer(text):
        start, end = chain.span()
        result = _RESULT.match(text, end)
        if result is None or _JOINED.search(text[max(0, start - 8) : start]):
            continue
        value, stated = recompute(chain[0]), _number(result["right"])
        if value is not None and stated is not None and not chain[0].lstrip("$€£¥").replace(",", "").isdigit():
            yield Sum(left=chain[0], right=result["right"], value=value, stated=stated, left_at=(start, end),
                      right_at=result.span("right"))  # fmt: skip


def recompute(expression: str) -> Fraction | None:
    """Value of numbers joined by + - * / with the usual precedence; None for one it cannot compute or a lone number."""
    pieces = _PIECES.findall(expression)
    read = [_number(piece) for piece in pieces[::2]]
    values = [number for number in read if number is not None]
    marks = pieces[1::2]
    if len(pieces) % 2 == 0 or len(values) < len(read) or not 0 < len(marks) <= _MOST_OPERATORS:
        return None
    try:
        for strong in (True, False):
            at = 0
            while at < len(marks):
                if (marks[at] in _STRONG) == strong:
                    values[at : at + 2] = [_APPLY[marks[at]](values[at], values[at + 1])]
                    del marks[at]
                else:
                    at += 1
    except ZeroDivisionError:
        return None
    return values[0]


def _number(text: str) -> Fraction | None:
    return rational(text.replace("$", "").replace("€", "").replace("£", "").replace("¥", "").rstrip(","))
