"""Arguments of a store's queries, checked once, and the breadth-first walk that honours a limit."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from graph.errors import InvalidGraphValue
from graph.model import GRADES, Grade, Node, Relation, Subgraph

Key = TypeVar("Key", int, str)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which relations a query follows and returns."""

    grades: tuple[Grade, ...]
    min_effect: float | None

    def admits(self, relation: Relation) -> bool:
        """Whether `relation` is followed and returned."""
        if relation.grade not in self.grades:
            return False
        if self.min_effect is None or relation.grade != "causal":
            return True
        return relation.effect is not None and abs(relation.effect) >= self.min_effect


def relation_filter(grades: Collection[Grade] | None, min_effect: float | None = None) -> Filter:
    """Check and keep what a caller asks for.

    Raises:
        InvalidGraphValue: an unknown grade, or an effect that is negative or not finite.
    """
    wanted = GRADES if grades is None else tuple(grade for grade in GRADES if grade in grades)
    unknown = sorted(str(grade) for grade in set(grades or ()) - set(GRADES))
    if unknown:
        raise InvalidGraphValue(f"unknown grade {', '.join(unknown)}; use {', '.join(GRADES)}")
    if min_effect is not None and not (math.isfinite(min_effect) and min_effect >= 0):
        raise InvalidGraphValue(f"min_effect is an absolute effect from 0, not {min_effect!r}")
    return Filter(grades=wanted, min_effect=None if min_effect is None else float(min_effect))


def check_number(what: str, value: int | None, least: int) -> None:
    """Refuse a limit or a number of hops below `least`."""
    if value is not None and value < least:
        raise InvalidGraphValue(f"{what} must be at least {least}, not {value}")


def nearest(start: Key, expand: Callable[[Sequence[Key], Collection[Key], int], Sequence[Key]], *,
            limit: int, hops: int | None = None) -> tuple[list[Key], bool]:
    """Walk outwards from `start`, level by level, until `limit` nodes are found or nothing is left.

    Stops early, so that a node with a hundred thousand relations costs one sorted look-up and not a walk of the
    graph.

    Args:
        start: a node that exists.
        expand: (level, seen, room) → up to `room` nodes one relation away from the level and not seen, least id
            first.
        limit: largest number of nodes, `start` included.
        hops: largest number of levels beyond `start`; None for no bound.

    Returns:
        The nodes found, nearest first, and whether there were more.
    """
    found, seen, level, depth = [start], {start}, [start], 0
    while level and (hops is None or depth < hops):
        room = limit - len(found)
        level = list(expand(level, seen, room + 1))
        if len(level) > room:
            return found + level[:room], True
        found.extend(level)
        seen.update(level)
        depth += 1
    return found, False


def subgraph(nodes: Iterable[Node], relations: Iterable[Relation], truncated: bool = False) -> Subgraph:
    """A subgraph in its canonical order."""
    return Subgraph(
        nodes=tuple(sorted(nodes, key=lambda node: node.id)),
        relations=tuple(sorted(
            relations, key=lambda item: (item.source, item.type, item.target, item.grade, item.key))),
        truncated=truncated,
    )
