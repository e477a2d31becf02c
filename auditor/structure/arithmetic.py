"""Calculations written out in a text, `a + b = c`, read and computed again with exact rationals; no eval.

Read: + - * / and powers, brackets, percent, currencies, fractions, several `=` in a row (each side against the next),
words behind numbers (`3 boxes x 4 = 12`), calculator annotations `<<a=b>>` (Cobbe et al., 2021, arXiv:2110.14168),
which are both checked and looked through. `5 + 3 = 8 + 2 = 10` is read as a running total.

Not read: names (`x + 3 = 7`), what goes on over a line end, more than 50 operators. Not judged: a sum of different
units of measure, a percentage added to what is none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from auditor.structure.expressions import SIGNS, Token, value_of
from auditor.structure.numerals import NUMBER, number_of
from auditor.structure.units import GLUED, UNITS

_TOKEN = re.compile(
    r"(?P<note><<(?P<left>[^<>=\n]{1,200})=(?P<right>[^<>=\n]{1,60})>>)"
    rf"|(?P<number>(?:\\?[$€£¥₹])?[ \t]?(?P<digits>{NUMBER}|\.\d+)(?![\w]*[A-WYZa-wyz_]\w*\d)(?P<percent>[ \t]?\\?%)?)"
    r"|(?P<break>[<>!:]=|=>|==+|->)|(?P<equals>=|≈|≅)|(?P<decoration>\*\*(?![ \t]?[\d(])|__|[$€£¥₹])"
    r"|(?P<sign>\*\*|\\times|\\cdot|\\div|[-+*/×÷·−–^]|[xX](?=[ \t]{0,2}(?:<<|[$€£¥₹(.]|\d)))|(?P<power>[²³])"
    r"|(?P<open>[(\[])|(?P<close>[)\]])|(?P<word>[^\W\d_][\w'’]*)|(?P<blank>[ \t]+)|(?P<other>.)"
)
_LONE = re.compile(r"\([$€£¥₹]?\d[\d.,]{0,20}\)")
_MOST_WORDS = 4
"""Words of a unit behind a number."""
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_LONGEST_LINE = 20_000
_DOUBLE_DIGITS, _DOUBLE_BITS = 15, 50
"""Fifteen digits and more are what a machine printed: right to the precision of IEEE 754 doubles, less two bits."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A stated calculation: what the left side is, what the right side says, and their character ranges."""

    left: str
    right: str
    value: Fraction
    stated: Fraction
    left_at: tuple[int, int]
    right_at: tuple[int, int]
    annotated: bool = False
    """It stood in a calculator annotation."""
    slack: Fraction = Fraction(0)
    """Half a unit of the last stated decimal; 0 for whole numbers and expressions, which must be exact."""

    @property
    def holds(self) -> bool:
        """Right to half a unit of the last stated decimal; whole numbers must be exact."""
        return abs(self.value - self.stated) <= self.slack


