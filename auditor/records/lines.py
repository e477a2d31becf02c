"""Ids of the messages a call saw, in order.

The calls of one conversation see ever longer beginnings of one list. They share it, so that n calls cost n places in
memory and not n²/2; each `Line` knows how much of the list is its own. Written to JSON a line is its last id and its
length: every message of a run names the one before it, so that says it all, in n places and not n²/2.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload


class Shared:
    """A list that only grows, and where each id stands in it. An id stands in it once: ids are chained hashes."""

    __slots__ = ("ids", "places")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids: list[str] = []
        self.places: dict[str, int] = {}
        for one in ids:
            self.append(one)

    def append(self, ident: str) -> None:
        self.places.setdefault(ident, len(self.ids))
        self.ids.append(ident)


class Line(Sequence[str]):
    """The first `size` ids of a shared list. Equal to any sequence of the same ids."""

    __slots__ = ("_shared", "_size")

    def __init__(self, ids: Iterable[str] | Shared = (), size: int | None = None) -> None:
        self._shared = ids if isinstance(ids, Shared) else Shared(ids)
        self._size = len(self._shared.ids) if size is None else size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Line": ...
    def __getitem__(self, index: "int | slice") -> "str | Line":
        if isinstance(index, slice):
            return Line(self._shared.ids[at] for at in range(*index.indices(self._size)))
        at = index + self._size if index < 0 else index
        if not 0 <= at < self._size:
            raise IndexError(index)
        return self._shared.ids[at]

    def __iter__(self) -> Iterator[str]:
        return (self._shared.ids[at] for at in range(self._size))

    def __contains__(self, ident: object) -> bool:
        place = self._shared.places.get(ident) if isinstance(ident, str) else None
        return place is not None and place < self._size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Line | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(mine == one for mine, one in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Written as {"last", "count"} (https://docs.pydantic.dev/latest/concepts/types/); see `joined`."""
        text, whole = {"type": "str"}, {"type": "int", "ge": 0}
        end = {"type": "typed-dict", "extra_behavior": "forbid", "fields": {
            "last": {"type": "typed-dict-field", "schema": {"type": "nullable", "schema": text}},
            "count": {"type": "typed-dict-field", "schema": whole},
        }}  # fmt: skip
        known = {"type": "is-instance", "cls": cls}
        read = {"type": "function-after", "function": {"type": "no-info", "function": _End.of}, "schema": end}
        return {
            "type": "union", "choices": [known, read, handler(tuple[str, ...])],
            "serialization": {"type": "function-plain", "function": _written},
        }  # fmt: skip


class _End(Line):
    """A line as it was read: only its end is known until `joined` finds the rest."""

    __slots__ = ("last", "length")

    def __init__(self, last: str | None, length: int) -> None:
        super().__init__()
        self.last = last
        self.length = length

    @staticmethod
    def of(form: Mapping[str, Any]) -> "_End":
        return _End(form["last"], form["count"])


def joined(lines: Sequence[Sequence[str]], parents: Mapping[str, str | None]) -> list[Line]:
    """Lines that were read, whole again. `parents`: each message's id and that of the one before it. ValueError for a
    line that names messages nobody has."""
    whole: list[Line] = []
    shared = Shared()
    for line in lines:
        if not isinstance(line, _End):
            whole.append(line if isinstance(line, Line) else Line(line))
            continue
        grown = _grown(shared, line, parents)
        if grown is None:
            shared = Shared()
            grown = _grown(shared, line, parents)
        if grown is None:
            raise ValueError(f"a call names {line.length} messages up to {line.last!r}, which the run does not have")
        whole.append(grown)
    return whole


def _grown(shared: Shared, end: _End, parents: Mapping[str, str | None]) -> Line | None:
    """The line over a list that it goes on from (at its end) or lies in; None where it does neither."""
    missing: list[str] = []
    at, left = end.last, end.length
    while left and at is not None and at not in shared.places:
        if at not in parents:
            return None
        missing.append(at)
        at, left = parents[at], left - 1
    place = -1 if not left or at is None else shared.places[at]
    if place != left - 1 or (missing and left != len(shared.ids)):
        return None
    for one in reversed(missing):
        shared.append(one)
    return Line(shared, end.length)


def _written(line: Sequence[str]) -> dict[str, Any]:
    return {"last": line[-1] if len(line) else None, "count": len(line)}


__all__ = ["Line", "Shared", "joined"]
