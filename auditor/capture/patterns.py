"""Patterns of redaction: a small language whose matches can be found in a stream, in linear time and bounded memory.

A pattern is a row of characters, classes and bounded repeats (`INV-[0-9]{6,10}`): no groups, no alternatives, no
look-around. So for every pattern the expression that recognises a *beginning* of a match at the end of what was read so
far can be derived, which is what makes masking independent of how a stream is cut. Two repeats that could share
characters must have something between them that the first cannot hold; that rules out catastrophic backtracking.
"""

import re
from dataclasses import dataclass, field

from auditor.errors import BadInput

MOST_CHARACTERS = 200
"""Longest custom pattern."""
MOST_REPEATS = 256
"""What `*`, `+` and a custom repeat reach at most, and the most bytes a custom match has in all."""
_ESCAPES = {"d": rb"[0-9]", "w": rb"[A-Za-z0-9_]", "s": rb"[ \t\r\n]"}
_REPEAT = re.compile(r"\{(\d{1,5})(?:(,)(\d{0,5}))?\}")
_SETS = re.compile(r"\[|--|&&|~~|\|\|")
_CLASS = re.compile(r"\[\^?(?:\\.|[^\\\]])+\]")
BOUNDARY = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
"""A word begins here: after no letter or digit, or after an escape of JSON or of an address."""
BEFORE = 6
"""Bytes that BOUNDARY looks back."""


LONG = 512
"""A repeat of so many bytes is worth being followed from piece to piece."""
_CONTINUED = rb"[\x80-\xbf]"
_CUT = rb"(?:[\xc0-\xff][\x80-\xbf]{0,2}(?=[\x80-\xbf]))?"
"""What of a UTF-8 character lies before a match that would begin inside of it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One character or class, `low` to `high` times."""

    what: bytes
    """A regular expression that takes exactly one byte."""
    low: int = 1
    high: int = 1

    def expression(self, low: int | None = None) -> bytes:
        low = self.low if low is None else low
        return self.what if (low, self.high) == (1, 1) else b"%b{%d,%d}" % (self.what, low, self.high)

    def bytes(self) -> frozenset[int]:
        """Every byte it takes."""
        one = re.compile(self.what, re.DOTALL)
        return frozenset(value for value in range(256) if one.fullmatch(bytes([value])))


@dataclass(frozen=True, slots=True)
class Lead:
    """Of a pattern that goes `start`, one repeat, a byte that is neither in that repeat nor in `start`, and a rest.

    All places within one run of the repeat's bytes have the run's end in common, and so whether the rest matches
    there. They are therefore looked at together: else each costs a walk over the run again.
    """

    head: re.Pattern[bytes]
    """The start of a match, with what must be before it."""
    size: int
    """Bytes of the start."""
    run: re.Pattern[bytes]
    low: int
    high: int
    mark: bytes
    """The byte behind the run."""
    bytes_: bytes
    """What the run is made of."""
    rest: re.Pattern[bytes]
    """From the mark on."""
    beginning: re.Pattern[bytes]
    """The same, where it goes on beyond the last byte."""

    def find(self, text: bytes, place: int, ending: bool) -> tuple[int, int] | None:
        """(start, end) of the first match, or, when `ending`, of the first beginning of one."""
        return self._word(text, place, ending) if self.size else self._class(text, place, ending)

    def _word(self, text: bytes, place: int, ending: bool) -> tuple[int, int] | None:
        head = self.head.search(text, place)
        while head is not None:
            found = self.run.match(text, head.end())
            stop = found.end() if found is not None else head.end()
            end = self._end(text, stop, ending)
            if end is not None:
                low = 0 if ending and stop == len(text) else self.low
                head = self.head.search(text, max(head.start(), stop - self.high - self.size))
                if head is not None and head.end() + low <= stop:
                    return head.start(), end
            head = self.head.search(text, stop)
        return None

    def _class(self, text: bytes, place: int, ending: bool) -> tuple[int, int] | None:
        if not ending:
            found = self.rest.search(text, place)  # quicker than a step of ours for each mark
            while found is not None:
                start = self._run_before(text, place, found.start())
                if found.start() - start >= self.low:
                    return start, found.end()
                found = self.rest.search(text, found.start() + 1)
            return None
        mark = text.find(self.mark, place)
        while mark >= 0:
            start = self._run_before(text, place, mark)
            if mark - start >= self.low:
                end = self._end(text, mark, ending)
                if end is not None:
                    return start, end
            mark = text.find(self.mark, mark + 1)
        start = self._run_before(text, place, len(text)) if ending else len(text)
        return (start, len(text)) if start < len(text) else None

    def _run_before(self, text: bytes, place: int, stop: int) -> int:
        tail = text[max(place, stop - self.high) : stop]
        return stop - len(tail) + len(tail.rstrip(self.bytes_))

    def _end(self, text: bytes, stop: int, ending: bool) -> int | None:
        if stop == len(text):
            return stop if ending else None
        found = (self.beginning if ending else self.rest).match(text, stop)
        return None if found is None else found.end()


