"""What a batch of records makes of what a store already holds; pure, and shared by every store.

A store loads the nodes and relations that a batch names, folds the batch over them, and writes what changed together
with the new position. Because all stores fold alike, their digests agree by construction of the data, not by luck of
each query language's idea of equality, null or number.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from graph.errors import InvalidGraphValue
from graph.model import Node, Relation, Scalar, placeholder
from graph.store import Batch

_ATTRS = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_LINE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)

Record = tuple[int, list[Node], list[Relation]]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What must be written: the wanted state of every node (by id) and relation (by `Relation.id`) that differs."""

    nodes: Mapping[str, Node]
    relations: Mapping[str, Relation]


def materialise(batch: Batch) -> list[Record]:
    """The batch as lists, so that it can be gone through twice and retried.

    Raises:
        InvalidGraphValue: a position that is not a whole number from 0, or things that are not nodes and relations.
    """
    records: list[Record] = []
    for position, nodes, relations in batch:
        if isinstance(position, bool) or not isinstance(position, int) or position < 0:
            raise InvalidGraphValue(f"a ledger position is a whole number from 0, not {position!r}")
        record = (position, list(nodes), list(relations))
        for node in record[1]:
            if not isinstance(node, Node):
                raise InvalidGraphValue(f"record {position}: expected a Node, got {type(node).__name__}")
        for relation in record[2]:
            if not isinstance(relation, Relation):
                raise InvalidGraphValue(f"record {position}: expected a Relation, got {type(relation).__name__}")
        records.append(record)
    return records


def fresh(records: Iterable[Record], position: int) -> list[Record]:
    """The records that are new to a store at `position`, in order, each position once."""
    new: list[Record] = []
    for record in records:
        if record[0] > position:
            position = record[0]
            new.append(record)
    return new


def named_nodes(records: Iterable[Record]) -> set[str]:
    """Ids of every node the records describe or point at."""
    ids: set[str] = set()
    for _, nodes, relations in records:
        ids.update(node.id for node in nodes)
        for relation in relations:
            ids.update((relation.source, relation.target))
    return ids


def named_relations(records: Iterable[Record]) -> set[str]:
    """Ids of every relation in the records."""
    return {relation.id for _, _, relations in records for relation in relations}


def fold(records: Iterable[Record], nodes: Mapping[str, Node], relations: Mapping[str, Relation]) -> Changes:
    """Lay `records` over what is stored; `nodes` and `relations` hold what the store knows of those they name."""
    new_nodes: dict[str, Node] = {}
    new_relations: dict[str, Relation] = {}
    for _, described, related in records:
        for node in described:
            known = new_nodes.get(node.id) or nodes.get(node.id)
            new_nodes[node.id] = _merged_node(known, node)
        for relation in related:
            for end in (relation.source, relation.target):
                if end not in new_nodes and end not in nodes:
                    new_nodes[end] = placeholder(end)
            name = relation.id
            new_relations[name] = _merged_relation(new_relations.get(name) or relations.get(name), relation)
    return Changes(
        nodes={name: node for name, node in new_nodes.items() if _differs(nodes.get(name), node)},
        relations={name: item for name, item in new_relations.items() if _differs(relations.get(name), item)},
    )


def digest(nodes: Iterable[Node], relations: Iterable[Relation]) -> str:
    """SHA-256 (hex) over the sorted canonical JSON lines of everything, each ended by a line feed."""
    lines = [_line("node", node.as_dict()) for node in nodes]
    lines.extend(_line("relation", relation.as_dict()) for relation in relations)
    lines.sort()
    total = sha256()
    for line in lines:
        total.update(line)
    return total.hexdigest()


def attrs_text(attrs: Mapping[str, Scalar]) -> str:
    """Attributes as the JSON text that stores keep (ASCII, keys sorted)."""
    return _ATTRS.encode(dict(attrs))


def _line(what: str, value: dict[str, Any]) -> bytes:
    return _LINE.encode([what, value]).encode() + b"\n"


def _merged_node(old: Node | None, new: Node) -> Node:
    if old is None:
        return new
    if new.is_placeholder and not old.is_placeholder:
        return old
    return Node(id=new.id, kind=new.kind, type=new.type, run=old.run if new.run is None else new.run,
                label=new.label or old.label, at=old.at if new.at is None else new.at, attrs={**old.attrs, **new.attrs})


def _merged_relation(old: Relation | None, new: Relation) -> Relation:
    if old is None:
        return new
    return Relation(source=new.source, target=new.target, type=new.type, grade=new.grade, key=new.key,
                    run=old.run if new.run is None else new.run, label=new.label or old.label,
                    attrs={**old.attrs, **new.attrs})


def _differs(old: Node | Relation | None, new: Node | Relation) -> bool:
    # Python holds 1, 1.0 and True for equal, and 0.0 and -0.0; in the graph they are different values.
    return old is None or old != new or attrs_text(old.attrs) != attrs_text(new.attrs)
