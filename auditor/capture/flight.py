"""One call while it is relayed: what is known of it so far, and its crash journal."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from auditor.ledger.protocol import Ledger
from auditor.records.exchange import Joins, Outcome

JOURNAL_SECONDS = 0.02
"""Bytes wait at most this long before they go to the journal; a commit later (some milliseconds) they are durable."""
JOURNAL_BYTES = 2**16


@dataclass(kw_only=True)
class Flight:
    """Times are nanoseconds since 1970, None until the moment comes."""

    project: str
    method: str
    path: str
    """Path and query as recorded: without project prefix and credentials."""
    route: str
    """Path alone."""
    request_headers: dict[str, str]
    joins: Joins
    started: int
    upstream: str = "none"
    request: bytearray = field(default_factory=bytearray)
    response: bytearray = field(default_factory=bytearray)
    """What the upstream sent, and we passed on."""
    response_headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    headers_at: int | None = None
    first_byte: int | None = None
    last_byte: int | None = None
    relayed: int = 0
    outcome: Outcome = "crashed"
    """`crashed` until it ends in another way."""
    stream: str = field(default_factory=lambda: secrets.token_hex(16))
    journaled: bool = False

    def meta(self) -> dict[str, Any]:
        """What the journal must hold beside bytes to become a record after a crash."""
        return {
            "project": self.project, "method": self.method, "path": self.path, "route": self.route,
            "upstream": self.upstream, "request_headers": self.request_headers,
            "response_headers": self.response_headers, "joins": vars(self.joins), "status": self.status,
            "started": self.started, "headers_at": self.headers_at, "first_byte": self.first_byte,
            "request_size": len(self.request),
        }  # fmt: skip


class Journal:
    """Writes a flight's bytes to the ledger's crash journal, a timer tick at a time, only when it lasts longer."""

    def __init__(self, flight: Flight, ledger: Ledger, failed: Callable[[Exception], None]) -> None:
        self._flight = flight
        self._ledger = ledger
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0
        self._status_written = False
        self._broken = False

    def begin(self) -> None:
        """The request is known: keep it unless the call is over soon."""
        self._timer = self._loop.call_later(JOURNAL_SECONDS, self._flush)

    def grew(self) -> None:
        """Bytes were passed on."""
        if len(self._flight.response) - self._written >= JOURNAL_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(JOURNAL_SECONDS, self._flush)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._broken:
            return
        flight = self._flight
        try:
            if not flight.journaled:
                self._ledger.journal_open(flight.stream, flight.meta())
                flight.journaled = True
                self._ledger.journal_add(flight.stream, bytes(flight.request))
                self._status_written = flight.status is not None
            elif flight.status is not None and not self._status_written:
                self._ledger.journal_open(flight.stream, flight.meta())
                self._status_written = True
            if len(flight.response) > self._written:
                self._ledger.journal_add(flight.stream, bytes(flight.response[self._written :]))
                self._written = len(flight.response)
        except Exception as fault:  # recording trouble never reaches the user's call
            self._broken = True
            self._failed(fault)