@dataclass(frozen=True, slots=True)
class Run:
    """A long repeat of a pattern: a beginning of a match that ends inside of it goes on while its bytes come."""

    until: re.Pattern[bytes]
    """From the beginning to the end of the bytes; its group is what of them is the repeat."""
    only: re.Pattern[bytes]
    high: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """`whole` finds a match; `beginning` matches where one may begin and goes on beyond the last byte."""

    whole: re.Pattern[bytes]
    beginning: re.Pattern[bytes]
    start: bytes
    """The literal every match begins with, or empty."""
    needs: bytes
    """The longest literal in every match, or empty."""
    longest: int
    """Bytes of the longest match."""
    firsts: frozenset[int] = field(default_factory=frozenset)
    """Bytes a match may begin with."""
    lead: Lead | None = None
    runs: tuple[Run, ...] = ()


def build(units: list[Unit], *, behind: bytes = b"", ahead: bytes = b"", ahead_most: int = 0) -> Pattern:
    """A pattern of units; `behind` is a look-behind of at most BEFORE bytes, `ahead` an optional part before the first
    unit, of at most `ahead_most` bytes, which takes what a match would else cut in two."""
    beginning = _beginning(units)
    literals = _literals(units)
    start = _start(units)
    firsts: frozenset[int] = frozenset()
    for unit in units:
        firsts |= unit.bytes()
        if unit.low:
            break
    loose = _beginning([Unit(rb"[\x80-\xff]", 0, ahead_most), *units]) if ahead else beginning
    return Pattern(
        whole=re.compile(behind + ahead + b"".join(unit.expression() for unit in units)),
        beginning=re.compile(behind + loose), start=start, needs=max(literals, key=len, default=b""),
        longest=sum(unit.high for unit in units) + ahead_most, firsts=firsts,
        lead=None if ahead else _lead(units, start, behind), runs=() if ahead else _runs(units, behind),
    )  # fmt: skip


def _beginning(units: list[Unit]) -> bytes:
    beginning = b""
    for unit in reversed(units):
        # Either the bytes end inside this unit, or it is complete and they end inside a later one.
        rest = b"|%b%b" % (unit.expression(), beginning) if beginning else b""
        beginning = b"(?:%b\\Z%b)" % (Unit(unit.what, 0, unit.high).expression(0), rest)
    return beginning


def _start(units: list[Unit]) -> bytes:
    start = b""
    for unit in units:
        if not _is_literal(unit):
            break
        start += re.sub(rb"^\\", b"", unit.what) * unit.low
    return start


def _lead(units: list[Unit], start: bytes, behind: bytes) -> Lead | None:
    first = next((place for place, unit in enumerate(units) if not _is_literal(unit)), len(units))
    if first + 1 >= len(units) or len(start) == 1 or (behind and not start):
        return None
    run, rest = units[first], units[first + 1 :]
    taken = run.bytes()
    mark = _start(rest)[:1]
    if not mark or mark[0] in taken or not set(start) <= taken or run.low < 1 or run.high < 64:
        return None
    return Lead(
        head=re.compile(behind + re.escape(start)), size=len(start), run=re.compile(run.what + b"*"), low=run.low,
        high=run.high, mark=mark, bytes_=bytes(taken), rest=re.compile(b"".join(unit.expression() for unit in rest)),
        beginning=re.compile(_beginning(rest)),
    )  # fmt: skip


def _runs(units: list[Unit], behind: bytes) -> tuple[Run, ...]:
    return tuple(
        Run(re.compile(behind + b"".join(one.expression() for one in units[:place]) + b"(%b)\\Z" % unit.expression(0)),
            re.compile(unit.what + b"*"), unit.high)
        for place, unit in enumerate(units) if unit.high >= LONG
    )  # fmt: skip


def literal(text: bytes) -> list[Unit]:
    return [Unit(re.escape(text[place : place + 1])) for place in range(len(text))]


