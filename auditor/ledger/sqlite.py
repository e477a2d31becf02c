"""The ledger in one SQLite file: any number of reading threads and processes, one writer thread per process."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from auditor.errors import LedgerBroken, NotFound
from auditor.ledger import schema
from auditor.ledger.blobs import unpack
from auditor.ledger.chain import ZERO
from auditor.ledger.payloads import SqlitePayloads
from auditor.ledger.protocol import Entry, Fence, Head, Stored
from auditor.ledger.rows import PAGE, RawRecord, SqliteRows
from auditor.ledger.writer import Append, Ready, Writer, looked_up
from auditor.records.canonical import canonical_bytes, read_canonical
from auditor.records.exchange import Payload
from auditor.records.record import Record

POLL_SECONDS = 0.05
_COLUMNS = "position, id, chain, codec, data"


class SqliteLedger:
    """Implements ledger.protocol.Ledger on one file. `path` and `connect()` let the job queue live in the same file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        schema.prepare(self.path)
        self._readers = schema.Readers(self.path)
        self._news = threading.Condition()
        self._seen = -1
        self._writer = Writer(self.path, self._committed)
        self._payloads = SqlitePayloads(self._readers, self._writer)
        self._rows = SqliteRows(self._readers)

    def connect(self) -> sqlite3.Connection:
        """A new autocommit connection to the database file, for tables of other rooms; the caller closes it."""
        return schema.connect(self.path)

    # --- appending

    def submit(self, entries: Sequence[Entry], fence: Fence | None = None) -> "Future[Sequence[Stored]]":
        """Queue an append. BadValue at once when a body has no exact JSON form; a fence's refusal via the future."""
        ready = []
        for entry in entries:
            body = canonical_bytes(entry.body)
            ready.append(Ready(
                kind=entry.kind, project=entry.project, source=entry.source, observed_at=entry.observed_at, body=body,
                run=looked_up(entry.body, "run"), claim=looked_up(entry.body, "claim"),
            ))  # fmt: skip
        item = Append(entries=tuple(ready), fence=fence)
        self._payloads.submitted()
        self._writer.put(item)
        return item.future

    def append(self, entries: Sequence[Entry], fence: Fence | None = None) -> Sequence[Stored]:
        return self.submit(entries, fence).result()

    # --- payloads

    def put(self, data: bytes) -> str:
        return self._payloads.put(data)

    def put_split(self, data: bytes, spans: Sequence[tuple[int, int]]) -> Payload:
        return self._payloads.put_split(data, spans)

    def put_pieces(self, pieces: Iterable[bytes]) -> Payload:
        return self._payloads.put_pieces(pieces)

    def payload(self, ref: Payload | str) -> bytes:
        return self._payloads.payload(ref)

    # --- reading

    def records(
        self, after: int = -1, *, kinds: Iterable[str] | None = None, run: str | None = None,
        claim: str | None = None, project: str | None = None, limit: int | None = None, newest_first: bool = False,
    ) -> Iterator[Stored]:  # fmt: skip
        where, values = ["position > ?"], [after]  # type: list[str], list[Any]
        if kinds is not None:
            wanted = list(kinds)
            where.append(f"kind IN ({','.join('?' * len(wanted))})")
            values.extend(wanted)
        for column, value in (("run", run), ("claim", claim), ("project", project)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        return self._pages(" AND ".join(where), values, limit, newest_first)

    def _pages(self, where: str, values: list[Any], limit: int | None, newest_first: bool) -> Iterator[Stored]:
        order, edge = ("DESC", "<") if newest_first else ("ASC", ">")
        last: int | None = None
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            bound, more = ("", []) if last is None else (f" AND position {edge} ?", [last])
            query = f"SELECT {_COLUMNS} FROM records WHERE {where}{bound} ORDER BY position {order} LIMIT ?"
            with self._readers.use() as connection:
                rows = connection.execute(query, [*values, *more, size]).fetchall()
            for row in rows:
                yield _stored(row)
            if len(rows) < size:
                return
            last = rows[-1][0]
            left = None if left is None else left - len(rows)

    def record(self, record_id: str) -> Stored:
        with self._readers.use() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM records WHERE id=?", (record_id,)).fetchone()
        if row is None:
            raise NotFound("record", f"{record_id} is not in the ledger", "check the id")
        return _stored(row)

    def head(self) -> Head:
        with self._readers.use() as connection:
            row = connection.execute("SELECT position, chain FROM records ORDER BY position DESC LIMIT 1").fetchone()
        return Head(position=row[0], chain=row[1]) if row else Head(position=-1, chain=ZERO)

    def tally(self, after: int, upto: int, kinds: Iterable[str]) -> list[tuple[str, str, str | None, int]]:
        wanted = list(kinds)
        marks = ",".join("?" * len(wanted))
        query = (
            "SELECT kind, project, run, count(*) FROM records WHERE position > ? AND position <= ?"
            f" AND kind IN ({marks}) GROUP BY kind, project, run"
        )
        with self._readers.use() as connection:
            rows = connection.execute(query, [after, upto, *wanted]).fetchall()
        return [(str(row[0]), str(row[1]), row[2], int(row[3])) for row in rows]

    def watch(self, after: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            # Appends of this process wake us; those of others are noticed by looking.
            if self._seen > after or self.head().position > after:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._news:
                if self._seen <= after:
                    self._news.wait(min(left, POLL_SECONDS))

    def close(self) -> None:
        self._writer.close()
        self._payloads.close()
        self._readers.close()

    # --- rows as stored, for verification and export

    def raw_records(self) -> Iterator[RawRecord]:
        return self._rows.raw_records()

    def raw_payloads(self) -> Iterator[tuple[str, bytes, int, bytes | None]]:
        return self._rows.raw_payloads()

    def raw_contexts(self) -> Iterator[tuple[str, str, str]]:
        return self._rows.raw_contexts()

    # --- inside

    def _committed(self, head: Head) -> None:
        with self._news:
            self._seen = max(self._seen, head.position)
            self._news.notify_all()


def _stored(row: tuple[int, str, str, int, bytes]) -> Stored:
    position, own, chain, codec, packed = row
    try:
        form = read_canonical(unpack(codec, packed))
        record = Record(
            kind=form["kind"], project=form["project"], source=form["source"], seq=form["seq"],
            recorded_at=form["recorded_at"], observed_at=form["observed_at"], body=form["body"], v=form["v"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as fault:
        raise LedgerBroken(f"record {position}", f"cannot be read: {fault}", "run auditor verify") from fault
    return Stored(position=position, id=own, chain=chain, record=record)
