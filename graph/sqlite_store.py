"""The graph in one SQLite file: the default store, no server needed.

Two adjacency tables. A relation holds the integer keys of its ends, indexed both ways, so a step along the graph is
one index range; whole slices are recursive CTEs, limited ones walk level by level and stop early. Write-ahead logging
lets readers go on while the one writer writes; every call takes a connection of its own from a pool, so threads need
no care.

The file is a projection of the ledger: `synchronous=NORMAL` may lose the last records on power failure, never half of
one, and the position says which to apply again.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path as FilePath
from queue import Empty, LifoQueue
from typing import Any

from graph.errors import StoreFailure, StoreUnavailable
from graph.fold import Changes, attrs_text, digest, fold, fresh, materialise, named_nodes, named_relations
from graph.lineage import shortest_paths
from graph.model import Grade, Node, Relation, Subgraph
from graph.query import Filter, check_number, nearest, relation_filter, subgraph
from graph.store import Batch, Counts, Path

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS node (
    nid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, type TEXT NOT NULL, run TEXT, label TEXT NOT
    NULL, at TEXT, attrs TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS node_by_run ON node (run) WHERE run IS NOT NULL;
CREATE TABLE IF NOT EXISTS relation (
    rid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source INTEGER NOT NULL REFERENCES node (nid),
    target INTEGER NOT NULL REFERENCES node (nid), type TEXT NOT NULL, grade TEXT NOT NULL, key TEXT NOT NULL, effect
    REAL, run TEXT, label TEXT NOT NULL, attrs TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS relation_forward ON relation (source, target, grade, effect);
CREATE INDEX IF NOT EXISTS relation_reverse ON relation (target, source, grade, effect);
CREATE INDEX IF NOT EXISTS relation_by_run ON relation (run) WHERE run IS NOT NULL;
CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, -1);
"""

_NODE = "n.id, n.kind, n.type, n.run, n.label, n.at, n.attrs"
_RELATION = """SELECT s.id, r.type, t.id, r.grade, r.key, r.run, r.label, r.attrs
    FROM relation r JOIN node s ON s.nid = r.source JOIN node t ON t.nid = r.target"""
# The unary plus keeps a condition out of the choice of index: "source among these" must not become a look-up per pair.
_ADMITTED = """+r.grade IN (SELECT value FROM json_each(:grades))
    AND (:least IS NULL OR r.grade <> 'causal' OR abs(r.effect) >= :least)"""
_SLICE = """WITH RECURSIVE slice (nid) AS (
        SELECT :start UNION SELECT r.{far} FROM slice JOIN relation r ON r.{near} = slice.nid WHERE {admitted})
    SELECT nid FROM slice"""
_LEVEL = """SELECT n.nid FROM node n WHERE n.nid NOT IN (SELECT value FROM json_each(:seen)) AND n.nid IN ({ends})
    ORDER BY n.id LIMIT :room"""
_ENDS = "SELECT r.{far} FROM relation r WHERE r.{near} IN (SELECT value FROM json_each(:level)) AND {admitted}"
_AMONG = """{relation} WHERE r.source IN (SELECT value FROM json_each(:inside))
    AND +r.target IN (SELECT value FROM json_each(:inside)) AND {admitted}"""

_BACK = ("source", "target")
_FORWARD = ("target", "source")


