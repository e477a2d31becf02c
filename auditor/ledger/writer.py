"""The one writer thread of a process: takes work from a queue, commits it in groups.

A group ends at 2048 items, or as soon as the queue is empty when somebody waits for an append; work that nobody waits
for (payloads) lingers a few milliseconds so that it shares a commit. Work that was not asked to be
durable yet and whose commit failed is kept and goes first into the next group, so that an acknowledged record never
points to a payload that was lost.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, overload

from auditor.errors import Unavailable
from auditor.ledger.blobs import pack_record
from auditor.ledger.chain import ZERO, leaf_and_link
from auditor.ledger.protocol import Fence, Head, Stored
from auditor.ledger.schema import connect
from auditor.records.canonical import Later, canonical_bytes
from auditor.records.record import RECORD_VERSION, Record
from auditor.records.times import now_text

GROUP = 2048
LINGER_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True)
class Write:
    """Rows nobody waits for, as (statement, values); `done` runs after they are durable."""

    rows: tuple[tuple[str, tuple[Any, ...]], ...]
    size: int = 0
    done: Callable[[], None] | None = None


class Ready(NamedTuple):
    """An entry whose body is already canonical, so that the writer thread only adds the envelope."""

    kind: str
    project: str
    source: str
    observed_at: str | None
    body: bytes
    run: str | None
    """Text field `run` of the body, for the look-up column; so is `claim`."""
    claim: str | None


@dataclass(frozen=True, kw_only=True)
class Append:
    """Entries to be appended in one transaction."""

    entries: tuple[Ready, ...]
    fence: Fence | None
    future: "Future[Sequence[Stored]]" = field(default_factory=Future)


class _Stop:
    pass


Item = Write | Append | _Stop


class Writer:
    """Owns the write connection. `committed` is notified with the new head after every commit that appended."""

    def __init__(self, path: Path, committed: Callable[[Head], None]) -> None:
        self._path = path
        self._committed = committed
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._backlog: list[Write] = []
        self._lock = threading.Lock()
        self._closed = False
        self._wanted = threading.Event()
        """Somebody waits for an append, so nothing lingers."""
        self.waiting_bytes = 0
        """Payload bytes accepted but not yet durable."""
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def put(self, item: "Write | Append") -> None:
        """Queue work; Unavailable once closed."""
        with self._lock:
            if self._closed:
                raise Unavailable("ledger", "is closed", "open it again")
            if isinstance(item, Write):
                self.waiting_bytes += item.size
            self._queue.put(item)
        if isinstance(item, Append):
            self._wanted.set()

    def close(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(_Stop())
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        stopping = False
        while not stopping:
            group, stopping = self._collect()
            try:
                if connection is None:
                    connection = connect(self._path)
                self._commit(connection, group)
            except Exception as fault:  # whatever went wrong belongs to those who wait for it; the thread must live
                connection = self._recover(connection, group, fault)
        if connection is not None:
            connection.close()

    def _collect(self) -> tuple[list[Item], bool]:
        """Wait for work, then take all that is there. One wait for all of it: to wake for each costs more than it."""
        group: list[Item] = [self._queue.get()]
        self._wanted.wait(LINGER_SECONDS)
        self._wanted.clear()  # before taking: what is put from here on sets it again
        while len(group) < GROUP and not isinstance(group[-1], _Stop):
            try:
                group.append(self._queue.get_nowait())
            except queue.Empty:
                break
        else:
            self._wanted.set()  # there may be more
        stopping = isinstance(group[-1], _Stop)
        return (group[:-1] if stopping else group), stopping

    def _commit(self, connection: sqlite3.Connection, group: list[Item]) -> None:
        """One transaction for the backlog and the group; futures resolve after the commit."""
        if not group and not self._backlog:
            return
        connection.execute("BEGIN IMMEDIATE")
        done: list[tuple[Append, Appended]] = []
        turned_down: list[tuple[Append, Exception]] = []
        head = _Tail(connection)
        writes = [*self._backlog, *(item for item in group if isinstance(item, Write))]
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for write in writes:
            for statement, values in write.rows:
                rows.setdefault(statement, []).append(values)
        for statement, many in rows.items():
            connection.executemany(statement, many)
        for item in group:
            if isinstance(item, Append):
                refusal = _fenced(connection, item)
                if refusal is not None:
                    turned_down.append((item, refusal))
                    continue
                done.append((item, head.append(item.entries, now_text())))
        connection.execute("COMMIT")
        self._backlog.clear()
        with self._lock:
            self.waiting_bytes -= sum(write.size for write in writes)
        for write in writes:
            if write.done is not None:
                write.done()
        if done:
            self._committed(Head(position=head.position, chain=head.chain))
        for item, stored in done:
            if item.future.set_running_or_notify_cancel():
                item.future.set_result(stored)
        for item, refusal in turned_down:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(refusal)

    def _recover(
        self, connection: sqlite3.Connection | None, group: list[Item], fault: Exception
    ) -> sqlite3.Connection | None:
        """After a failed commit: keep the writes, tell those who wait, start with a fresh connection."""
        if connection is not None:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except sqlite3.DatabaseError:
                pass  # the connection is dropped anyway, and closing it rolls back
            connection.close()
        reason = Unavailable("ledger", str(fault), "check the disk and the ledger file")
        reason.__cause__ = fault
        for item in group:
            if isinstance(item, Write):
                self._backlog.append(item)
            elif isinstance(item, Append) and item.future.set_running_or_notify_cancel():
                item.future.set_exception(reason)
        return None


def _fenced(connection: sqlite3.Connection, item: Append) -> Exception | None:
    """Run the caller's fence inside the transaction; what it wrote is undone when it raises."""
    if item.fence is None:
        return None
    connection.execute("SAVEPOINT fence")
    try:
        item.fence(connection)
    except Exception as refusal:  # the fence's own refusal goes to its caller; other appends of the group go on
        connection.execute("ROLLBACK TO fence")
        connection.execute("RELEASE fence")
        return refusal
    connection.execute("RELEASE fence")
    return None


