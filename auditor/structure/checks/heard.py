"""Everything that stood in a run before a place: values in all their forms, words, and recorded objects by their ids.

Filled step by step in the order of the run, so that a walk over a run stays linear. Asking whether something was heard
looks at earlier steps of all branches, not only at those the call could see: a value of another branch raises no alarm.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from auditor.records.messages import Span
from auditor.records.structure import Step
from auditor.structure.checks.forms import agree, endings, forms_of, kind_of, plain
from auditor.structure.layout import Layout, value_span
from auditor.structure.values import Value

_WORD = re.compile(r"[^\W_]+")
_TIME = re.compile(r"(?<![\d:.,$])(\d{1,2})\s{0,2}([ap])\.?m\b", re.IGNORECASE)
_SHIFTED = re.compile(
    r"\b(?:next|following|previous|prior|same|one|a|the) day(?: (?:later|earlier|before|after))?\b"
    r"|\btomorrow\b|\byesterday\b"
    r"|\bday (?:later|earlier|before|after)\b|\+1\b",
    re.IGNORECASE,
)
_NO_EVENT = frozenset({"dob", "birth", "birthday", "created", "updated", "modified"})
_NEXT_DAY = re.compile(r"\d\+1\b")
"""How time tables write an arrival on the next day."""
_MOST_ENTITIES = 8
"""Objects kept of one id, the latest."""
_MOST_RECENT = 240
_MOST_LEAVES = 400
"""An object with more fields is a list of everything: it says nothing of one thing."""


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A scalar of a recorded JSON text, or a value inside it."""

    path: tuple[str, ...]
    """Names on the way to it, without list positions."""
    kind: str
    text: str
    forms: frozenset[str]
    span: Span


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A recorded object that holds an id as one of its own fields."""

    step: Step
    leaves: Sequence[Leaf]
    asked: Sequence[Leaf] = ()
    """Arguments of the call that it is a result of: what was searched for holds for what was found."""

    def holds(self, forms: Iterable[str]) -> bool:
        return any(agree(forms, leaf.forms) for leaf in (*self.leaves, *self.asked))


@dataclass(frozen=True, kw_only=True)
class Read:
    """One step as all checks read it, once."""

    words: frozenset[str]
    rows: Sequence[tuple[Value, Leaf]]
    leaves: Sequence[Leaf]
    """One for each scalar of a JSON text."""


@dataclass
class Reader:
    """Reads the steps of a run; each step once, however many checks ask."""

    layout: Layout
    _read: dict[str, Read] = field(default_factory=dict)

    def read(self, step: Step) -> Read:
        known = self._read.get(step.id)
        if known is None:
            known = self._read[step.id] = self._look(step)
        return known

    def leaves(self, step: Step) -> Sequence[Leaf]:
        """Scalars of a step's JSON text, one for each field."""
        return self.read(step).leaves

    def _look(self, step: Step) -> Read:
        if step.span is None:
            return Read(words=frozenset(), rows=(), leaves=())
        text = self.layout.text(step.span)
        data = text.encode()
        rows: list[tuple[Value, Leaf]] = []
        leaves: dict[str, Leaf] = {}
        for value in self.layout.values_of(step.span):
            at = value.end - step.span.start
            after = data[at : at + 8].decode(errors="replace") if value.kind == "date" else ""
            leaf = _leaf(step.span, value, forms_of(value, after))
            rows.append((value, leaf))
            if value.pointer is not None and value.kind != "flag":
                leaves.setdefault(value.pointer, leaf)
        words = frozenset(word.casefold() for word in set(_WORD.findall(text)))
        return Read(words=words, rows=rows, leaves=list(leaves.values()))


