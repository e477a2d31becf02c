"""The protocol of a graph store, and the shapes its callers pass.

A store is a read model of the ledger: drop it, apply every record again in order, get the same graph and the same
digest. Every implementation passes ``tests/contracts/test_graph_store.py``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from graph.model import Grade, Node, Relation, Subgraph

Batch = Iterable[tuple[int, Iterable[Node], Iterable[Relation]]]
"""Ledger position, nodes and relations of one record, for each record in ledger order."""

Path = tuple[Relation, ...]
"""Relations from a later node back to an earlier one, one for each hop."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many nodes there are of each kind and type, and relations of each type and grade."""

    nodes: int
    relations: int
    kinds: Mapping[str, int]
    types: Mapping[str, int]
    """Node types."""
    grades: Mapping[str, int]
    relation_types: Mapping[str, int]


class GraphStore(Protocol):
    """Where the graph is kept. Safe to call from several threads.

    Queries about an id that the store does not hold give None or an empty subgraph; they never raise for that.

    Where a query takes `grades`, only relations of those grades are followed and returned (None: all). Where it takes
    `min_effect`, *causal* relations whose absolute effect is smaller, or was not measured, are left out; the other
    grades carry no effect and are not touched by it. Where it takes `limit`, it is the largest number of nodes
    returned, nearest first and then by id; `Subgraph.truncated` says that there were more.
    """

    def position(self) -> int:
        """Ledger position applied last; −1 when empty."""
        ...

    def apply(self, position: int, nodes: Iterable[Node], relations: Iterable[Relation]) -> bool:
        """Apply one record exactly once: data and position change in one transaction.

        Args:
            position: ledger position of the record, from 0. Positions at or below the current one are ignored.
            nodes: described nodes. A node already known is updated: kind and type are replaced, attributes are
                replaced name by name, a label, run or time is replaced unless the new one is empty.
            relations: the same rule. An end that is not known yet becomes a placeholder, filled in when it is
                described; a placeholder never overwrites anything.

        Returns:
            False when the position had been applied before, and nothing was done.
        """
        ...

    def apply_batch(self, batch: Batch) -> int:
        """Apply several records in one transaction, as if by `apply` one after another; returns how many were new."""
        ...

    def node(self, node_id: str) -> Node | None:
        """One node, or None."""
        ...

    def run_subgraph(self, run: str) -> Subgraph:
        """Nodes of a run, relations of that run or leaving its nodes, and the other nodes that these touch."""
        ...

    def neighbourhood(self, node_id: str, hops: int = 2, grades: Collection[Grade] | None = None,
                      limit: int = 300) -> Subgraph:
        """What lies within `hops` relations in either direction, and all relations among it."""
        ...

    def ancestors(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                  limit: int | None = None) -> Subgraph:
        """Backward slice: the node, everything reachable from source to target, and all relations among these."""
        ...

    def descendants(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                    limit: int | None = None) -> Subgraph:
        """Forward slice: the node, everything that leads back to it, and all relations among these."""
        ...

    def paths(self, later: str, earlier: str, limit: int = 10) -> list[Path]:
        """Up to `limit` paths from `later` back to `earlier` that visit no node twice, shortest first.

        Each is a different sequence of nodes; where two nodes have several relations, the firmest is shown
        (causal, recorded, inferred, read, stated).
        """
        ...

    def counts(self) -> Counts:
        """Sizes by kind, type and grade."""
        ...

    def digest(self) -> str:
        """SHA-256 (hex) over the sorted canonical JSON lines of all nodes and relations; equal in every store."""
        ...

    def clear(self) -> None:
        """Forget everything, the position too."""
        ...

    def close(self) -> None:
        """Give back files and connections; the store cannot be used afterwards."""
        ...
