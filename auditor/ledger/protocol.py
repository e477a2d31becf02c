"""What every ledger store offers. Facts are appended once; nothing edits an old one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from auditor.records.exchange import Payload
from auditor.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a caller wants appended; the store adds `v`, `seq`, `recorded_at` and the chain."""

    kind: str
    source: str
    body: Mapping[str, Any]
    """JSON data, from records.wire.write."""
    project: str = "default"
    observed_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record at its place. `chain` = SHA-256(previous chain || id), 64 zeros before the first."""

    position: int
    id: str
    chain: str
    record: Record


@dataclass(frozen=True, kw_only=True)
class Head:
    position: int
    """Position of the last record, -1 when empty."""
    chain: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Integrity and completeness are two answers. `first_bad` names the first record that fails and why."""

    records: int
    payloads: int
    intact: bool
    complete: bool
    first_bad: int | None
    problems: tuple[str, ...]
    head: Head


Fence = Callable[[Any], None]
"""Runs inside the append's own write transaction with its database connection; raising aborts the append."""


class Ledger(Protocol):
    """Thread-safe. One process has one writer thread; several processes may append to one store."""

    def submit(self, entries: Sequence[Entry], fence: Fence | None = None) -> "Future[Sequence[Stored]]":
        """Queue an append; the future resolves when the entries, and all payloads put before, are durable."""
        ...

    def append(self, entries: Sequence[Entry], fence: Fence | None = None) -> Sequence[Stored]:
        """submit and wait."""
        ...

    def put(self, data: bytes) -> str:
        """Store a payload, deduplicated; its address at once, durable with the next append."""
        ...

    def put_split(self, data: bytes, spans: Sequence[tuple[int, int]]) -> Payload:
        """Store a body as skeleton plus the byte ranges `spans` (messages), prefix-chained and deduplicated.

        The rebuilt bytes are compared by hash; when they differ the body is stored whole.
        """
        ...

    def put_pieces(self, pieces: Iterable[bytes]) -> Payload:
        """Store a body too long to be held in memory, as the row of its pieces, each of which is taken once.

        What waits to become durable is in memory all the same: an append between pieces empties that.
        """
        ...

    def payload(self, ref: Payload | str) -> bytes:
        """The original bytes; raises NotFound, or LedgerBroken when they no longer match their address."""
        ...

    def records(
        self, after: int = -1, *, kinds: Iterable[str] | None = None, run: str | None = None,
        claim: str | None = None, project: str | None = None, limit: int | None = None, newest_first: bool = False,
    ) -> Iterator[Stored]:  # fmt: skip
        """Records behind position `after` in order (or newest first), filtered. `run` and `claim` are body fields."""
        ...

    def record(self, record_id: str) -> Stored: ...

    def head(self) -> Head: ...

    def tally(self, after: int, upto: int, kinds: Iterable[str]) -> list[tuple[str, str, str | None, int]]:
        """(kind, project, run, how many) of the records behind `after` up to `upto`; `run` as in `records`."""
        ...

    def watch(self, after: int, timeout: float) -> bool:
        """Wait until a record behind `after` exists (also from other processes); False when time ran out."""
        ...

    def close(self) -> None: ...