class SqliteGraph:
    """A `GraphStore` in the file at `path`, made if it is not there.

    Raises:
        StoreUnavailable: the file cannot be opened, is no database, or was written by a newer version.
    """

    def __init__(self, path: FilePath | str) -> None:
        self._path = FilePath(path)
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._closed = False
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._connect()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                connection.close()
                raise StoreUnavailable(
                    f"graph {self._path} has layout {version}, not {SCHEMA_VERSION}; delete it and rebuild")
            # Asked for only when needed: switching a file that others have open would fail as locked.
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"cannot open the graph {self._path}: {error}") from error
        self._idle.put(connection)

    def position(self) -> int:
        with self._transaction() as connection:
            return _position(connection)

    def apply(self, position: int, nodes: Iterable[Node], relations: Iterable[Relation]) -> bool:
        return self.apply_batch([(position, nodes, relations)]) == 1

    def apply_batch(self, batch: Batch) -> int:
        records = materialise(batch)
        if not records:
            return 0
        with self._transaction(write=True) as connection:
            new = fresh(records, _position(connection))
            if new:
                keys: dict[str, int] = {}
                nodes = _stored_nodes(connection, named_nodes(new), keys)
                changes = fold(new, nodes, _stored_relations(connection, named_relations(new)))
                _write(connection, changes, keys)
                connection.execute("UPDATE progress SET position = ?", (new[-1][0],))
            return len(new)

    def node(self, node_id: str) -> Node | None:
        with self._transaction() as connection:
            row = connection.execute(f"SELECT {_NODE} FROM node n WHERE n.id = ?", (node_id,)).fetchone()
            return None if row is None else _node(row)

    def run_subgraph(self, run: str) -> Subgraph:
        own = "SELECT nid FROM node WHERE run = :run"
        with self._transaction() as connection:
            relations = connection.execute(
                f"{_RELATION} WHERE r.rid IN (SELECT rid FROM relation WHERE run = :run UNION "
                f"SELECT rid FROM relation WHERE source IN ({own}))", {"run": run}).fetchall()
            nodes = connection.execute(
                f"SELECT {_NODE} FROM node n WHERE n.nid IN ({own} UNION "
                f"SELECT source FROM relation WHERE run = :run UNION "
                f"SELECT target FROM relation WHERE run = :run UNION "
                f"SELECT target FROM relation WHERE source IN ({own}))", {"run": run}).fetchall()
        return subgraph(map(_node, nodes), map(_relation, relations))

    def neighbourhood(self, node_id: str, hops: int = 2, grades: Collection[Grade] | None = None,
                      limit: int = 300) -> Subgraph:
        check_number("hops", hops, 0)
        return self._walk(node_id, relation_filter(grades), (_BACK, _FORWARD), limit=limit, hops=hops)

    def ancestors(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                  limit: int | None = None) -> Subgraph:
        return self._walk(node_id, relation_filter(grades, min_effect), (_BACK,), limit=limit)

    def descendants(self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None,
                    limit: int | None = None) -> Subgraph:
        return self._walk(node_id, relation_filter(grades, min_effect), (_FORWARD,), limit=limit)

    def paths(self, later: str, earlier: str, limit: int = 10) -> list[Path]:
        check_number("limit", limit, 1)
        return shortest_paths(self.ancestors(later), later, earlier, limit)

    def counts(self) -> Counts:
        def tally(table: str, column: str) -> dict[str, int]:
            return dict(connection.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY {column}"))

        with self._transaction() as connection:
            kinds, grades = tally("node", "kind"), tally("relation", "grade")
            return Counts(nodes=sum(kinds.values()), relations=sum(grades.values()), kinds=kinds,
                          types=tally("node", "type"), grades=grades, relation_types=tally("relation", "type"))

    def digest(self) -> str:
        with self._transaction() as connection:
            return digest(map(_node, connection.execute(f"SELECT {_NODE} FROM node n")),
                          map(_relation, connection.execute(_RELATION)))

    def clear(self) -> None:
        with self._transaction(write=True) as connection:
            connection.execute("DELETE FROM relation")
            connection.execute("DELETE FROM node")
            connection.execute("UPDATE progress SET position = -1")

    def close(self) -> None:
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def _walk(self, start: str, wanted: Filter, ways: Sequence[tuple[str, str]], *, limit: int | None,
              hops: int | None = None) -> Subgraph:
        check_number("limit", limit, 1)
        admitted = {"grades": json.dumps(wanted.grades), "least": wanted.min_effect}
        with self._transaction() as connection:
            row = connection.execute("SELECT nid FROM node WHERE id = ?", (start,)).fetchone()
            if row is None:
                return subgraph((), ())
            if limit is None:
                (near, far), truncated = ways[0], False
                rows = connection.execute(_SLICE.format(near=near, far=far, admitted=_ADMITTED),
                                          {"start": row[0], **admitted})
                found = [nid for (nid,) in rows]
            else:
                ends = " UNION ".join(_ENDS.format(near=near, far=far, admitted=_ADMITTED) for near, far in ways)

                def expand(level: Sequence[int], seen: Collection[int], room: int) -> list[int]:
                    values = {"level": json.dumps(level), "seen": json.dumps(list(seen)), "room": room, **admitted}
                    return [nid for (nid,) in connection.execute(_LEVEL.format(ends=ends), values)]

                found, truncated = nearest(row[0], expand, limit=limit, hops=hops)
            inside = json.dumps(found)
            nodes = connection.execute(f"SELECT {_NODE} FROM node n WHERE n.nid IN (SELECT value FROM json_each(?))",
                                       (inside,)).fetchall()
            relations = connection.execute(_AMONG.format(relation=_RELATION, admitted=_ADMITTED),
                                           {"inside": inside, **admitted}).fetchall()
        return subgraph(map(_node, nodes), map(_relation, relations), truncated)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction: one snapshot for readers, the write lock from the start for the
        writer.
        """
        if self._closed:
            raise StoreUnavailable(f"the graph {self._path} is closed")
        try:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                connection = self._connect()
            try:
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if self._closed:
                    connection.close()
                else:
                    self._idle.put(connection)
        except sqlite3.Error as error:
            raise StoreFailure(f"the graph {self._path} failed: {error}") from error


def _position(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT position FROM progress").fetchone()[0])


def _stored_nodes(connection: sqlite3.Connection, ids: Iterable[str], keys: dict[str, int]) -> dict[str, Node]:
    """What is stored of `ids`; fills `keys` with their integer keys."""
    found: dict[str, Node] = {}
    for name in ids:
        row = connection.execute(f"SELECT {_NODE}, n.nid FROM node n WHERE n.id = ?", (name,)).fetchone()
        if row is not None:
            found[name], keys[name] = _node(row[:-1]), row[-1]
    return found


def _stored_relations(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, Relation]:
    rows = ((name, connection.execute(f"{_RELATION} WHERE r.id = ?", (name,)).fetchone()) for name in ids)
    return {name: _relation(row) for name, row in rows if row is not None}


def _write(connection: sqlite3.Connection, changes: Changes, keys: dict[str, int]) -> None:
    for node in changes.nodes.values():
        values = (node.kind, node.type, node.run, node.label, node.at, attrs_text(node.attrs), node.id)
        if node.id in keys:
            connection.execute("UPDATE node SET kind=?, type=?, run=?, label=?, at=?, attrs=? WHERE id=?", values)
        else:
            keys[node.id], = connection.execute(
                "INSERT INTO node (kind, type, run, label, at, attrs, id) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING nid",
                values).fetchone()
    connection.executemany(
        "INSERT INTO relation (id, source, target, type, grade, key, effect, run, label, attrs) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "effect=excluded.effect, run=excluded.run, label=excluded.label, attrs=excluded.attrs",
        [(name, keys[item.source], keys[item.target], item.type, item.grade, item.key, item.effect, item.run,
          item.label, attrs_text(item.attrs)) for name, item in changes.relations.items()])


def _node(row: Sequence[Any]) -> Node:
    node_id, kind, node_type, run, label, at, attrs = row
    return Node(id=node_id, kind=kind, type=node_type, run=run, label=label, at=at, attrs=json.loads(attrs))


def _relation(row: Sequence[Any]) -> Relation:
    source, relation_type, target, grade, key, run, label, attrs = row
    return Relation(source=source, type=relation_type, target=target, grade=grade, key=key, run=run, label=label,
                    attrs=json.loads(attrs))
