"""The ways one value may be written, as marks that can be compared: two places agree where they share a mark.

| value | marks |
|---|---|
| number, percent | the exact number |
| date | month and day; with its year, the whole date too |
| time of day | minutes since midnight, `7:00 PM` and `19:00:00` alike; both halves of the day where none is said |
| identifier | its letters and digits without case and joints; its last four digits or more (`card ending in 7447`) |
| name, text | the words without case, `_` and `-` as blanks |

Not seen: numbers written as words, dates as numerals of another order (`20/05/2024`).
"""

import re
from collections.abc import Iterable

from auditor.structure.values import Value, fraction_text

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?")
_YEARLESS = re.compile(r"--(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d\d?):(\d\d)(?::\d\d)?")
_ENDING = 4
_LONGEST = 40
_HALF = re.compile(r"\s{0,2}([ap])\.?m\b", re.IGNORECASE)
_TAIL = re.compile(r"\d{4,}\Z")
_JOINTS = re.compile(r"[\s_-]+")


def forms_of(value: Value, after: str = "") -> frozenset[str]:
    """Marks of a value; `after` is the text behind it, which may say which half of the day is meant."""
    if value.number is not None:
        return frozenset({f"number:{fraction_text(value.number)}"})
    if value.kind == "date":
        return frozenset(_moment(value, after))
    if value.kind == "id":
        return frozenset({f"text:{plain(value.text)}", *_code(value.text)})
    return frozenset({f"text:{plain(value.text)}", *_in_text(value.text)})


def kind_of(value: Value) -> str:
    """`number`, `date`, `time`, `code` or `text`: values of one kind can contradict each other."""
    if value.number is not None:
        return "number"
    if value.kind == "date":
        return "time" if _TIME.fullmatch(value.text) else "date"
    if value.kind == "id":
        return "code"
    return "time" if re.match(r"\d\d:\d\d:\d\d", value.text) else "text"


def plain(text: str) -> str:
    """Words without case and joints."""
    return " ".join(_JOINTS.split(text.casefold().strip()))


def agree(one: Iterable[str], other: Iterable[str]) -> bool:
    """Two sets of marks share one; whole dates must be equal where both are whole."""
    left, right = frozenset(one), frozenset(other)
    whole = {mark for mark in left if mark.startswith("date:")}, {mark for mark in right if mark.startswith("date:")}
    if all(whole) and not whole[0] & whole[1]:
        return any(not mark.startswith(("date:", "day:")) for mark in left & right)
    return bool(left & right)


def endings(value: Value) -> frozenset[str]:
    """Marks of the last four digits of a longer identifier, as cards are spoken of."""
    tail = _TAIL.search(value.text) if value.kind == "id" else None
    return frozenset({f"number:{int(tail[0][-_ENDING:])}"} if tail else ())


def _moment(value: Value, after: str) -> Iterable[str]:
    normal = value.normal
    if hit := _ISO.match(normal):
        yield f"date:{hit[1]}-{hit[2]}-{hit[3]}"
        yield f"day:{hit[2]}-{hit[3]}"
        if hit[4]:
            yield f"time:{int(hit[4]) * 60 + int(hit[5])}"
    elif hit := _YEARLESS.match(normal):
        yield f"day:{hit[1]}-{hit[2]}"
    elif hit := _TIME.fullmatch(value.text):
        hour, minute = int(hit[1]), int(hit[2])
        if half := _HALF.match(after):
            hour = hour % 12 + (12 if half[1].lower() == "p" else 0)
        yield f"time:{hour * 60 + minute}"


def _in_text(text: str) -> Iterable[str]:
    """A text field that begins with a time (`03:00:00+1`) is that time."""
    if hit := re.match(r"(\d\d):(\d\d):\d\d", text):
        yield f"time:{int(hit[1]) * 60 + int(hit[2])}"


def _code(text: str) -> Iterable[str]:
    yield f"code:{_JOINTS.sub('', text.casefold())}"
    if tail := _TAIL.search(text):
        yield f"number:{tail[0][-_LONGEST:].lstrip('0') or 0}"
