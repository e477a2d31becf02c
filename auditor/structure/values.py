"""Typed values in a text, with byte offsets. Exact: numbers are rationals, nothing is evaluated.

What is found in plain text: ISO dates and times, English month dates, money, percentages, decimals and integers (with
thousands separators), identifiers that mix letters and digits, quoted names. In JSON text every scalar field is a value
with its RFC 6901 pointer, and the values inside its strings are found too.

Not found: numbers in words, names without quotes (see `occurrences`), units other than money and percent.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from auditor.structure.offsets import Offsets

ValueKind = Literal["number", "percent", "date", "id", "name", "text", "flag"]

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<{0}>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_LONGEST_NUMBER = 40
"""Longer digit strings are identifiers, not quantities; it also keeps `1e999999999` from filling the memory."""
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?"
_PLAIN = re.compile(
    r"(?P<iso>(?<![\w-])\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?(?![\w-]))"
    r"|(?P<time>(?<![\w:])\d\d?:\d\d(?::\d\d)?(?![\w:]))"
    rf"|(?P<mdy>\b{_MONTH.format('m1')}\.? (?P<d1>\d\d?)(?:st|nd|rd|th)?(?:,? (?P<y1>\d{{4}}))?(?![\w]))"
    rf"|(?P<dmy>\b(?P<d2>\d\d?) {_MONTH.format('m2')}\b(?: (?P<y2>\d{{4}})\b)?)"
    r"|(?P<id>(?<![A-Za-z0-9_#@./-])(?=[A-Za-z_-]*[0-9])(?=[0-9_-]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9_-]*[A-Za-z0-9]"
    r"(?![A-Za-z0-9_-]))"
    rf"|(?P<number>(?<![A-Za-z_.\d])(?P<sign>[-\u2212])?(?:[$€£¥]\s?)?(?P<digits>{_NUMBER})(?P<percent>\s?%)?"
    r"(?![A-Za-z_\d]|\.\d))"
    r"|(?P<quoted>[\"“](?P<inner>[^\"“”\n]{1,80})[\"”])"
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """A typed value at UTF-8 bytes [start, end) of its text. Two values are the same when their `key` is equal."""

    kind: ValueKind
    key: str
    """Kind and normal form: `482`, `$482` and `482.0` share the key `number:482`."""
    text: str
    start: int
    end: int
    number: Fraction | None = None
    pointer: str | None = None
    """RFC 6901 pointer of the JSON field it is, or lies in."""

    @property
    def normal(self) -> str:
        """The normal form without its kind."""
        return self.key.split(":", 1)[1]

    @property
    def weighty(self) -> bool:
        """False for values so common (0 to 9, flags, two-letter texts) that a shared one says little."""
        if self.kind == "flag":
            return False
        if self.number is not None:
            return self.number.denominator != 1 or abs(self.number) >= 10
        return len(self.normal) >= 3


def values_in(text: str) -> tuple[Value, ...]:
    """Values of a text in order; of JSON objects and arrays, its fields. Overlapping values inside strings follow."""
    fields = json_values(text)
    if fields is not None:
        return fields
    return plain_values(text)


def plain_values(text: str) -> tuple[Value, ...]:
    """Values of a text that is not JSON."""
    offsets = Offsets(text)
    return tuple(
        Value(kind=kind, key=key, text=text[start:end], start=offsets[start], end=offsets[end], number=number)
        for kind, key, number, start, end in _scan(text)
    )


def json_values(text: str) -> tuple[Value, ...] | None:
    """Scalar fields of a JSON object or array, and values inside its strings; None for a text that is not JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    offsets = Offsets(text)
    found: list[Value] = []
    for pointer, start, end in _leaves(text):
        found += _leaf_values(text, pointer, start, end, offsets)
    return tuple(found)


def number_key(number: Fraction) -> str:
    """The key of a plain number."""
    return f"number:{fraction_text(number)}"


def rational(digits: str) -> Fraction | None:
    """The exact number that `digits` writes (thousands commas allowed); None when it is too long to be a quantity."""
    hit = re.fullmatch(r"[+-]?[\d,]*\.?\d+(?:[eE]([+-]?\d{1,2}))?", digits)
    if hit is None or len(digits) > _LONGEST_NUMBER:
        return None
    return Fraction(digits.replace(",", ""))


def fraction_text(number: Fraction) -> str:
    """Decimal text where it is exact and short, else `a/b`."""
    if number.denominator == 1:
        return str(number.numerator)
    rest, digits = number.denominator, 0
    while rest % 10 == 0 or rest % 2 == 0 or rest % 5 == 0:
        rest //= 10 if rest % 10 == 0 else 2 if rest % 2 == 0 else 5
        digits += 1
    if rest != 1 or digits > 30:
        return f"{number.numerator}/{number.denominator}"
    scaled = str(abs(number.numerator) * 10**digits // number.denominator).rjust(digits + 1, "0")
    sign = "-" if number < 0 else ""
    return f"{sign}{scaled[:-digits]}.{scaled[-digits:]}".rstrip("0").rstrip(".")


def occurrences(text: str, wanted: str) -> list[tuple[int, int]]:
    """Byte ranges where `wanted` stands in `text` as a whole word, whatever its case. Empty for a blank `wanted`."""
    if not wanted.strip():
        return []
    offsets = Offsets(text)
    pattern = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)", re.IGNORECASE)
    return [(offsets[hit.start()], offsets[hit.end()]) for hit in pattern.finditer(text)]


