"""The messages of one call after another, of which most were there before: only what is new is hashed and kept."""

from collections.abc import Callable, Sequence

from auditor.records.lines import Line, Shared
from auditor.records.messages import Message, PlacedMessage, place

Placing = Callable[[tuple[Message, ...], str | None], Sequence[PlacedMessage]]
"""Gives a conversation's messages their ids after a root."""
_MOST_BRANCHES = 8
"""Conversations that are remembered side by side; an older one is hashed again when it comes back."""


class Prefixes:
    """Conversations that start from one root (of a run; None where ids are to be the same in all runs)."""

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._branches: list[tuple[list[Message], Shared, list[PlacedMessage]]] = []
        """The one used last comes last."""

    def place(self, messages: Sequence[Message]) -> tuple[Sequence[PlacedMessage], Line]:
        """The messages behind the longest beginning that was placed before, and the ids of all."""
        best, size = -1, 0
        for at in range(len(self._branches) - 1, -1, -1):
            common = _common(self._branches[at][0], messages)
            if common > size:
                best, size = at, common
            if size == len(messages):
                break
        if best < 0:
            known, shared, placed = list[Message](), Shared(), list[PlacedMessage]()
        else:
            known, shared, placed = self._branches.pop(best)
            if size < len(known) and size < len(messages):  # it forks here
                self._branches.append((known, shared, placed))
                known, shared, placed = known[:size], Shared(shared.ids[:size]), placed[:size]
        fresh = place(tuple(messages[size:]), shared.ids[size - 1] if size else self._root)
        if size == len(known):
            known.extend(messages[size:])
            for one in fresh:
                shared.append(one.id)
            placed.extend(fresh)
        self._branches.append((known, shared, placed))
        del self._branches[:-_MOST_BRANCHES]
        return fresh, Line(shared, len(messages))

    def all(self, messages: Sequence[Message]) -> Sequence[PlacedMessage]:
        """All of the messages, placed."""
        self.place(messages)
        return self._branches[-1][2][: len(messages)]


def _common(known: Sequence[Message], messages: Sequence[Message]) -> int:
    """How many messages at the beginning are the same."""
    size = min(len(known), len(messages))
    if list(known[:size]) == list(messages[:size]):  # the same objects compare at once
        return size
    return next((at for at in range(size) if known[at] != messages[at]), size)


__all__ = ["Placing", "Prefixes"]