@dataclass
class _Side:
    """What stands between two equality signs, while it is read."""

    tokens: list[Token] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Behind the last operand."""
    named: bool = False
    """A name stands in it."""
    depth: int = 0
    """Brackets that are open."""
    rounded: bool = False
    """Behind a sign that says about."""

    @property
    def operand(self) -> bool:
        return bool(self.tokens) and self.tokens[-1].sign in ("", ")")

    def opened(self) -> int:
        """Index behind the last bracket that is still open, or 0."""
        open_at: list[int] = []
        for index, token in enumerate(self.tokens):
            if token.sign == "(":
                open_at.append(index + 1)
            elif token.sign == ")" and open_at:
                open_at.pop()
        return open_at[-1] if open_at else 0

    def units(self) -> set[str]:
        return {token.unit for token in self.tokens if token.unit} | ({" ".join(self.words)} - {""})


def sums(text: str) -> Iterator[Sum]:
    """Stated calculations of a text, in order of their left sides."""
    if "=" not in text and "≈" not in text:
        return
    at = 0
    for line in text.splitlines(keepends=True):
        if ("=" in line or "≈" in line) and len(line) <= _LONGEST_LINE:
            found = list(_Reader(text, at, at + len(line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"))).read())
            yield from sorted(found, key=lambda one: one.left_at)
        at += len(line)


def recompute(expression: str) -> Fraction | None:
    """Value of a written expression; None for one it cannot compute or a lone number."""
    reader = _Reader(expression, 0, len(expression))
    list(reader.read())
    (side,) = reader.sides if len(reader.sides) == 1 else (_Side(named=True),)
    return None if side.named or not _calculates(side) or not reader.whole else value_of(side.tokens)


class _Reader:
    """Walks one line from token to token. `sides` are those of the equation being read."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text = text
        self._range = (start, end)
        self.sides = [_Side()]
        self.whole = True
        """Nothing was left out."""
        self._after_word = False

    def read(self) -> Iterator[Sum]:
        for hit in _TOKEN.finditer(self._text, *self._range):
            kind = hit.lastgroup or "other"
            if hit["note"] is not None:
                yield from _annotation(self._text, hit)
            elif hit["number"] is not None:
                yield from self._number(hit)
            elif kind in ("sign", "power"):
                yield from self._sign(hit)
            elif kind == "equals":
                self._equals(hit)
            elif kind == "open":
                yield from self._open(hit)
            elif kind == "close":
                yield from self._close(hit)
            elif kind == "word":
                yield from self._word(hit)
            elif kind not in ("blank", "decoration"):
                yield from self._finish()
        if len(self.sides) > 1:
            yield from _compared(self._text, self.sides)

    def _number(self, hit: "re.Match[str]") -> Iterator[Sum]:
        number = Fraction("0" + hit["digits"]) if hit["digits"][0] == "." else number_of(hit["digits"])
        if number is None:
            yield from self._finish()
            return
        beside = False
        if self.sides[-1].operand:
            beside = not self.sides[-1].words  # 3 1/2, 40 000
            self.sides[-1].named |= beside
            yield from self._finish()
            self.sides[-1].named = beside
        percent = hit["percent"] is not None
        start = hit.start("digits") if hit[0][:1] in " \t" else hit.start("number")
        self.sides[-1].tokens.append(
            Token(sign="", start=start, end=hit.end("number"), number=number / (100 if percent else 1), percent=percent)
        )
        self._after_word = False

    def _sign(self, hit: "re.Match[str]") -> Iterator[Sum]:
        side, sign = self.sides[-1], hit[0]
        if hit["power"] is not None:
            if side.operand and not side.words:
                exponent = Fraction(2 if sign == "²" else 3)
                side.tokens += [
                    Token(sign="^", start=hit.start(), end=hit.end()),
                    Token(sign="", start=hit.start(), end=hit.end(), number=exponent),
                ]
            else:
                yield from self._finish()
            return
        if side.operand:
            self._unit(side)
        elif not side.tokens and sign == "**":
            return  # bold
        elif not side.tokens and len(self.sides) == 1:
            if self._after_word:
                side.named = True
            elif sign not in "-−" or self._text[hit.end() : hit.end() + 1].isspace():
                return  # a bullet
        side.tokens.append(Token(sign=sign, start=hit.start(), end=hit.end()))

    def _unit(self, side: _Side) -> None:
        if side.words:
            unit = " ".join(side.words)
            side.tokens[-1] = replace(side.tokens[-1], unit=unit)
            side.words = []

    def _equals(self, hit: "re.Match[str]") -> None:
        side = self.sides[-1]
        if side.operand:
            self._unit(side)
        if len(self.sides) == 1 and (inner := side.opened()):
            side.tokens, side.depth = side.tokens[inner:], 0
        if not side.operand:
            side.named = True
        self.sides.append(_Side(rounded=hit[0] != "="))
        self._after_word = False

    def _open(self, hit: "re.Match[str]") -> Iterator[Sum]:
        side = self.sides[-1]
        if side.operand:
            apart = side.tokens[-1].end != hit.start() and _LONE.match(self._text, hit.start()) is None
            if side.words or apart:
                yield from self._finish()
                side = self.sides[-1]
            else:
                side.tokens.append(Token(sign="*", start=hit.start(), end=hit.start()))
        elif self._after_word and not side.tokens and self._text[hit.start() - 1].isalnum():
            side.named = True  # f(2) = 3
        side.tokens.append(Token(sign="(", start=hit.start(), end=hit.end()))
        side.depth += 1

    def _close(self, hit: "re.Match[str]") -> Iterator[Sum]:
        side = self.sides[-1]
        if side.depth and side.operand:
            self._unit(side)
            side.depth -= 1
            side.tokens.append(Token(sign=")", start=hit.start(), end=hit.end()))
        else:
            yield from self._finish()

    def _word(self, hit: "re.Match[str]") -> Iterator[Sum]:
        side, word = self.sides[-1], hit[0]
        if side.operand:
            last = side.tokens[-1]
            if word == "of" and not side.words and (last.percent or _is_fraction(side.tokens)):
                side.tokens.append(Token(sign="of", start=hit.start(), end=hit.end()))
                return
            if last.end == hit.start() and (word not in GLUED or len(word) == 1):
                side.named = True  # 2x, 3n
            side.words.append(word)
            if len(side.words) > _MOST_WORDS:
                yield from self._finish()
        elif side.tokens or len(self.sides) > 1:
            side.named = True
            if len(self.sides) > 1 and not side.tokens:
                yield from self._finish()
        self._after_word = True

    def _finish(self) -> Iterator[Sum]:
        if len(self.sides) > 1:
            yield from _compared(self._text, self.sides)
        self.whole = self.whole and not any(side.tokens for side in self.sides)
        self.sides = [_Side()]
        self._after_word = False


