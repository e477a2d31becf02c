"""The graph in memory: the fake that ships, and the plainest reading of the protocol.

It keeps two dictionaries and walks them; tests of other rooms use it, and the contract suite holds the other stores
to it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from threading import RLock

from graph.fold import digest, fold, fresh, materialise
from graph.lineage import shortest_paths
from graph.model import Grade, Node, Relation, Subgraph
from graph.query import Filter, check_number, nearest, relation_filter, subgraph
from graph.store import Batch, Counts, Path


class MemoryGraph:
    """A `GraphStore` that lives as long as its process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._empty()

    def _empty(self) -> None:
        self._position = -1
        self._nodes: dict[str, Node] = {}
        self._relations: dict[str, Relation] = {}
        self._leaving: dict[str, set[str]] = {}
        self._entering: dict[str, set[str]] = {}

    def position(self) -> int:
        return self._position

    def apply(self, position: int, nodes: Iterable[Node], relations: Iterable[Relation]) -> bool:
        return self.apply_batch([(position, nodes, relations)]) == 1

    def apply_batch(self, batch: Batch) -> int:
        records = materialise(batch)
        with self._lock:
            new = fresh(records, self._position)
            if new:
                changes = fold(new, self._nodes, self._relations)
                self._nodes.update(changes.nodes)
                self._relations.update(changes.relations)
                for name, relation in changes.relations.items():
                    self._leaving.setdefault(relation.source, set()).add(name)
                    self._entering.setdefault(relation.target, set()).add(name)
                self._position = new[-1][0]
            return len(new)

    def node(self, node_id: str) -> Node | None:
        return self._nodes.get(node_id)

    def run_subgraph(self, run: str) -> Subgraph:
        with self._lock:
            own = {name for name, node in self._nodes.items() if node.run == run}
            relations = [item for item in self._relations.values() if item.run == run or item.source in own]
            names = own.union(*((item.source, item.target) for item in relations))
            return subgraph((self._nodes[name] for name in names), relations)

    def neighbourhood(self, node_id: str, hops: int = 2, grades: Collection[Grade] | None = None,
                      limit: int = 300) -> Subgraph:
        check_number("hops", hops, 0)
        return self._walk(node_id, relation_filter(grades), back=True, forward=True, hops=hops, limit=limit)

    def ancestors(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                  limit: int | None = None) -> Subgraph:
        return self._walk(node_id, relation_filter(grades, min_effect), back=True, limit=limit)

    def descendants(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                    limit: int | None = None) -> Subgraph:
        return self._walk(node_id, relation_filter(grades, min_effect), forward=True, limit=limit)

    def paths(self, later: str, earlier: str, limit: int = 10) -> list[Path]:
        check_number("limit", limit, 1)
        return shortest_paths(self.ancestors(later), later, earlier, limit)

    def counts(self) -> Counts:
        with self._lock:
            return Counts(
                nodes=len(self._nodes), relations=len(self._relations),
                kinds=Counter(node.kind for node in self._nodes.values()),
                types=Counter(node.type for node in self._nodes.values()),
                grades=Counter(item.grade for item in self._relations.values()),
                relation_types=Counter(item.type for item in self._relations.values()),
            )

    def digest(self) -> str:
        with self._lock:
            return digest(self._nodes.values(), self._relations.values())

    def clear(self) -> None:
        with self._lock:
            self._empty()

    def close(self) -> None:
        """Nothing to give back."""

    def _walk(self, start: str, wanted: Filter, *, back: bool = False, forward: bool = False, hops: int | None = None,
              limit: int | None) -> Subgraph:
        check_number("limit", limit, 1)

        def expand(level: Sequence[str], seen: Collection[str], room: int) -> Sequence[str]:
            found: set[str] = set()
            for name in level:
                found.update(self._neighbours(name, wanted, back=back, forward=forward))
            return sorted(found.difference(seen))[:room]

        with self._lock:
            if start not in self._nodes:
                return subgraph((), ())
            found, truncated = nearest(start, expand, limit=limit or len(self._nodes), hops=hops)
            inside = set(found)
            names = (name for node in found for name in self._leaving.get(node, ()))
            relations = [item for item in map(self._relations.__getitem__, names)
                         if item.target in inside and wanted.admits(item)]
            return subgraph(map(self._nodes.__getitem__, found), relations, truncated)

    def _neighbours(self, node: str, wanted: Filter, *, back: bool, forward: bool) -> Iterable[str]:
        if back:
            for name in self._leaving.get(node, ()):
                if wanted.admits(self._relations[name]):
                    yield self._relations[name].target
        if forward:
            for name in self._entering.get(node, ()):
                if wanted.admits(self._relations[name]):
                    yield self._relations[name].source