def _scan(text: str) -> Iterator[tuple[ValueKind, str, Fraction | None, int, int]]:
    for hit in _PLAIN.finditer(text):
        name = next(name for name in ("iso", "time", "mdy", "dmy", "id", "number", "quoted") if hit[name] is not None)
        start, end = hit.span(name)
        if name == "iso":
            yield "date", f"date:{hit['iso'].replace(' ', 'T')}", None, start, end
        elif name == "time":
            yield "date", f"date:{hit['time'].lstrip('0')}", None, start, end
        elif name in ("mdy", "dmy"):
            which = "1" if name == "mdy" else "2"
            yield "date", _month_key(hit["m" + which], hit["d" + which], hit["y" + which]), None, start, end
        elif name == "id":
            yield "id", f"id:{hit['id'].casefold()}", None, start, end
        elif name == "number":
            yield _number(text, hit)
        else:
            yield "name", f"name:{hit['inner'].strip().casefold()}", None, *hit.span("inner")


def _number(text: str, hit: "re.Match[str]") -> tuple[ValueKind, str, Fraction | None, int, int]:
    start, end = hit.span("number")
    number = rational(hit["digits"])
    if number is None:
        return "id", f"id:{hit['digits']}", None, *hit.span("digits")
    if hit["sign"]:
        before = text[:start].rstrip()[-1:]
        if before.isdigit() or before == ")":
            start += 1  # a minus between two numbers is an operator
        else:
            number = -number
    if hit["percent"]:
        return "percent", f"percent:{fraction_text(number)}", number, start, end
    return "number", number_key(number), number, start, end


def _month_key(month: str, day: str, year: str | None) -> str:
    number = _MONTHS.index(month[:3].casefold()) + 1
    return f"date:{year}-{number:02d}-{int(day):02d}" if year else f"date:--{number:02d}-{int(day):02d}"


def _leaf_values(text: str, pointer: str, start: int, end: int, offsets: Offsets) -> Iterator[Value]:
    raw = text[start:end]
    if raw in ("true", "false", "null"):
        yield Value(kind="flag", key=f"flag:{raw}", text=raw, start=offsets[start], end=offsets[end], pointer=pointer)
    elif raw[0] != '"':
        number = rational(raw)
        key = f"id:{raw}" if number is None else number_key(number)
        yield Value(kind="id" if number is None else "number", key=key, text=raw, start=offsets[start],
                    end=offsets[end], number=number, pointer=pointer)  # fmt: skip
    else:
        yield from _string_values(raw, pointer, start + 1, offsets)


def _string_values(raw: str, pointer: str, at: int, offsets: Offsets) -> Iterator[Value]:
    """Values of a JSON string whose content starts at character `at`: what it holds, and the whole where it is more."""
    inner, places = _decoded(raw)
    covered = False
    found = []
    for kind, key, number, start, end in _scan(inner):
        covered = covered or (start == 0 and end == len(inner))
        found.append(Value(kind=kind, key=key, text=inner[start:end], start=offsets[at + places[start]],
                           end=offsets[at + places[end]], number=number, pointer=pointer))  # fmt: skip
    if not covered and inner.strip():
        yield Value(kind="text", key=f"name:{inner.strip().casefold()}", text=inner, start=offsets[at],
                    end=offsets[at + places[len(inner)]], pointer=pointer)  # fmt: skip
    yield from found


def _decoded(raw: str) -> tuple[str, list[int] | range]:
    """A JSON string literal's content and, for each decoded character, where its source starts inside the quotes."""
    body = raw[1:-1]
    if "\\" not in body:
        return body, range(len(body) + 1)
    places: list[int] = []
    pieces: list[str] = []
    at = 0
    for unit in re.finditer(r"(?:\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u....|\\.|[^\\]", body, re.DOTALL):
        decoded = json.loads(f'"{unit[0]}"', strict=False)
        pieces.append(decoded)
        places += [unit.start()] * len(decoded)
        at = unit.end()
    return "".join(pieces), [*places, at]


_TOKEN = re.compile(r'\s*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*")|([^\s{}\[\],:"]+))', re.DOTALL)


def _leaves(text: str) -> Iterator[tuple[str, int, int]]:
    """Pointer and character range of every scalar of valid JSON text (strings with their quotes)."""
    stack: list[list[object]] = []  # [is_object, key or index]
    expect_key = False
    for token in _TOKEN.finditer(text):
        mark = token[1]
        if mark in ("{", "["):
            stack.append([mark == "{", "" if mark == "{" else 0])
            expect_key = mark == "{"
        elif mark in ("}", "]"):
            stack.pop()
            expect_key = False
        elif mark == ",":
            if stack[-1][0]:
                expect_key = True
            else:
                stack[-1][1] = int(str(stack[-1][1])) + 1
        elif mark == ":":
            expect_key = False
        elif expect_key:
            stack[-1][1] = json.loads(token[2], strict=False)
        else:
            pointer = "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for _, key in stack)
            start, end = token.span(2) if token[2] is not None else token.span(3)
            yield pointer, start, end


__all__ = [
    "Offsets", "Value", "ValueKind", "fraction_text", "json_values", "number_key", "occurrences", "plain_values",
    "rational", "values_in",
]  # fmt: skip
