"""Arithmetic expressions as tokens, computed with exact rationals; no eval, no recursion, and bounded in every way.

Operators: + - * / with their typographic kin, `x` between numbers, `of` behind a percentage or a fraction, ^ and **
with small whole exponents, ² and ³, a number before a bracket. Precedence is the usual one; powers group to the right.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

MOST_OPERATORS = 50
_MOST_BITS = 4096
_HIGHEST_POWER = 64
_APPLY: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "negate": 3, "^": 4}
SIGNS = {
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "×": "*", "·": "*", "x": "*", "X": "*", "of": "*", "/": "/",
    "÷": "/", "^": "^", "**": "^", "\\times": "*", "\\cdot": "*", "\\div": "/",
}  # fmt: skip
"""What is written → the operator it means."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A number (`sign` is empty), an operator or a bracket, at characters [start, end)."""

    sign: str
    start: int
    end: int
    number: Fraction = Fraction(0)
    percent: bool = False
    unit: str = ""
    """Words behind the number."""


def value_of(tokens: Sequence[Token]) -> Fraction | None:
    """The value of an expression; None for one that is not well formed, divides by zero, adds a percentage to what is
    none, or grows beyond bounds."""
    if sum(token.sign in SIGNS for token in tokens) > MOST_OPERATORS or _mixes_percent(tokens):
        return None
    numbers: list[Fraction] = []
    waiting: list[str] = []
    operand = False
    for token in tokens:
        sign = SIGNS.get(token.sign, token.sign)
        if not sign:
            if operand:
                return None
            numbers.append(token.number)
            operand = True
        elif sign == "(":
            if operand:
                return None
            waiting.append(sign)
        elif sign == ")":
            if not operand or not _until_open(numbers, waiting):
                return None
        elif not operand:
            if sign != "-":
                return None
            waiting.append("negate")
        else:
            while waiting and waiting[-1] != "(" and (_RANK[waiting[-1]], sign != "^") > (_RANK[sign], False):
                if not _apply(numbers, waiting.pop()):
                    return None
            waiting.append(sign)
            operand = False
    if not operand or "(" in waiting:
        return None
    while waiting:
        if not _apply(numbers, waiting.pop()):
            return None
    return numbers[0] if len(numbers) == 1 else None


def _until_open(numbers: list[Fraction], waiting: list[str]) -> bool:
    while waiting and waiting[-1] != "(":
        if not _apply(numbers, waiting.pop()):
            return False
    return bool(waiting) and waiting.pop() == "("


def _apply(numbers: list[Fraction], sign: str) -> bool:
    """Replace the last operands by their result; False where there is none."""
    if sign == "negate":
        numbers[-1] = -numbers[-1]
        return True
    right = numbers.pop()
    left = numbers.pop()
    if sign == "^":
        power = _power(left, right)
        if power is None:
            return False
        numbers.append(power)
    elif sign == "/" and right == 0:
        return False
    else:
        numbers.append(_APPLY[sign](left, right))
    return _bits(numbers[-1]) <= _MOST_BITS


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1 or abs(exponent) > _HIGHEST_POWER or (base == 0 and exponent < 0):
        return None
    if _bits(base) * max(1, abs(exponent.numerator)) > _MOST_BITS:
        return None
    return Fraction(base**exponent.numerator)


def _bits(number: Fraction) -> int:
    return number.numerator.bit_length() + number.denominator.bit_length()


def _mixes_percent(tokens: Sequence[Token]) -> bool:
    """`200 + 10%` means one thing on paper and another on a calculator, so it is not computed."""
    if not any(token.percent for token in tokens) or not any(SIGNS.get(token.sign) in ("+", "-") for token in tokens):
        return False
    return not all(token.percent for token in tokens if not token.sign)


__all__ = ["MOST_OPERATORS", "SIGNS", "Token", "value_of"]
