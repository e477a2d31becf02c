"""Masking before disk: what a project's rules find is replaced by `[redacted:<rule>:<8 hex digits>]`.

The digits are the start of a keyed hash, so that equal values are seen to be equal, in requests and responses alike,
and nothing else is told. A stream is masked as it comes: bytes that may be the beginning of a match are held back until
it is known, all others pass at once, and any way of cutting the stream gives the same result.

Not found: a secret that JSON escapes split (`\\u0073k-…`), one that a model writes in several events of a stream, and
one in base64.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import re2  # type: ignore[import-untyped]

from auditor.capture.cards import cards
from auditor.capture.patterns import BEFORE, BOUNDARY, Pattern, Unit, build, literal, read
from auditor.errors import BadInput
from auditor.records.exchange import Redaction

Where = Literal["request", "response", "header", "path"]
Fingerprint = Callable[[bytes], str]
Finder = Callable[[bytes, int], Iterator[tuple[int, int]]]
"""(text, place) -> (start, end) of all that is to be masked from there on, by its start."""
_TEXT = rb"[A-Za-z0-9_-]"
_ESCAPED = re.compile(rb'[\x00-\x1f"\\/\x7f-\xff]')
"""Bytes of a text that JSON may write in another way."""
_JWT = 4096
_SMALL = 256
"""What is held is looked at again with every piece up to here."""
_PEM = rb"[A-Za-z0-9+/=\\ \t\r\n:,]"


def _word(start: bytes, low: int, high: int, kind: bytes = rb"[A-Za-z0-9]") -> Pattern:
    return build([*literal(start), Unit(kind, low, high)], behind=BOUNDARY)


def _keys() -> tuple[Pattern, ...]:
    header = [*literal(b"-----BEGIN "), Unit(rb"[A-Z0-9 ]", 0, 40), *literal(b"PRIVATE KEY-----")]
    return (
        _word(b"sk-", 16, 512, _TEXT),  # OpenAI, Anthropic (sk-ant-), OpenRouter, Langfuse
        _word(b"AKIA", 16, 16, rb"[A-Z0-9]"), _word(b"ASIA", 16, 16, rb"[A-Z0-9]"),
        *(_word(b"gh%b_" % kind, 20, 255) for kind in (b"p", b"o", b"u", b"s", b"r")),
        _word(b"github_pat_", 22, 255, rb"[A-Za-z0-9_]"),
        *(_word(b"xox%b-" % kind, 10, 255, rb"[A-Za-z0-9-]") for kind in (b"a", b"b", b"e", b"o", b"p", b"r", b"s")),
        _word(b"AIza", 35, 64, _TEXT), _word(b"hf_", 20, 255),
        _word(b"aud_", 24, 255, _TEXT),  # our own
        build([*header, Unit(_PEM, 0, 16384), *literal(b"-----END "), Unit(rb"[A-Z0-9 ]", 0, 40),
               *literal(b"PRIVATE KEY-----")]),
        build([*header, Unit(rb"[A-Za-z0-9+/=\\\\ \t\r\n:,-]", 0, 16384)]),  # encrypted, or cut off before its end
    )  # fmt: skip


def _tokens() -> tuple[Pattern, ...]:
    jwt = [*literal(b"eyJ"), Unit(_TEXT, 8, _JWT), Unit(rb"\."), Unit(_TEXT, 8, _JWT), Unit(rb"\."),
           Unit(_TEXT, 0, _JWT)]  # fmt: skip
    value = Unit(rb"[A-Za-z0-9._~+/=-]", 16, _JWT)
    return (build(jwt, behind=BOUNDARY), *(build([*literal(word), value], behind=BOUNDARY)
                                           for word in (b"Bearer ", b"bearer ")))  # fmt: skip


def _email() -> tuple[Pattern, ...]:
    domain = [Unit(rb"[A-Za-z0-9.-]", 1, 253), Unit(rb"\."), Unit(rb"[A-Za-z]", 2, 24)]
    return (build([Unit(rb"[A-Za-z0-9._%+-]", 1, 64), Unit(b"@"), *domain]),)


def _card() -> tuple[Pattern, ...]:
    return (build([Unit(rb"[0-9]"), Unit(rb"[0-9 -]", 11, 36), Unit(rb"[0-9]")], behind=rb"(?<![0-9])"),)


BUILT_IN: Mapping[str, Callable[[], tuple[Pattern, ...]]] = {
    "keys": _keys, "tokens": _tokens, "email": _email, "card": _card,
}  # fmt: skip
FINDERS: Mapping[str, Finder] = {"card": cards}


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    pattern: Pattern
    finder: Finder | None = None
    """For what a pattern alone cannot tell; all it gives is matched by the pattern's beginning."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Compiled; shared by every call of a project. `starts` are literals, one of which every match of the rules in
    `started` begins with; the `others` begin with a class."""

    started: tuple[Rule, ...] = ()
    others: tuple[Rule, ...] = ()
    starts: tuple[bytes, ...] = ()
    any_start: Any = None
    """Finds any of the starts in one walk over the text (an automaton, as fast for many as for one)."""
    tails: frozenset[bytes] = frozenset()
    """Every proper beginning of a start."""
    last: frozenset[int] = field(default_factory=frozenset)
    """The last bytes of those."""
    plain: bool = False
    """Every match begins with a start, and JSON escapes none of their bytes unless as `\\uXXXX`."""

    def begins(self, text: bytes) -> bool:
        """Whether some start is in the text."""
        return self.any_start is not None and self.any_start.search(text) is not None

    def may_hold(self, text: bytes) -> bool:
        """False when nothing in a complete text can match; cheap."""
        if self.begins(text):
            return True
        return any(_matches(rule.pattern, text) for rule in self.others)


def _matches(pattern: Pattern, text: bytes) -> bool:
    if pattern.needs not in text:
        return False
    if pattern.lead is not None:  # a run of what may come before the mark is not walked again from each of its bytes
        return pattern.lead.find(text, 0, False) is not None
    return pattern.whole.search(text) is not None


@lru_cache(256)
def compile_rules(names: tuple[str, ...], custom: tuple[tuple[str, str], ...] = ()) -> Rules:
    """Rules by their names, and custom (name, pattern) pairs. BadInput for what does not exist or cannot be used."""
    rules: list[Rule] = []
    for name in names:
        if name not in BUILT_IN:
            raise BadInput("redaction", f"no rule is called {name!r:.80}", f"use {', '.join(BUILT_IN)}")
        rules += [Rule(name, pattern, FINDERS.get(name)) for pattern in BUILT_IN[name]()]
    rules += [Rule(name, read(name, text)) for name, text in custom]
    started = tuple(rule for rule in rules if len(rule.pattern.start) > 1)
    starts = tuple(dict.fromkeys(rule.pattern.start for rule in started))
    tails = frozenset(start[:size] for start in starts for size in range(1, len(start)))
    others = tuple(rule for rule in rules if len(rule.pattern.start) < 2)
    return Rules(
        started=started, others=others, starts=starts,
        plain=not others and not any(_ESCAPED.search(start) for start in starts), tails=tails,
        last=frozenset(tail[-1] for tail in tails), any_start=_any_of(starts),
    )  # fmt: skip


def _any_of(starts: tuple[bytes, ...]) -> Any:
    """One automaton for all starts, byte by byte; None without any."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(b"|".join(re2.escape(start) for start in starts), options) if starts else None


