"""Rows of the SQLite ledger as stored, for verification and export."""

from collections.abc import Iterator
from dataclasses import dataclass

from auditor.errors import LedgerBroken
from auditor.ledger.blobs import unpack
from auditor.ledger.schema import Readers

PAGE = 256


@dataclass(frozen=True, kw_only=True)
class RawRecord:
    """A row as stored, for verification: `data` is the canonical bytes."""

    position: int
    id: str
    chain: str
    kind: str
    project: str
    source: str
    seq: int
    run: str | None
    claim: str | None
    data: bytes


class SqliteRows:
    """Reads every row in order, a page at a time, so that nothing is held open between pages."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def raw_records(self) -> Iterator[RawRecord]:
        """Every record row in order, undecoded."""
        last = -1
        columns = "position, id, chain, kind, project, source, seq, run, claim, codec, data"
        while True:
            with self._readers.use() as connection:
                rows = connection.execute(
                    f"SELECT {columns} FROM records WHERE position > ? ORDER BY position LIMIT ?", (last, PAGE)
                ).fetchall()
            for position, own, chain, kind, project, source, seq, run, claim, codec, data in rows:
                yield RawRecord(
                    position=position, id=own, chain=chain, kind=kind, project=project, source=source, seq=seq,
                    run=run, claim=claim, data=_readable(codec, data),
                )  # fmt: skip
            if not rows:
                return
            last = rows[-1][0]

    def raw_payloads(self) -> Iterator[tuple[str, bytes, int, bytes | None]]:
        """(address, salt, size, bytes) of every payload; None for bytes that cannot be decompressed."""
        last = b""
        while True:
            with self._readers.use() as connection:
                rows = connection.execute(
                    "SELECT address, salt, size, codec, data FROM payloads WHERE address > ? ORDER BY address LIMIT ?",
                    (last, PAGE),
                ).fetchall()
            for address, salt, size, codec, data in rows:
                try:
                    yield address.hex(), salt, size, unpack(codec, data)
                except LedgerBroken:
                    yield address.hex(), salt, size, None
            if not rows:
                return
            last = rows[-1][0]

    def raw_contexts(self) -> Iterator[tuple[str, str, str]]:
        """(h, parent, address) of every link of the prefix chain, as hex."""
        last = b""
        while True:
            with self._readers.use() as connection:
                rows = connection.execute(
                    "SELECT h, parent, address FROM contexts WHERE h > ? ORDER BY h LIMIT ?", (last, PAGE)
                ).fetchall()
            for h, parent, address in rows:
                yield h.hex(), parent.hex(), address.hex()
            if not rows:
                return
            last = rows[-1][0]


def _readable(codec: int, data: bytes) -> bytes:
    """Bytes of a record row; what cannot be decompressed is handed on as it is, and fails verification there."""
    try:
        return unpack(codec, data)
    except LedgerBroken:
        return bytes(data)
