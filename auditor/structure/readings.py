"""Typed readings of plain text: what is a number, a date, an identifier, a quoted name, and where.

One pass from digit to digit, and one each over quotation marks and English number words where a text has any. Places
are characters. Dates: ISO 8601, `May 27, 2024`, `27 May 2024`, `27 мая 2024`, `2024年5月27日`, `27.05.2024`,
`5/27/2024` (month first where the day says so; a doubtful one keeps its own words). Numbers: see numerals.py, with a
sign, a currency and a unit beside them (units.py). `3/4` is a fraction where no calculation goes on around it.
"""

import re
import string
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from auditor.structure.numerals import NUMBER, TIMES, fraction_text, number_of, vulgar, written
from auditor.structure.units import CODES, SYMBOLS, unit_behind

ValueKind = Literal["number", "percent", "date", "id", "name", "text", "flag"]


class Reading(NamedTuple):
    """A value and its characters; `key` is its kind and normal form."""

    kind: ValueKind
    key: str
    number: Fraction | None
    start: int
    end: int
    unit: str | None = None
    written: bool = False


_ENGLISH = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_RUSSIAN = ["янв", "фев", "мар", "апр", "мая", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"]
_MONTH = (
    r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?"
)
_GENITIVE = "января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря"
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[A-Za-z]")
_TOKEN = re.compile(r"[A-Za-z0-9_-]*[A-Za-z0-9]")
_MONTH_BEFORE = re.compile(rf"(?<![A-Za-z])(?P<m>{_MONTH})\.? \Z")
_DAY = re.compile(r"(?P<d>\d\d?)(?:st|nd|rd|th)?(?:,? (?P<y>\d{4}))?(?!\w)")
_DATE = re.compile(
    r"(?P<iso>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?(?![\w-]))"
    r"|(?P<cy>\d{4})年(?P<cm>\d\d?)月(?:(?P<cd>\d\d?)[日号])?"
    r"|(?P<dd>\d\d?)\.(?P<dm>\d\d?)\.(?P<dy>\d{4})(?![\w.]?\w)"
    r"|(?P<ya>\d{4})/(?P<ma>\d\d?)/(?P<da>\d\d?)(?![\w/])"
    r"|(?P<s1>\d\d?)/(?P<s2>\d\d?)/(?P<s3>\d{4})(?![\w/])"
    r"|(?P<time>\d\d?:\d\d(?::\d\d)?(?![\w:]))"
    rf"|(?P<d>\d\d?)(?:(?:st|nd|rd|th)(?: of)?)? (?:(?P<m>{_MONTH})|(?P<r>{_GENITIVE}))\b(?: (?P<y>\d{{4}})\b)?"
)
_MAYBE_DATE = frozenset("-年.:/ snrt")
_MULTIPLE = "|".join(re.escape(word) for word in sorted(TIMES, key=len, reverse=True) if len(word) > 1 or word > "z")
_QUANTITY = re.compile(
    rf"(?P<digits>{NUMBER})"
    r"(?:(?P<percent>\s?[%％٪])|(?P<ordinal>st|nd|rd|th)(?![A-Za-z0-9_-])|(?P<glued>(?:[kKMBmb]|bn)(?![A-Za-z0-9_-]))"
    rf"|(?P<times>\s?(?i:{_MULTIPLE})(?![A-Za-z])))?"
)
_FRACTION = re.compile(r"(?P<over>\d{1,4})/(?P<under>[1-9]\d{0,3})(?![\w/]|\.\d|\s{0,3}[-+*/×÷=^(])")
_QUOTED = re.compile(r"[\"“](?P<inner>[^\"“”\n]{1,80})[\"”]")
_WORD_SIGNS = string.ascii_letters + string.digits + "_-"
_NO_NUMBER_BEHIND = frozenset(string.ascii_letters + "_.")
_CALCULATING = frozenset("+-*/×÷=^−–")
_BACK = 64


def readings(text: str) -> list[Reading]:
    """All readings of a text in order of their start; a quoted name comes before what it holds."""
    found = list(_digits(text))
    more: list[Reading] = []
    if '"' in text or "“" in text:
        more += _quoted(text)
    if not text.isascii() and (parts := list(_vulgar(text))):
        taken = {at for one in parts for at in range(one.start, one.end)}
        found = [one for one in found if one.start not in taken]
        more += parts
    if " " in text:
        more += _written(text)
    if more:
        found = sorted([*found, *more], key=lambda one: (one.start, -one.end))
    return found


def _digits(text: str) -> Iterator[Reading]:
    last = 0
    for run in _DIGITS.finditer(text):
        if run.start() < last:
            continue
        reading, last = _at(text, run.start(), run.end(), last)
        if reading is not None:
            yield reading


def _at(text: str, start: int, end: int, last: int) -> tuple[Reading | None, int]:
    """What the digits [start, end) belong to, and where reading goes on. `last` is where the reading before ended."""
    before = text[start - 1] if start else ""
    if before.isascii() and (before.isalpha() or before in "_-"):
        begin = _token_start(text, start, last)
        if _LETTERS.search(text, begin, start) is not None:
            return _identifier(text, begin)
        if "_" in text[begin:start]:
            return None, end
    after = text[end] if end < len(text) else ""
    if after in _MAYBE_DATE and before not in ("-", ":", "/", "_") and (found := _date(text, start, end, last)):
        return found, found.end
    if before == " " and start - 2 >= last and (found := _month_first(text, start, last)):
        return found, found.end
    return _quantity(text, start, end, last, before)


def _token_start(text: str, at: int, last: int) -> int:
    low = max(last, at - _BACK)
    begin = low + len(text[low:at].rstrip(_WORD_SIGNS))
    while begin == low > last:
        low = max(last, low - 16 * _BACK)
        begin = low + len(text[low:at].rstrip(_WORD_SIGNS))
    return begin


def _identifier(text: str, begin: int) -> tuple[Reading | None, int]:
    token = _TOKEN.match(text, begin)
    if token is None:
        return None, begin + 1
    start, end = begin, token.end()
    while text[start] in "_-":
        start += 1
    if begin and text[begin - 1] in "@./":
        return None, end
    return Reading("id", f"id:{text[start:end].casefold()}", None, start, end), end


def _date(text: str, start: int, end: int, last: int) -> Reading | None:
    if end - start > 4:
        return None
    hit = _DATE.match(text, start)
    if hit is None:
        return None
    if hit["iso"] is not None:
        key = hit["iso"].replace(" ", "T")
    elif hit["time"] is not None:
        key = hit["time"].lstrip("0")
    elif hit["s1"] is not None:
        return _slashed(hit)
    elif hit["d"] is not None:
        month = _RUSSIAN.index(hit["r"][:3]) + 1 if hit["r"] else _ENGLISH.index(hit["m"][:3].casefold()) + 1
        key = _day_key(hit["y"], month, int(hit["d"]))
    else:
        year, month_text, day = next(
            group for group in (hit.group("cy", "cm", "cd"), hit.group("dy", "dm", "dd"), hit.group("ya", "ma", "da"))
            if group[0] is not None
        )  # fmt: skip
        if not 1 <= int(month_text) <= 12 or not 1 <= int(day or 1) <= 31:
            return None
        key = _day_key(year, int(month_text), int(day)) if day else f"{year}-{int(month_text):02d}"
    return Reading("date", f"date:{key}", None, start, hit.end())


def _slashed(hit: "re.Match[str]") -> Reading | None:
    first, second = int(hit["s1"]), int(hit["s2"])
    if not (1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31):
        return None
    if first <= 12 < second:
        key = _day_key(hit["s3"], first, second)
    elif second <= 12 < first or first == second:
        key = _day_key(hit["s3"], second, first)
    else:
        key = hit[0]
    return Reading("date", f"date:{key}", None, *hit.span())


def _month_first(text: str, start: int, last: int) -> Reading | None:
    month = _MONTH_BEFORE.search(text, max(last, start - 12), start)
    day = _DAY.match(text, start) if month is not None else None
    if month is None or day is None:
        return None
    key = _day_key(day["y"], _ENGLISH.index(month["m"][:3].casefold()) + 1, int(day["d"]))
    return Reading("date", f"date:{key}", None, month.start(), day.end())


def _day_key(year: str | None, month: int, day: int) -> str:
    return f"{int(year)}-{month:02d}-{day:02d}" if year else f"--{month:02d}-{day:02d}"


def _quantity(text: str, start: int, end: int, last: int, before: str) -> tuple[Reading | None, int]:
    begin = start
    if before == ".":
        if start - 1 < last or (start >= 2 and (text[start - 2].isalnum() or text[start - 2] in "._/")):
            return None, end
        begin = start - 1
    elif before == "_" or (before.isascii() and before.isalpha()):
        return None, end
    if before not in _CALCULATING and (found := _fraction(text, start, last)):
        return found, found.end
    hit = _QUANTITY.match(text, start)
    if hit is None:
        return None, end
    digits, stop = hit["digits"], hit.end()
    number = number_of(digits)
    if number is None:
        return Reading("id", f"id:{digits}", None, start, hit.end("digits")), hit.end("digits")
    if begin < start:
        number = Fraction(number, 10 ** (hit.end("digits") - start)) if digits.isdigit() else None
        if number is None:
            return None, end
    begin, unit, negative = _ahead(text, begin, last)
    if negative:
        number = -number
    return _finished(text, hit, number, begin, stop, unit)


def _finished(
    text: str, hit: "re.Match[str]", number: Fraction, begin: int, stop: int, unit: str | None
) -> tuple[Reading | None, int]:
    """The number with what stands behind it; an identifier where letters follow that are no unit."""
    start = hit.start("digits")
    if hit["percent"]:
        return Reading("percent", f"percent:{fraction_text(number)}", number, begin, stop, "%"), stop
    if hit["ordinal"]:
        return Reading("number", f"number:{fraction_text(number)}", number, begin, stop, "ordinal"), stop
    if hit["times"] or (hit["glued"] and unit is not None):
        number *= TIMES[(hit["times"] or hit["glued"]).strip().casefold()]
        unit = unit or unit_behind(text, stop)
        return Reading("number", f"number:{fraction_text(number)}", number, begin, stop, unit), stop
    stop = hit.end("digits")
    after = text[stop : stop + 1]
    if after in ("", ",", ".", ")") and not text[stop + 1 : stop + 2].isdigit():
        return Reading("number", f"number:{fraction_text(number)}", number, begin, stop, unit), stop
    unit = unit or unit_behind(text, stop)
    if (after.isascii() and (after.isalpha() or after in "_-")) and not (unit and begin == start):
        token = _TOKEN.match(text, start)
        if token is not None and _LETTERS.search(text, start, token.end()) is not None:
            return _identifier(text, start) if begin == start else (None, token.end())
    if after == "_" or (after == "." and text[stop + 1 : stop + 2].isdigit()):
        return None, _dotted_end(text, stop)
    return Reading("number", f"number:{fraction_text(number)}", number, begin, stop, unit), stop


def _dotted_end(text: str, at: int) -> int:
    """Behind a version or an address such as 10.0.0.1."""
    while at < len(text) and (text[at].isalnum() or text[at] in "._"):
        at += 1
    return at


def _ahead(text: str, start: int, last: int) -> tuple[int, str | None, bool]:
    """Where a quantity begins, with its sign and currency before the digits."""
    begin, unit = start, None
    at = start - 1
    if at - 1 >= last and text[at] in " \u00a0" and text[at - 1] in SYMBOLS:
        at -= 1
    if at >= last and text[at] in SYMBOLS:
        begin, unit = at, SYMBOLS[text[at]]
    elif at - 3 >= last and text[at] == " " and text[at - 3 : at] in CODES:
        unit = text[at - 3 : at]
    if begin - 1 >= last and text[begin - 1] in "-−":
        before = text[max(0, begin - 9) : begin - 1].rstrip()[-1:]
        if not (before.isalnum() or before in (")", "]", "}", "%")) or (
            text[begin - 2 : begin - 1].isspace() and before.isalpha()
        ):
            return begin - 1, unit, True
    return begin, unit, False


def _fraction(text: str, start: int, last: int) -> Reading | None:
    hit = _FRACTION.match(text, start)
    if hit is None or int(hit["over"]) >= int(hit["under"]):
        return None
    if text[max(last, start - 4) : start].rstrip()[-1:] in _CALCULATING:
        return None
    number = Fraction(int(hit["over"]), int(hit["under"]))
    return Reading("number", f"number:{fraction_text(number)}", number, *hit.span())


def _quoted(text: str) -> Iterator[Reading]:
    for hit in _QUOTED.finditer(text):
        yield Reading("name", f"name:{hit['inner'].strip().casefold()}", None, *hit.span("inner"))


def _vulgar(text: str) -> Iterator[Reading]:
    for number, start, end in vulgar(text):
        yield Reading("number", f"number:{fraction_text(number)}", number, start, end)


def _written(text: str) -> Iterator[Reading]:
    for number, start, end, ordinal in written(text):
        unit = "ordinal" if ordinal else unit_behind(text, end)
        yield Reading("number", f"number:{fraction_text(number)}", number, start, end, unit, True)


__all__ = ["Reading", "ValueKind", "readings"]