NO_RULES = Rules()


class _Next:
    """Where a rule matches next in one text: looked for only when what was found lies behind."""

    __slots__ = ("_all", "found", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.found: tuple[int, int] | None = (-1, -1)
        self._all: Iterator[tuple[int, int]] | None = None

    def after(self, text: bytes, place: int) -> tuple[int, int] | None:
        if self.rule.finder is not None and self._all is None:
            self._all = self.rule.finder(text, place)
        while self.found is not None and self.found[0] < place:
            self.found = self._search(text, place) if self._all is None else next(self._all, None)
        return self.found

    def _search(self, text: bytes, place: int) -> tuple[int, int] | None:
        pattern = self.rule.pattern
        if pattern.lead is not None:
            return pattern.lead.find(text, place, False)
        if pattern.needs and text.find(pattern.needs, place) < 0:
            return None
        match = pattern.whole.search(text, place)
        return match.span() if match is not None else None


def _first(text: bytes, place: int, hold: int, nexts: list[_Next]) -> tuple[Rule, int, int] | None:
    """The leftmost match that begins before `hold`; of several at one place, that of the first rule."""
    best: tuple[Rule, int, int] | None = None
    for own in nexts:
        found = own.after(text, place)
        if found is not None and found[0] < (hold if best is None else best[1]):
            best = own.rule, *found
    return best


class Masker:
    """One stream. What `feed` and `close` give, in order, is the masked stream."""

    __slots__ = ("_before", "_counts", "_held", "_holds", "_only", "_room", "fingerprint", "rules", "where")

    def __init__(self, rules: Rules, fingerprint: Fingerprint, where: Where = "request") -> None:
        self.rules = rules
        self.fingerprint = fingerprint
        self.where = where
        self._before = b""
        """The last bytes that were given out, for look-behind."""
        self._held: list[bytes] = []
        self._holds = 0
        self._only: re.Pattern[bytes] | None = None
        """The bytes that continue what is held, and how many of them may come before it must be looked at again."""
        self._room = 0
        self._counts: Counter[tuple[str, str]] | None = None

    @property
    def holds(self) -> int:
        """Bytes that wait."""
        return self._holds

    @property
    def found(self) -> tuple[Redaction, ...]:
        """What was masked so far."""
        counts: Mapping[tuple[str, str], int] = self._counts or {}
        return tuple(Redaction(rule=rule, where=self.where, hash=own, count=n) for (rule, own), n in counts.items())

    @property
    def distinct(self) -> int:
        """How many entries `found` has."""
        return len(self._counts) if self._counts else 0

    def feed(self, data: bytes) -> bytes:
        """More of the stream; gives what can be let go."""
        if not data:
            return b""
        if self._only is not None and self._goes_on(data):
            self._held.append(data)
            self._holds += len(data)
            return b""
        rules = self.rules
        if not self._held and not rules.others and data[-1] not in rules.last and not rules.begins(data):
            # nothing is here, and nothing can begin at the end
            self._before = data[-BEFORE:] if len(data) >= BEFORE else (self._before + data)[-BEFORE:]
            return data
        return self._scan(data, final=False)

    def close(self) -> bytes:
        """The stream has ended; gives what was held back."""
        return self._scan(b"", final=True) if self._held else b""

    def whole(self, data: bytes) -> bytes:
        """A stream that is one piece."""
        return self.feed(data) + self.close()

    # --- inside

    def _goes_on(self, data: bytes) -> bool:
        """Whether the data only continues the repeat that what is held ends in."""
        if self._only is None or len(data) > self._room or self._only.fullmatch(data) is None:
            return False
        self._room -= len(data)
        return True

    def _scan(self, data: bytes, *, final: bool) -> bytes:
        text = b"".join((self._before, *self._held, data))
        place = len(self._before)
        rules = [rule for rule in self.rules.started if rule.pattern.start in text] + list(self.rules.others)
        nexts: list[_Next] = [_Next(rule) for rule in rules]
        pieces: list[bytes] = []
        hold = len(text) if final else self._hold(text, place, rules)
        while True:
            if place > hold:
                hold = self._hold(text, place, rules)
            found = _first(text, place, hold, nexts)
            if found is None:
                break
            rule, start, end = found
            pieces += (text[place:start], self._mask(rule.name, text[start:end]))
            place = end
        pieces.append(text[place:hold])
        self._before = text[max(0, hold - BEFORE) : hold]
        self._held = [text[hold:]] if hold < len(text) else []
        self._holds = len(text) - hold
        self._follow(text, hold, rules)
        return b"".join(pieces)

    def _follow(self, text: bytes, hold: int, rules: list[Rule]) -> None:
        """Which long repeat, if any, what is held ends in."""
        self._only, self._room = None, 0
        if len(text) - hold < _SMALL:
            return
        for rule in rules:
            if not text.startswith(rule.pattern.start, hold):
                continue
            for run in rule.pattern.runs:
                found = run.until.match(text, hold)
                if found is not None:
                    self._only, self._room = run.only, run.high - len(found[1])
                    return

    def _hold(self, text: bytes, place: int, rules: list[Rule]) -> int:
        """From where on a match may begin that goes beyond the last byte."""
        hold = len(text)
        for rule in rules:
            pattern = rule.pattern
            low = max(place, len(text) - pattern.longest)
            if pattern.lead is not None:
                found = pattern.lead.find(text, low, True)
                at = found[0] if found is not None else -1
            elif len(pattern.start) > 1:
                at = text.find(pattern.start, low, hold)
                while at >= 0 and not pattern.beginning.match(text, at):
                    at = text.find(pattern.start, at + 1, hold)
            else:
                match = pattern.beginning.search(text, low)
                at = match.start() if match is not None and match.start() < len(text) else -1
            if 0 <= at < hold:
                hold = at
        if text[-1] in self.rules.last:
            for size in range(max(map(len, self.rules.starts)) - 1, 0, -1):
                if len(text) - size >= place and text[-size:] in self.rules.tails:
                    return min(hold, len(text) - size)
        return hold

    def _mask(self, rule: str, value: bytes) -> bytes:
        own = self.fingerprint(value)
        if self._counts is None:
            self._counts = Counter()
        self._counts[rule, own] += 1
        return b"[redacted:%b:%b]" % (rule.encode(), own.rpartition(":")[2][:8].encode())


def mask_text(rules: Rules, fingerprint: Fingerprint, text: str, where: Where) -> tuple[str, tuple[Redaction, ...]]:
    """A short text, masked, and what was found in it."""
    data = text.encode("utf-8", "surrogatepass")
    if not rules.may_hold(data):
        return text, ()
    masker = Masker(rules, fingerprint, where)
    return masker.whole(data).decode("utf-8", "surrogatepass"), masker.found


def merged(*groups: tuple[Redaction, ...]) -> tuple[Redaction, ...]:
    """Redactions of several streams; equal ones are added up."""
    counts: Counter[tuple[str, Where, str]] = Counter()
    for group in groups:
        for one in group:
            counts[one.rule, one.where, one.hash] += one.count
    return tuple(Redaction(rule=rule, where=where, hash=own, count=n) for (rule, where, own), n in counts.items())