def read(name: str, text: str) -> Pattern:
    """A custom pattern; BadInput says what of it cannot be used and why."""
    where = f"patterns.{name}"
    if not text or len(text) > MOST_CHARACTERS:
        raise BadInput(where, f"has {len(text)} characters", f"write 1 to {MOST_CHARACTERS}")
    units = _units(where, text)
    if sum(unit.high for unit in units) > 4 * MOST_REPEATS:
        raise BadInput(where, "may match too much at once", f"keep a match below {4 * MOST_REPEATS} bytes")
    if sum(unit.low for unit in units) < 4:
        raise BadInput(where, "matches fewer than 4 characters", "describe something longer: it would mask everything")
    _check_repeats(where, units)
    # Classes take bytes. Where they take some that are parts of characters, a match grows to whole characters.
    firsts = units[: next((place + 1 for place, unit in enumerate(units) if unit.low), len(units))]
    if any(max(unit.bytes()) > 127 and not _is_literal(unit) for unit in units):
        units.append(Unit(_CONTINUED, 0, 3))
    cut = any(max(unit.bytes()) > 127 and not _is_literal(unit) for unit in firsts)
    try:
        return build(units, ahead=_CUT, ahead_most=3) if cut else build(units)
    except RecursionError as fault:
        raise BadInput(where, f"has {len(units)} parts in a row, too many to search for", "shorten it") from fault


def _units(where: str, text: str) -> list[Unit]:
    units: list[Unit] = []
    place = 0
    while place < len(text):
        what, place = _one(where, text, place)
        low, high, place = _times(where, text, place)
        # Beyond ASCII a character has several bytes, which can be repeated only together.
        if len(what) > 1 and (low, high) != (1, 1):
            raise BadInput(where, "repeats a character beyond ASCII", "repeat ASCII characters and classes only")
        units += [Unit(one, low, high) for one in what]
    return units


def _one(where: str, text: str, place: int) -> tuple[list[bytes], int]:
    """The expressions of the bytes of one character or class, and the place behind it."""
    char = text[place]
    if char == "\\":
        follows = text[place + 1 : place + 2]
        if follows in _ESCAPES:
            return [_ESCAPES[follows]], place + 2
        if not follows or follows.isalnum():
            raise BadInput(where, f"has the escape \\{follows}", r"use \d, \w, \s or escape a sign")
        return [re.escape(one) for one in _split(follows)], place + 2
    if char == "[":
        found = _CLASS.match(text, place)
        if found is None or not found[0].isascii():
            raise BadInput(where, "has a class that does not end, or is not ASCII", "write [A-Z0-9]")
        # What other engines read as operations between sets, Python takes with a warning and may read so one day.
        if _SETS.search(re.sub(r"\\.", "", found[0][1:-1])):
            raise BadInput(where, "has a class with [, --, &&, ~~ or || inside", r"escape the sign: [\[a]")
        try:
            re.compile(found[0].encode())
        except re.error as fault:
            raise BadInput(where, f"has a class that cannot be read: {fault}", "write [A-Z0-9]") from fault
        return [found[0].encode()], found.end()
    if char == ".":
        return [rb"[^\r\n]"], place + 1
    if char in "()|^$*+?{":
        raise BadInput(where, f"has {char!r}, which is not part of this language",
                       "write characters, classes and bounded repeats; write alternatives as patterns of their own")
    return [re.escape(one) for one in _split(char)], place + 1


def _times(where: str, text: str, place: int) -> tuple[int, int, int]:
    """(least, most, the place behind the repeat)."""
    char = text[place : place + 1]
    if char in ("*", "+", "?") and char:
        low, high = {"*": (0, MOST_REPEATS), "+": (1, MOST_REPEATS), "?": (0, 1)}[char]
        end = place + 1
    elif found := _REPEAT.match(text, place):
        low = int(found[1])
        high = low if found[2] is None else int(found[3] or MOST_REPEATS)
        end = found.end()
    else:
        return 1, 1, place
    if text[end : end + 1] in ("*", "+", "?", "{") and end < len(text):
        raise BadInput(where, "repeats a repeat", "repeat once, with bounds: {2,20}")
    if not low <= high <= MOST_REPEATS or high == 0:
        raise BadInput(where, "has a repeat out of bounds", f"repeat up to {MOST_REPEATS} times")
    return low, high, end


def _check_repeats(where: str, units: list[Unit]) -> None:
    for number, first in enumerate(units):
        if first.low == first.high:
            continue
        taken = first.bytes()
        for later in units[number + 1 :]:
            if later.low and not later.bytes() & taken:
                break  # the first repeat must end before this one
            if later.low != later.high and later.bytes() & taken:
                raise BadInput(where, "has two repeats that can share characters, which can take very long",
                               "put something between them that the first cannot hold")  # fmt: skip


def _split(char: str) -> list[bytes]:
    data = char.encode("utf-8", "surrogatepass")
    return [data[place : place + 1] for place in range(len(data))]


def _is_literal(unit: Unit) -> bool:
    return unit.low == unit.high and (len(unit.what) == 1 or (len(unit.what) == 2 and unit.what[:1] == b"\\"))


def _literals(units: list[Unit]) -> list[bytes]:
    found, current = [], b""
    for unit in units:
        if _is_literal(unit):
            current += unit.what[-1:] * unit.low
        else:
            found.append(current)
            current = b""
    return [*found, current]