class _Tail:
    """The ledger's end as seen inside one write transaction: other processes append too, so it is never cached."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("SELECT position, chain FROM records ORDER BY position DESC LIMIT 1").fetchone()
        self.position, self.chain = (int(row[0]), str(row[1])) if row else (-1, ZERO)
        self._seqs: dict[tuple[str, str], int] = {}

    def append(self, entries: Sequence[Ready], now: str) -> "Appended":
        rows: list[tuple[Any, ...]] = []
        recorded = canonical_bytes(now)
        chain = bytes.fromhex(self.chain)
        for ready in entries:
            seq = self._next_seq(ready.project, ready.source)
            data = envelope(ready, seq, recorded)
            own, chain = leaf_and_link(chain, data)
            self.position += 1
            codec, packed = pack_record(data)
            rows.append((
                self.position, own, chain.hex(), ready.kind, ready.project, ready.source, seq, ready.run, ready.claim,
                codec, packed,
            ))  # fmt: skip
        self.chain = chain.hex()
        self._connection.executemany(
            "INSERT INTO records(position, id, chain, kind, project, source, seq, run, claim, codec, data)"
            " VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
        return Appended(entries, [row[:3] + (row[6],) for row in rows], now)

    def _next_seq(self, project: str, source: str) -> int:
        key = (project, source)
        if key not in self._seqs:
            row = self._connection.execute(
                "SELECT max(seq) FROM records WHERE project=? AND source=?", key
            ).fetchone()
            self._seqs[key] = -1 if row[0] is None else int(row[0])
        self._seqs[key] += 1
        return self._seqs[key]


def looked_up(body: Any, name: str) -> str | None:
    """The text field `name` at the top of a body, for the look-up column."""
    value = body.get(name)
    return value if isinstance(value, str) else None


class Appended(Sequence[Stored]):
    """What an append has stored, each made when it is asked for: most are not."""

    def __init__(self, entries: Sequence[Ready], places: Sequence[tuple[Any, ...]], now: str) -> None:
        self._entries = entries
        self._places = places
        """Position, id, chain and seq of each."""
        self._now = now

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Stored: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Stored]: ...
    def __getitem__(self, index: int | slice) -> Stored | Sequence[Stored]:
        if isinstance(index, slice):
            return Appended(self._entries[index], self._places[index], self._now)
        ready, (position, own, chain, seq) = self._entries[index], self._places[index]
        record = Record(
            kind=ready.kind, project=ready.project, source=ready.source, seq=seq, recorded_at=self._now,
            observed_at=ready.observed_at, body=Later(ready.body),
        )  # fmt: skip
        return Stored(position=position, id=own, chain=chain, record=record)


def envelope(ready: Ready, seq: int, recorded_at: bytes) -> bytes:
    """Record.canonical() of an entry (`recorded_at` is canonical already): RFC 8785 sorts `body` before the others."""
    kind, project, source = _fixed(ready.kind, ready.project, ready.source)
    observed = canonical_bytes(ready.observed_at)
    return b"".join((b'{"body":', ready.body, kind, observed, project, recorded_at, b',"seq":%d' % seq, source))


@lru_cache(1024)
def _fixed(kind: str, project: str, source: str) -> tuple[bytes, bytes, bytes]:
    """What many envelopes have in common: between body, `observed_at`, `recorded_at` and `seq`, and behind it."""
    return (
        b',"kind":%b,"observed_at":' % canonical_bytes(kind),
        b',"project":%b,"recorded_at":' % canonical_bytes(project),
        b',"source":%b,"v":%d}' % (canonical_bytes(source), RECORD_VERSION),
    )  # fmt: skip
