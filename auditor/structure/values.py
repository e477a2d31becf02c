"""Typed values in a text, with byte offsets. Exact: numbers are rationals, nothing is evaluated.

What is found in plain text: see readings.py (dates, money, percentages, numbers in digits of any script and in English
words, fractions, units, identifiers, quoted names). In JSON text every scalar field is a value with its RFC 6901
pointer, and the values inside its strings are found too.

Not found: names without quotes (see `occurrences`), numbers in words of other languages.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from auditor.structure.numerals import fraction_text, rational
from auditor.structure.offsets import Offsets
from auditor.structure.readings import ValueKind, readings

_MOST_POINTER = 2**12
"""Characters; fields under longer pointers are left out, or long keys would be copied for each of many fields."""
_READABLE = re.compile(r"\d|[\"“½¼¾⅐-⅞]|\s")
"""A JSON string without any of these holds nothing but itself."""
_DECIMAL = re.compile(r"-?\d{1,15}")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A typed value at UTF-8 bytes [start, end) of its text. Two values are the same when their `key` is equal."""

    kind: ValueKind
    key: str
    """Kind and normal form: `482`, `$482`, `482.0` and `four hundred eighty-two` share the key `number:482`."""
    text: str
    start: int
    end: int
    number: Fraction | None = None
    pointer: str | None = None
    """RFC 6901 pointer of the JSON field it is, or lies in."""
    unit: str | None = None
    """Currency code or unit beside the number (units.py), `ordinal` for a place in a row; None where none is said."""
    written: bool = False
    """In words."""

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
            return self.number.denominator != 1 or abs(self.number.numerator) >= 10
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
        Value(kind=kind, key=key, text=text[start:end], start=offsets[start], end=offsets[end], number=number,
              unit=unit, written=written)
        for kind, key, number, start, end, unit, written in readings(text)
    )  # fmt: skip


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


def occurrences(text: str, wanted: str) -> list[tuple[int, int]]:
    """Byte ranges where `wanted` stands in `text` as a whole word, whatever its case. Empty for a blank `wanted`."""
    if not wanted.strip():
        return []
    pattern = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)", re.IGNORECASE)
    hits = [hit.span() for hit in pattern.finditer(text)]
    if not hits:
        return []
    offsets = Offsets(text)
    return [(offsets[start], offsets[end]) for start, end in hits]


def _leaf_values(text: str, pointer: str, start: int, end: int, offsets: Offsets) -> Iterator[Value]:
    raw = text[start:end]
    if raw[0] == '"':
        yield from _string_values(raw, pointer, start + 1, offsets)
    elif raw in ("true", "false", "null"):
        yield Value(kind="flag", key=f"flag:{raw}", text=raw, start=offsets[start], end=offsets[end], pointer=pointer)
    else:
        number = Fraction(int(raw)) if _DECIMAL.fullmatch(raw) else rational(raw)
        key = f"id:{raw}" if number is None else number_key(number)
        yield Value(kind="id" if number is None else "number", key=key, text=raw, start=offsets[start],
                    end=offsets[end], number=number, pointer=pointer)  # fmt: skip


def _string_values(raw: str, pointer: str, at: int, offsets: Offsets) -> Iterator[Value]:
    """Values of a JSON string whose content starts at character `at`: what it holds, and the whole where it is more."""
    inner, places = _decoded(raw)
    found = readings(inner) if _READABLE.search(inner) is not None else []
    size = len(inner)
    if not any(one.start == 0 and one.end == size for one in found) and inner.strip():
        yield Value(kind="text", key=f"name:{inner.strip().casefold()}", text=inner, start=offsets[at],
                    end=offsets[at + places[size]], pointer=pointer)  # fmt: skip
    for kind, key, number, start, end, unit, written in found:
        yield Value(kind=kind, key=key, text=inner[start:end], start=offsets[at + places[start]],
                    end=offsets[at + places[end]], number=number, pointer=pointer, unit=unit,
                    written=written)  # fmt: skip


def _decoded(raw: str) -> tuple[str, list[int] | range]:
    """A JSON string literal's content and, for each decoded character, where its source starts inside the quotes."""
    body = raw[1:-1]
    if "\\" not in body:
        return body, range(len(body) + 1)
    places: list[int] = []
    pieces: list[str] = []
    at = 0
    for unit in re.finditer(r"(?:\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u....|\\.|[^\\]+", body, re.DOTALL):
        if unit[0][0] != "\\":
            pieces.append(unit[0])
            places += range(*unit.span())
            at = unit.end()
            continue
        decoded = json.loads(f'"{unit[0]}"', strict=False)
        pieces.append(decoded)
        places += [unit.start()] * len(decoded)
        at = unit.end()
    return "".join(pieces), [*places, at]


_TOKEN = re.compile(
    r'[\s,]*(?:"(?P<key>(?:[^"\\]|\\.)*)"\s*:\s*)?(?:(?P<open>[{\[])|(?P<string>"(?:[^"\\]|\\.)*")|(?P<bare>[^\s{}\[\],:"]+)'
    r"|(?P<close>[}\]]))",
    re.DOTALL,
)


def _leaves(text: str) -> Iterator[tuple[str, int, int]]:
    """Pointer and character range of every scalar of valid JSON text (strings with their quotes)."""
    above: list[tuple[str | None, int | None]] = []
    """Pointer of each open object or array (None where it is too long), and of an array the next index."""
    pointer: str | None = ""
    index: int | None = None
    """Of the array that is being read; None in an object."""
    for token in _TOKEN.finditer(text):
        group = token.lastgroup
        if group == "close":
            pointer, index = above.pop()
            continue
        if token["key"] is not None:
            own = _pointer(pointer, _key(token["key"]))
        elif index is not None:
            own = _pointer(pointer, str(index))
            index += 1
        else:
            own = pointer
        if group == "open":
            above.append((pointer, index))
            pointer, index = own, None if token["open"] == "{" else 0
        elif own is not None:
            yield own, *token.span(str(group))


def _pointer(above: str | None, key: str) -> str | None:
    if above is None or len(above) + len(key) > _MOST_POINTER:
        return None
    return f"{above}/{key}"


def _key(raw: str) -> str:
    key = json.loads(f'"{raw}"', strict=False) if "\\" in raw else raw
    return str(key).replace("~", "~0").replace("/", "~1")


__all__ = [
    "Offsets", "Value", "ValueKind", "fraction_text", "json_values", "number_key", "occurrences", "plain_values",
    "rational", "values_in",
]  # fmt: skip
