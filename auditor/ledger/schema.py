"""Tables of the SQLite ledger and how connections to it are made.

records     one row per appended fact: canonical bytes (zstd or plain), id, chain, and columns to look it up by
payloads    address = SHA-256(salt || bytes) -> bytes; salt and data are what an erasure removes
dedup       SHA-256 of the plain bytes -> address: a look-up only, nothing is derived from it
contexts    prefix chain of conversations: h = SHA-256(parent || address)
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.errors import BadSetup, Unavailable

SCHEMA = 2
BUSY_SECONDS = 30.0

_TABLES = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records(
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, chain TEXT NOT NULL, kind TEXT NOT NULL,
  project TEXT NOT NULL, source TEXT NOT NULL, seq INTEGER NOT NULL, run TEXT, claim TEXT,
  codec INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS records_seq ON records(project, source, seq);
CREATE INDEX IF NOT EXISTS records_kind ON records(kind, position);
CREATE INDEX IF NOT EXISTS records_run ON records(run, kind, position) WHERE run IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_claim ON records(claim, kind, position) WHERE claim IS NOT NULL;
CREATE TABLE IF NOT EXISTS payloads(
  address BLOB PRIMARY KEY, salt BLOB NOT NULL, codec INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dedup(plain BLOB PRIMARY KEY, address BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contexts(h BLOB PRIMARY KEY, parent BLOB NOT NULL, address BLOB NOT NULL) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode (write BEGIN yourself), WAL, synchronous=FULL, waiting up to 30 s for a lock."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
    except sqlite3.DatabaseError as fault:
        raise BadSetup(str(path), str(fault), "name a writable ledger file in AUDITOR_LEDGER") from fault
    return connection


def prepare(path: Path) -> None:
    """Create the file and its tables where they are missing; BadSetup when a newer version wrote it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BadSetup(str(path.parent), str(fault), "name a writable folder in AUDITOR_LEDGER") from fault
    connection = connect(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("INSERT OR IGNORE INTO meta VALUES('schema', ?)", (str(SCHEMA),))
        version = int(connection.execute("SELECT value FROM meta WHERE key='schema'").fetchone()[0])
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as fault:
        raise BadSetup(str(path), str(fault), "name a ledger file or a new path in AUDITOR_LEDGER") from fault
    finally:
        connection.close()
    if version < SCHEMA:
        problem = f"was written before the first release (schema {version}) and cannot be read"
        raise BadSetup(str(path), problem, "name a new path in AUDITOR_LEDGER")
    if version > SCHEMA:
        raise BadSetup(str(path), f"was written by a newer version (schema {version})", "upgrade this server")


class Readers:
    """Read connections shared by all threads; each is used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection; database faults inside become Unavailable."""
        with self._lock:
            if self._closed:
                raise Unavailable("ledger", "is closed", "open it again")
            connection = self._free.pop() if self._free else None
        if connection is None:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only=ON")
        try:
            yield connection
        except sqlite3.DatabaseError as fault:
            connection.close()
            raise Unavailable("ledger", str(fault), "check the disk and the ledger file") from fault
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed:
                self._free.append(connection)
                return
        connection.close()

    def snapshot(self) -> "Snapshot":
        """A connection whose reads cost no locks until `end`."""
        return Snapshot(self._path)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()


class Snapshot:
    """Many look-ups in one read transaction, which saves the locks of each; what it sees is as old as its first one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def one(self, query: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        """The first row; database faults become Unavailable."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self._path)
                if not self._connection.in_transaction:
                    self._connection.execute("BEGIN")
                row: tuple[object, ...] | None = self._connection.execute(query, values).fetchone()
            except sqlite3.DatabaseError as fault:
                self._drop()
                raise Unavailable("ledger", str(fault), "check the disk and the ledger file") from fault
            return row

    def end(self) -> None:
        """Let go of what was seen, so that the log can be checkpointed; the next look begins anew."""
        with self._lock:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
