"""Ids of the messages a call saw, in order.

The calls of one conversation see ever longer beginnings of one list. They share it, so that n calls cost n places in
memory and not n²/2; each `Line` knows how much of the list is its own. Written to JSON it is a plain array.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
        """Read from and written as an array (https://docs.pydantic.dev/latest/concepts/types/)."""
        return {
            "type": "function-after", "function": {"type": "no-info", "function": cls},
            "schema": handler(tuple[str, ...]), "serialization": {"type": "function-plain", "function": list},
        }  # fmt: skip


__all__ = ["Line", "Shared"]