def _is_fraction(tokens: Sequence[Token]) -> bool:
    return len(tokens) >= 3 and tokens[-2].sign == "/" and (len(tokens) == 3 or tokens[-4].sign in SIGNS)


def _calculates(side: _Side) -> bool:
    return sum(not token.sign for token in side.tokens) > 1


def _compared(text: str, sides: Sequence[_Side]) -> Iterator[Sum]:
    """Each side against the next one."""
    for left, right in zip(sides, sides[1:], strict=False):
        if left.named or right.named or not _calculates(left) or not right.operand:
            continue
        value, stated = value_of(left.tokens), value_of(right.tokens)
        if value is None or stated is None:
            continue
        found = _sum(text, left.tokens, right.tokens, value, stated, rounded=right.rounded)
        if _calculates(right):
            first = next(token.number for token in right.tokens if not token.sign)
            if not found.holds and first == value:
                continue  # a running total
        yield from _judged(found, left, right)


def _judged(found: Sum, left: _Side, right: _Side) -> Iterator[Sum]:
    """The calculation, unless units of measure make its numbers say something else than they read."""
    units = left.units() | right.units()
    if found.holds or not units:
        yield found
        return
    if right.tokens[-1].percent and len(right.tokens) == 1:
        yield replace(found, stated=found.stated * 100, slack=found.slack * 100)
        return
    scaled = _scaled(left), _scaled(right)
    if scaled[0] is not None and scaled[0] == scaled[1]:
        yield replace(found, value=scaled[0], stated=scaled[1])
        return
    known = {UNITS[word] for unit in units for word in (unit, *unit.split()) if word in UNITS}
    if len(known) > 1 or "dozen" in " ".join(units):
        return
    yield found


def _scaled(side: _Side) -> Fraction | None:
    tokens = [
        replace(token, number=token.number * _SCALES.get(token.unit.partition(" ")[0].casefold(), 1))
        for token in side.tokens
    ]
    if side.words and tokens and not tokens[-1].sign:
        scale = _SCALES.get(side.words[0].casefold(), 1)
        tokens[-1] = replace(tokens[-1], number=tokens[-1].number * scale)
    return value_of(tokens)


def _sum(
    text: str, left: Sequence[Token], right: Sequence[Token], value: Fraction, stated: Fraction, *,
    rounded: bool = False, annotated: bool = False,
) -> Sum:  # fmt: skip
    left_at, right_at = (left[0].start, left[-1].end), (right[0].start, right[-1].end)
    slack = Fraction(0)
    said = text[slice(*right_at)]
    if len(right) <= 2:
        digits = len(re.sub(r"\D", "", said).lstrip("0"))
        decimals = len(re.sub(r"[^\d].*", "", said.partition(".")[2]))
        slack = Fraction(1, 2 * 10**decimals) if decimals or rounded else slack
        if digits >= _DOUBLE_DIGITS:
            slack = max(slack, max(abs(value), *(abs(token.number) for token in left)) / 2**_DOUBLE_BITS)
        if any(token.percent for token in left) and not right[-1].percent and abs(value * 100 - stated) <= slack:
            value *= 100
        if right[-1].percent:
            if abs(value - stated) > slack / 100 and abs(value - stated * 100) <= slack:
                stated *= 100
            else:
                slack /= 100
    return Sum(left=text[slice(*left_at)], right=said, value=value, stated=stated, left_at=left_at, right_at=right_at,
               annotated=annotated, slack=slack)  # fmt: skip


def _annotation(text: str, hit: "re.Match[str]") -> Iterator[Sum]:
    sides = []
    for name in ("left", "right"):
        reader = _Reader(text, *hit.span(name))
        list(reader.read())
        if len(reader.sides) != 1 or not reader.whole or reader.sides[0].named or not reader.sides[0].operand:
            return
        sides.append(reader.sides[0].tokens)
    value, stated = value_of(sides[0]), value_of(sides[1])
    if value is not None and stated is not None:
        yield _sum(text, sides[0], sides[1], value, stated, annotated=True)


__all__ = ["Sum", "recompute", "sums"]
