"""The graph in Neo4j 5.26: the production store.

Every query is a file of ``graph/cypher``; recorded text only ever travels as a parameter. Writes read what a batch
names, fold the batch over it in Python and send back only what changed, all in one transaction that holds the lock on
the position.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import neo4j
from neo4j.exceptions import AuthError, DriverError, Neo4jError, ServiceUnavailable

from graph.errors import StoreFailure, StoreUnavailable
from graph.fold import Record, attrs_text, digest, fold, fresh, materialise, named_nodes, named_relations
from graph.lineage import shortest_paths
from graph.model import Grade, Node, Relation, Subgraph
from graph.query import Filter, check_number, nearest, relation_filter, subgraph
from graph.store import Batch, Counts, Path

ROWS = 5_000
"""Rows sent with one statement."""

UNREADY = "an earlier clear of this graph was cut off; clear it again"


_Runner = neo4j.Session | neo4j.Transaction | neo4j.ManagedTransaction


class Neo4jGraph:
    """A `GraphStore` in the Neo4j server at `uri`.

    Args:
        uri: ``bolt://host:port``, ``neo4j://…`` or an encrypted form of these.
        user: login name.
        password: its password.
        database: database name; None for the server's default.

    Raises:
        StoreUnavailable: no server answers there, or it refuses the login.
    """

    def __init__(self, uri: str, user: str, password: str, database: str | None = None) -> None:
        self._uri = uri
        self._database = database
        with self._door():
            try:
                self._driver = neo4j.GraphDatabase.driver(uri, auth=(user, password), notifications_min_severity="OFF")
            except ValueError as error:
                raise StoreUnavailable(f"{uri!r} is no Neo4j address: {error}") from error
            try:
                self._driver.verify_connectivity()
                with self._driver.session(database=database) as session:
                    for statement in _statement("schema").split(";\n"):
                        session.run(statement).consume()
            except (DriverError, Neo4jError):
                self._driver.close()
                raise

    def position(self) -> int:
        with self._reading() as reading:
            row = _run(reading, "position").single()
        return -1 if row is None else int(row["position"])

    def apply(self, position: int, nodes: Iterable[Node], relations: Iterable[Relation]) -> bool:
        return self.apply_batch([(position, nodes, relations)]) == 1

    def apply_batch(self, batch: Batch) -> int:
        records = materialise(batch)
        if not records:
            return 0
        with self._door(), self._driver.session(database=self._database) as session:
            return session.execute_write(_apply, records)

    def node(self, node_id: str) -> Node | None:
        with self._reading() as reading:
            return next(iter(_nodes(reading, "nodes", ids=[node_id])), None)

    def run_subgraph(self, run: str) -> Subgraph:
        with self._reading() as reading:
            relations = _relations(reading, "run_relations", run=run)
            nodes = {node.id: node for node in _nodes(reading, "run_nodes", run=run)}
        # A writer may commit between the two reads; what only the second one saw must not dangle.
        inside = [item for item in relations if item.source in nodes and item.target in nodes]
        return subgraph(nodes.values(), inside)

    def neighbourhood(self, node_id: str, hops: int = 2, grades: Collection[Grade] | None = None,
                      limit: int = 300) -> Subgraph:
        check_number("hops", hops, 0)
        return self._walk(node_id, relation_filter(grades), "both", limit=limit, hops=hops)

    def ancestors(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                  limit: int | None = None) -> Subgraph:
        return self._walk(node_id, relation_filter(grades, min_effect), "back", limit=limit)

    def descendants(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                    limit: int | None = None) -> Subgraph:
        return self._walk(node_id, relation_filter(grades, min_effect), "forward", limit=limit)

    def paths(self, later: str, earlier: str, limit: int = 10) -> list[Path]:
        check_number("limit", limit, 1)
        return shortest_paths(self.ancestors(later), later, earlier, limit)

    def counts(self) -> Counts:
        tallies: dict[str, Counter[str]] = {name: Counter() for name in ("kinds", "types", "grades", "relation_types")}
        with self._reading() as reading:
            for query, first, second in (("count_nodes", "kinds", "types"),
                                         ("count_relations", "grades", "relation_types")):
                for row in _run(reading, query):
                    tallies[first][row["first"]] += row["number"]
                    tallies[second][row["second"]] += row["number"]
        return Counts(nodes=tallies["kinds"].total(), relations=tallies["grades"].total(), **tallies)

    def digest(self) -> str:
        with self._reading() as reading:
            return digest(_nodes(reading, "all_nodes"), _relations(reading, "all_relations"))

    def clear(self) -> None:
        # Emptying takes many transactions; the mark refuses writes until it has been finished.
        with self._door(), self._driver.session(database=self._database) as session:
            session.execute_write(_mark, clearing=True)
            _run(session, "clear").consume()
            session.execute_write(_mark, clearing=False)

    def close(self) -> None:
        self._driver.close()

    def _walk(self, start: str, wanted: Filter, way: str, *, limit: int | None, hops: int | None = None) -> Subgraph:
        check_number("limit", limit, 1)
        admitted = {"grades": list(wanted.grades), "least": wanted.min_effect}
        with self._reading() as reading:
            if not _nodes(reading, "nodes", ids=[start]):
                return subgraph((), ())
            if limit is None:
                nodes, truncated = _nodes(reading, f"slice_{way}", start=start, **admitted), False
            else:
                def expand(level: Sequence[str], seen: Collection[str], room: int) -> list[str]:
                    rows = _run(reading, f"level_{way}", level=list(level), seen=list(seen), room=room, **admitted)
                    return [row["id"] for row in rows]

                found, truncated = nearest(start, expand, limit=limit, hops=hops)
                nodes = _nodes(reading, "nodes", ids=found)
            relations = _relations(reading, "among", ids=[node.id for node in nodes], **admitted)
        return subgraph(nodes, relations, truncated)

    @contextmanager
    def _reading(self) -> Iterator[neo4j.Transaction]:
        """One read transaction."""
        with self._door():
            access = neo4j.READ_ACCESS
            with self._driver.session(database=self._database, default_access_mode=access) as session, \
                    session.begin_transaction() as transaction:
                yield transaction

    @contextmanager
    def _door(self) -> Iterator[None]:
        """Where the driver's exceptions become the graph's."""
        try:
            yield
        except AuthError as error:
            problem = f"Neo4j at {self._uri} refused the login; check AUDITOR_NEO4J_USER and AUDITOR_NEO4J_PASSWORD"
            raise StoreUnavailable(problem) from error
        except ServiceUnavailable as error:
            raise StoreUnavailable(f"no Neo4j server answers at {self._uri}; start one with `make neo4j`") from error
        except (Neo4jError, DriverError) as error:
            raise StoreFailure(f"Neo4j at {self._uri} failed: {error}") from error


@cache
def _statement(name: str) -> str:
    """The text of ``graph/cypher/<name>.cypher``."""
    return (files("graph") / "cypher" / f"{name}.cypher").read_text(encoding="utf-8").strip()


def _run(runner: _Runner, name: str, **parameters: Any) -> neo4j.Result:
    return runner.run(_statement(name), **parameters)


def _apply(transaction: neo4j.ManagedTransaction, records: list[Record]) -> int:
    """Apply the new ones of `records`; run again by the driver when the server asks for it."""
    progress = _run(transaction, "lock").single(strict=True)
    new = fresh(records, progress["position"])
    if not new:
        return 0
    if progress["clearing"]:
        raise StoreFailure(UNREADY)
    nodes = {node.id: node for ids in _slices(sorted(named_nodes(new)))
             for node in _nodes(transaction, "nodes", ids=ids)}
    relations = {item.id: item for ids in _slices(sorted(named_relations(new)))
                 for item in _relations(transaction, "relations", ids=ids)}
    changes = fold(new, nodes, relations)
    _put(transaction, "put_nodes", [{"id": node.id, "state": _node_state(node)} for node in changes.nodes.values()])
    _put(transaction, "set_relations", [{"id": name, "state": _relation_state(name, item)}
                                        for name, item in changes.relations.items() if name in relations])
    _put(transaction, "add_relations",
         [{"source": item.source, "target": item.target, "state": _relation_state(name, item)}
          for name, item in changes.relations.items() if name not in relations])
    _run(transaction, "advance", position=new[-1][0], clearing=False).consume()
    return len(new)


def _mark(transaction: neo4j.ManagedTransaction, *, clearing: bool) -> None:
    _run(transaction, "lock").consume()
    _run(transaction, "advance", position=-1, clearing=clearing).consume()


def _put(transaction: neo4j.ManagedTransaction, name: str, rows: list[dict[str, Any]]) -> None:
    for part in _slices(rows):
        _run(transaction, name, rows=part).consume()


def _slices(items: Sequence[Any]) -> Iterator[list[Any]]:
    for begin in range(0, len(items), ROWS):
        yield list(items[begin:begin + ROWS])


def _node_state(node: Node) -> dict[str, Any]:
    return {"kind": node.kind, "type": node.type, "run": node.run, "label": node.label, "at": node.at,
            "attrs": attrs_text(node.attrs)}


def _relation_state(name: str, item: Relation) -> dict[str, Any]:
    return {"id": name, "type": item.type, "grade": item.grade, "key": item.key, "effect": item.effect, "run": item.run,
            "label": item.label, "attrs": attrs_text(item.attrs)}


def _nodes(runner: _Runner, name: str, **parameters: Any) -> list[Node]:
    return [Node(**_decoded(row.data())) for row in _run(runner, name, **parameters)]


def _relations(runner: _Runner, name: str, **parameters: Any) -> list[Relation]:
    return [Relation(**_decoded(row.data())) for row in _run(runner, name, **parameters)]


def _decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "attrs": json.loads(row["attrs"])}
