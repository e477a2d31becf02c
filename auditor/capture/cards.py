"""Card numbers in bytes: 13 to 19 digits, single spaces or hyphens between them, right by Luhn's check digit."""

import re
from collections.abc import Iterator
from itertools import accumulate

_LEAST, _MOST = 13, 19
_REGION = re.compile(rb"[0-9](?:[ -]?[0-9]){12,4000}")
_FULL = 4001
_REACH = 2 * _MOST
"""Bytes of the longest number, at most."""
_LIKELY = re.compile(rb"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
"""Right but for the check digit: long rows of digits alone have none."""
_WORD = re.compile(rb"[0-9]+")
_VALUES = bytes(max(0, byte - 48) if byte < 58 else 0 for byte in range(256))
_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(246)
_LAST = bytes(total % 10 for total in range(9 * _FULL + 1))
"""The last digit of a sum over one region. The sums are made without a step of Python's own for each digit."""


def cards(text: bytes, place: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every number from `place` on, by its start; of several at one start the longest.

    A number begins behind no digit and ends before none. They may overlap.
    """
    region = _REGION.search(text, place)
    while region is not None:
        start, end = region.span()
        digits = region[0].translate(_VALUES, b" -")
        # A region that was cut at its bound is gone on with so far before its end that no number is lost.
        until = end - _REACH if len(digits) >= _FULL else end
        if _LIKELY.search(text, start, end) is not None:
            yield from _in_region(text, start, until, digits)
        region = _REGION.search(text, until)


def _in_region(text: bytes, start: int, until: int, digits: bytes) -> Iterator[tuple[int, int]]:
    """Sums up to each digit, once with the even and once with the odd places doubled: a number is right where both
    of its ends have the same sum, in the row in which its last digit is not doubled."""
    doubled = digits.translate(_DOUBLED)
    rows = []
    for parity in (0, 1):
        row = bytearray(doubled)
        row[parity::2] = digits[parity::2]
        rows.append(bytes(map(_LAST.__getitem__, accumulate(row, initial=0))))
    # Python's bytes.find is quick: most starts need two of them and nothing else.
    at = 0
    for word in _WORD.finditer(text, start, until):
        place, first = word.start(), at
        at += word.end() - place
        if place and 48 <= text[place - 1] <= 57:
            continue  # the region was cut within a word
        own, other = rows[first % 2], rows[1 - first % 2]
        if own[first] in own[first + 13 : first + 20 : 2] or other[first] in other[first + 14 : first + 19 : 2]:
            end = _end(text, place, first, rows)
            if end is not None:
                yield place, end


def _end(text: bytes, place: int, at: int, rows: list[bytes]) -> int | None:
    found, count = None, 0
    for here in range(place, min(len(text), place + _REACH)):
        if not 48 <= text[here] <= 57:
            if not 48 <= text[here - 1] <= 57 or text[here] not in b" -":
                break
            continue
        count += 1
        if count > _MOST:
            break
        follows = text[here + 1] if here + 1 < len(text) else 0
        if count >= _LEAST and at + count < len(rows[0]) and not 48 <= follows <= 57:
            row = rows[(at + count - 1) % 2]
            if row[at] == row[at + count]:
                found = here + 1
    return found
