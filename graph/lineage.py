"""Answers to "why this step?" on a subgraph that a store has fetched; pure, with networkx.

The question has two honest readings, kept apart here: *what could it come from* (`graded_slice`: everything upstream,
each node with the firmest kind of knowledge that connects it) and *how, in a few words* (`explanation`: the shortest
chain that rests on the firmest relations there are). A chain is as firm as its weakest link:

    causal > recorded > inferred > read > stated

Blind spots: firmness orders kinds of knowledge, it is no probability; an effect measured hop by hop does not multiply
along a chain, so no number is given for a whole chain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from graph.model import Grade, Relation, Subgraph
from graph.store import Path

FIRMNESS: tuple[Grade, ...] = ("causal", "recorded", "inferred", "read", "stated")
"""Grades, firmest first: measured by intervention, joined by id, guessed, looked at, said."""

_PATIENCE = 200_000

if TYPE_CHECKING:
    import networkx as nx
# networkx is loaded by the first question: it would cost a server a third of its start-up.


@dataclass(frozen=True, kw_only=True)
class GradedSlice:
    """What lies upstream of a node, told apart by how it is known."""

    start: str
    support: Mapping[str, Grade]
    """Node id → the weakest link of the firmest chain that connects it to the start; the start itself is left out."""
    distance: Mapping[str, int]
    """Node id → fewest relations between it and the start, over all grades."""
    by_grade: Mapping[Grade, tuple[Relation, ...]]
    """Relations of the slice, by grade; every grade has an entry."""
    strongest: tuple[Relation, ...]
    """Causal relations of the slice with a measured effect, largest absolute effect first."""


def graded_slice(subgraph: Subgraph, start: str) -> GradedSlice:
    """Everything `start` may come from within `subgraph`, with the grades told apart."""
    import networkx as nx

    distance = dict(nx.single_source_shortest_path_length(_graph(subgraph, FIRMNESS, start), start))
    support: dict[str, Grade] = {}
    for rank, grade in enumerate(FIRMNESS):
        for name in nx.descendants(_graph(subgraph, FIRMNESS[: rank + 1], start), start):
            support.setdefault(name, grade)
    inside = [item for item in subgraph.relations if item.source in distance and item.target in distance]
    measured = [item for item in inside if item.grade == "causal" and item.effect is not None]
    return GradedSlice(
        start=start, support=support, distance={name: hops for name, hops in distance.items() if name != start},
        by_grade={grade: tuple(item for item in inside if item.grade == grade) for grade in FIRMNESS},
        strongest=tuple(sorted(measured, key=lambda item: (-abs(item.effect or 0.0), item.id))),
    )


def explanation(subgraph: Subgraph, later: str, earlier: str) -> Path:
    """The shortest chain from `later` back to `earlier` among those whose weakest link is firmest; empty when there
    is none.
    """
    for rank in range(len(FIRMNESS)):
        paths = shortest_paths(subgraph, later, earlier, 1, FIRMNESS[: rank + 1])
        if paths:
            return paths[0]
    return ()


def shortest_paths(subgraph: Subgraph, later: str, earlier: str, limit: int,
                   grades: Sequence[Grade] = FIRMNESS) -> list[Path]:
    """Up to `limit` paths without repeated nodes from `later` back to `earlier`, shortest first, ties by node ids.

    A* over partial paths with the exact remaining distance as the bound (Hart, Nilsson & Raphael 1968): in a graph
    without cycles each partial path taken up is part of an answer, so the cost is about limit × length × branching.
    Cycles can hide dead ends from the bound; the search then gives up after `_PATIENCE` partial paths with what it
    has found.
    """
    import networkx as nx

    links = _firmest(subgraph, grades)
    onward: dict[str, list[str]] = {}
    for source, target in links:
        onward.setdefault(source, []).append(target)
    # Handing the edges to the constructor would make networkx look for pandas.
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from(links)
    if later == earlier or later not in graph or earlier not in graph:
        return []
    remaining = nx.single_source_shortest_path_length(graph.reverse(copy=False), earlier)
    found: list[Path] = []
    if later not in remaining:
        return found
    # Longer partial paths first among equals, so that one path is finished before all its twins are begun.
    queue: list[tuple[int, int, tuple[str, ...]]] = [(remaining[later], 0, (later,))]
    for _ in range(_PATIENCE):
        if not queue or len(found) == limit:
            break
        _, depth, path = heappop(queue)
        if path[-1] == earlier:
            found.append(tuple(links[hop] for hop in zip(path, path[1:], strict=False)))
            continue
        for name in onward.get(path[-1], ()):
            if name in remaining and name not in path:
                heappush(queue, (len(path) + remaining[name], depth - 1, (*path, name)))
    return found


def _firmest(subgraph: Subgraph, grades: Sequence[Grade]) -> dict[tuple[str, str], Relation]:
    """(source, target) → the firmest relation between them; of two equally firm ones the larger effect, then the
    lesser id.
    """
    best: dict[tuple[str, str], tuple[int, float, str, Relation]] = {}
    for item in subgraph.relations:
        if item.grade in grades:
            rank = (FIRMNESS.index(item.grade), -abs(item.effect or 0.0), item.id, item)
            hop = (item.source, item.target)
            if hop not in best or rank[:3] < best[hop][:3]:
                best[hop] = rank
    return {hop: best[hop][3] for hop in sorted(best)}


def _graph(subgraph: Subgraph, grades: Sequence[Grade], start: str) -> "nx.DiGraph[str]":
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node(start)
    graph.add_edges_from((item.source, item.target) for item in subgraph.relations if item.grade in grades)
    return graph