@dataclass
class Heard:
    """What was heard so far; `add` takes the next step."""

    layout: Layout
    reader: Reader
    results: int = 0
    """Tool results so far."""
    asked_for: set[str] = field(default_factory=set)
    """Words of what users said."""
    event_days: set[str] = field(default_factory=set)
    """`day:05-24` of what was spoken of: no births, no dates of records' making, nothing of the system prompt."""
    shifted: bool = False
    """Somebody spoke of a day before or after another."""
    numbers: set[Fraction] = field(default_factory=set)
    recent: deque[Fraction] = field(default_factory=lambda: deque(maxlen=_MOST_RECENT))
    """Numbers heard last, each as often as it was."""
    _forms: set[str] = field(default_factory=set)
    _dated_days: set[str] = field(default_factory=set)
    """Days that were heard with a year."""
    _words: set[str] = field(default_factory=set)
    _entities: dict[str, list[Entity]] = field(default_factory=dict)
    _asked: dict[str, Sequence[Leaf]] = field(default_factory=dict)
    """Tool-call step -> its arguments."""
    _days: dict[tuple[str, str], list[Leaf]] = field(default_factory=dict)
    """Two codes in capitals -> dates that are fields of one object with them, or of the call that found it."""
    _pairs: dict[str, set[str]] = field(default_factory=dict)
    """Code in capitals -> codes in capitals that are fields of one object with it."""

    def add(self, step: Step) -> None:
        """Take in one step: its values and words, and its objects where it is a tool's result or arguments."""
        if step.span is None or step.kind == "selection":
            return
        text = self.layout.text(step.span)
        read = self.reader.read(step)
        words = read.words
        self._words |= words
        if step.rule == "role_user":
            self.asked_for |= words
        for hit in _TIME.finditer(text):
            hour = int(hit[1]) % 12 + (12 if hit[2].lower() == "p" else 0)
            self._forms.add(f"time:{hour * 60}")
        if not self.shifted:
            self.shifted = (_NEXT_DAY if step.kind == "tool_result" else _SHIFTED).search(text) is not None
        leaves: list[tuple[str, Leaf]] = []
        for value, leaf in read.rows:
            forms = leaf.forms
            self._dated_days |= {one[-5:] for one in forms if one.startswith("date:")}
            self._forms |= forms | endings(value) | {f"number:{one[5:9]}" for one in forms if one.startswith("date:")}
            if value.number is not None:
                self.numbers.add(value.number)
                self.recent.append(value.number)
            if value.pointer is not None:
                leaves.append((value.pointer, leaf))
            if leaf.kind == "date" and is_event(leaf) and step.rule != "role_system":
                self.event_days |= {form for form in forms if form.startswith("day:")}
        self.results += step.kind == "tool_result"
        if step.kind in ("tool_result", "tool_call"):
            self._objects(step, leaves)
            self._pair(step, leaves)
        if step.kind == "tool_call":
            self._asked[step.id] = [leaf for _, leaf in leaves][:_MOST_LEAVES]

    def knows(self, forms: Iterable[str]) -> bool:
        """One of these forms was heard."""
        given = set(forms)
        whole = {one for one in given if one.startswith("date:")}
        if whole:
            return bool(whole & self._forms) or any(
                f"day:{one[-5:]}" in self._forms and not self._dated(one[-5:]) for one in whole
            )
        return bool(given & self._forms)

    def word(self, text: str) -> bool:
        """All words of a text were heard."""
        words = _WORD.findall(text.casefold())
        return all(word in self._words for word in words)

    def entities(self, code: str) -> Sequence[Entity]:
        """Recorded objects with this code as one of their own fields, oldest first."""
        return self._entities.get(plain(code), ())

    def recorded_code(self, text: str) -> bool:
        """A code in capitals that is a field of a recorded object."""
        return text in self._pairs

    def paired(self, one: str, other: str) -> bool:
        """Two codes in capitals are fields of one recorded object."""
        return other in self._pairs.get(one, ())

    def days_of(self, one: str, other: str) -> Sequence[Leaf]:
        """Dates of recorded objects that hold both codes."""
        return self._days.get((min(one, other), max(one, other)), ())

    def _pair(self, step: Step, leaves: Sequence[tuple[str, Leaf]]) -> None:
        groups: dict[str, list[int]] = {}
        for at, (pointer, _) in enumerate(leaves):
            groups.setdefault(pointer.rpartition("/")[0], []).append(at)
        asked = [leaf for leaf in self._asked.get(step.parent or "", ()) if leaf.kind == "date"]
        for parent, own in groups.items():
            codes = [text for at in own if is_capitals(text := leaves[at][1].text)][:_MOST_ENTITIES]
            if len(codes) < 2:
                for one in codes:
                    self._pairs.setdefault(one, set()).add(one)
                continue
            entity = self._extent(step, leaves, own[0], parent)
            inside = entity.leaves if entity is not None else ()
            days = [*(leaf for leaf in inside if leaf.kind == "date" and is_event(leaf)), *asked]
            for one in codes:
                self._pairs.setdefault(one, set()).update(codes)
                for other in codes:
                    if one < other:
                        known = self._days.setdefault((one, other), [])
                        known.extend(days)
                        del known[:-_MOST_LEAVES]

    def _dated(self, day: str) -> bool:
        return day in self._dated_days

    def _objects(self, step: Step, leaves: Sequence[tuple[str, Leaf]]) -> None:
        """Remember each object under each code that is a field of its own."""
        extents: dict[str, Entity | None] = {}
        for at, (pointer, leaf) in enumerate(leaves):
            parent, _, name = pointer.rpartition("/")
            if leaf.kind not in ("code", "text") or name.isdigit() or not is_code(leaf.text):
                continue
            if parent not in extents:
                extents[parent] = self._extent(step, leaves, at, parent)
            entity = extents[parent]
            if entity is not None:
                known = self._entities.setdefault(plain(leaf.text), [])
                known.append(entity)
                del known[:-_MOST_ENTITIES]

    def _extent(self, step: Step, leaves: Sequence[tuple[str, Leaf]], at: int, parent: str) -> Entity | None:
        """The fields of the object at a pointer: they stand together."""
        prefix = parent + "/"
        start = at
        while start > 0 and leaves[start - 1][0].startswith(prefix) and at - start <= _MOST_LEAVES:
            start -= 1
        end = at
        while end < len(leaves) and leaves[end][0].startswith(prefix) and end - start <= _MOST_LEAVES:
            end += 1
        if end - start > _MOST_LEAVES:
            return None
        own = [leaf for _, leaf in leaves[start:end]]
        return Entity(step=step, leaves=own, asked=self._asked.get(step.parent or "", ()))


def is_event(leaf: Leaf) -> bool:
    """A date of what a thing is about, not of a birth or of the record's own making."""
    return not _NO_EVENT & {word.casefold() for word in re.findall(r"[^\W\d_]+", leaf.path[-1] if leaf.path else "")}


def is_capitals(text: str) -> bool:
    """Three capitals or more and nothing else: an airport, a currency, a code without digits."""
    return len(text) >= 3 and text.isascii() and text.isalpha() and text.isupper()


def is_code(text: str) -> bool:
    """One word with a digit and a letter, or in capitals: an identifier, no plain word."""
    if len(text) < 4 or not re.fullmatch(r"[\w-]+", text):
        return False
    has_letter, has_digit = any(one.isalpha() for one in text), any(one.isdigit() for one in text)
    return has_letter and (has_digit or (text.isupper() and len(text) >= 5))


def _leaf(outer: Span, value: Value, forms: frozenset[str]) -> Leaf:
    path = tuple(name for name in (value.pointer or "").split("/")[1:] if not name.isdigit())
    return Leaf(path=path, kind=kind_of(value), text=value.text, forms=forms,
                span=value_span(outer.message, outer.part, value))  # fmt: skip
