"""Provenance graph: vocabulary, stores and lineage queries."""

from graph.errors import GraphError, InvalidGraphValue, StoreFailure, StoreUnavailable, UnknownStore
from graph.model import Grade, Kind, Node, Relation, Subgraph, placeholder, short
from graph.open import open_graph
from graph.store import Batch, Counts, GraphStore, Path

__all__ = [
    "Batch", "Counts", "Grade", "GraphError", "GraphStore", "InvalidGraphValue", "Kind", "Node", "Path", "Relation",
    "StoreFailure", "StoreUnavailable", "Subgraph", "UnknownStore", "open_graph", "placeholder", "short",
]
