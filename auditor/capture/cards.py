"""Card numbers in bytes: 13 to 19 digits, single spaces or hyphens between them, right by Luhn's check digit."""

import re
from collections.abc import Iterator
from itertools import accumulate

_LEAST, _MOST = 13, 19
_REGION = re.compile(rb"[0-9](?:[ -]?[0-9]){12,4000}")
_FULL = 4001
_REACH = 2 * _MOST
"""Bytes of the longest number, at most."""
_TWICE = tuple(2 * digit - 9 if digit > 4 else 2 * digit for digit in range(10))


def cards(text: bytes, place: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every number from `place` on, by its start; of several at one start the longest.

    A number begins behind no digit and ends before none. They may overlap.
    """
    region = _REGION.search(text, place)
    while region is not None:
        start, end = region.span()
        digits = region[0].translate(None, b" -")
        # A region that was cut at its bound is gone on with so far before its end that no number is lost.
        until = end - _REACH if len(digits) >= _FULL else end
        yield from _in_region(text, start, until, digits)
        region = _REGION.search(text, until)


def _in_region(text: bytes, start: int, until: int, digits: bytes) -> Iterator[tuple[int, int]]:
    """Sums up to each digit, once with the even and once with the odd places doubled: a number is right where both
    of its ends have the same sum, in the row in which its last digit is not doubled."""
    values = [digit - 48 for digit in digits]
    rows = tuple(
        bytes([total % 10 for total in accumulate(
            (value if place % 2 == parity else _TWICE[value] for place, value in enumerate(values)), initial=0)])
        for parity in (0, 1)
    )  # fmt: skip
    # Python's bytes.find is quick: most starts need two of them and nothing else.
    at = -1
    for place in range(start, until):
        if not 48 <= text[place] <= 57:
            continue
        at += 1
        if place and 48 <= text[place - 1] <= 57:
            continue
        own, other = rows[at % 2], rows[1 - at % 2]
        if own[at] in own[at + 13 : at + 20 : 2] or other[at] in other[at + 14 : at + 19 : 2]:
            end = _end(text, place, at, rows)
            if end is not None:
                yield place, end


def _end(text: bytes, place: int, at: int, rows: tuple[bytes, ...]) -> int | None:
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
