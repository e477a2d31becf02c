"""Turns finished flights into `exchange` records, off the hot path; keeps trouble visible and makes it a gap record."""

import logging
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from auditor.capture.dialects.catalogue import Dialect, by_route
from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.exact import NotJson, parse_json, whole_text
from auditor.capture.flight import Flight
from auditor.capture.scanner import array_spans
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.models import ModelsTable
from auditor.records.exchange import Exchange, Gap, Joins, Payload, Times
from auditor.records.times import time_text
from auditor.records.wire import write

LOG = logging.getLogger("auditor.capture")
SOURCE = "proxy"
MOST_GAPS = 1000


class Recorder:
    """Thread-safe. `record` returns at once; `heal` appends gaps for what could not be recorded."""

    def __init__(self, ledger: Ledger, models: ModelsTable) -> None:
        self._ledger = ledger
        self._models = models
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._lock = threading.Lock()
        self._lost: deque[tuple[str, Gap, str | None]] = deque()
        self._dropped = 0
        self._pending = 0
        self._recorded = 0
        self._failed = 0
        self._recovered = 0
        self._last_failure: str | None = None

    # --- finished flights

    def record(self, flight: Flight) -> None:
        """Queue a finished flight; never raises."""
        with self._lock:
            self._pending += 1
        try:
            self._pool.submit(self._record, flight)
        except RuntimeError as fault:  # the pool is shut down
            self._trouble(flight, fault)

    def _record(self, flight: Flight) -> None:
        try:
            entry = self._entry(flight)
            if flight.journaled:
                self._ledger.journal_close(flight.stream)
            future = self._ledger.submit([entry])
        except Exception as fault:  # whatever is wrong with recording is counted and shown, never thrown away
            self._trouble(flight, fault)
            return
        future.add_done_callback(lambda done: self._ended(flight, done))

    def _ended(self, flight: Flight, done: "Future[list[Stored]]") -> None:
        fault = done.exception()
        if fault is not None:
            self._trouble(flight, fault)
            return
        with self._lock:
            self._pending -= 1
            self._recorded += 1

    def _entry(self, flight: Flight) -> Entry:
        dialect = by_route(flight.method, flight.route)
        request, response = bytes(flight.request), bytes(flight.response)
        sent, unparsed = _read_request(dialect, request, flight)
        model = sent.get("model")
        model = whole_text(model) if isinstance(model, str) else None
        known = self._models.match(model)
        exchange = Exchange(
            dialect=dialect.name if dialect else None, method=flight.method, path=flight.path,
            upstream=flight.upstream, status=flight.status, outcome=flight.outcome,
            request=self._stored_request(dialect, request), response=self._stored(response),
            request_headers=flight.request_headers, response_headers=flight.response_headers,
            times=_times(flight), joins=flight.joins, model=model,
            model_digest=known.digest if known else "unknown", relayed=flight.relayed,
            unparsed=unparsed or _read_response(dialect, response, flight),
        )  # fmt: skip
        started = exchange.times.started
        return Entry(kind="exchange", source=SOURCE, project=flight.project, observed_at=started, body=write(exchange))

    def _stored_request(self, dialect: Dialect | None, body: bytes) -> Payload | None:
        spans = array_spans(body, dialect.array) if dialect and dialect.array and body else None
        return self._ledger.put_split(body, spans) if spans else self._stored(body)

    def _stored(self, body: bytes) -> Payload | None:
        return Payload(address=self._ledger.put(body), size=len(body)) if body else None

    # --- trouble

    def _trouble(self, flight: Flight, fault: BaseException) -> None:
        with self._lock:
            self._pending -= 1
        why = f"{type(fault).__name__}: {fault}"
        what = f"exchange {flight.method} {flight.path} begun {time_text(flight.started)}"
        gap = Gap(what=what, why=f"could not be recorded: {why}", run=flight.joins.run)
        self.failed(fault, project=flight.project, gap=gap, stream=flight.stream if flight.journaled else None)

    def failed(
        self, fault: BaseException, *, project: str = "default", gap: Gap | None = None, stream: str | None = None
    ) -> None:
        """Note recording trouble; with a gap, that is what will be said in the ledger once it can be written."""
        why = f"{type(fault).__name__}: {fault}"
        with self._lock:
            self._failed += 1
            self._last_failure = why
            if gap is not None and len(self._lost) < MOST_GAPS:
                self._lost.append((project, gap, stream))
            elif gap is not None:
                self._dropped += 1
        LOG.error("a call could not be recorded: %s", why)

    def heal(self) -> bool:
        """Append the gaps that wait; True when none are left. Blocks while the ledger writes."""
        with self._lock:
            waiting = list(self._lost)
            dropped = self._dropped
        if not waiting:
            return True
        entries = [Entry(kind="gap", source=SOURCE, project=project, body=write(gap)) for project, gap, _ in waiting]
        if dropped:
            more = Gap(what=f"{dropped} more exchanges", why="could not be recorded, too many to name")
            entries.append(Entry(kind="gap", source=SOURCE, body=write(more)))
        try:
            for _, _, stream in waiting:
                if stream is not None:
                    self._ledger.journal_close(stream)
            self._ledger.append(entries)
        except Exception as fault:  # still no ledger: the gaps wait on, and the reason stays visible
            with self._lock:
                self._last_failure = f"{type(fault).__name__}: {fault}"
            return False
        with self._lock:
            for _ in waiting:
                self._lost.popleft()
            self._dropped -= dropped
            return not self._lost

    # --- after a crash

    def recover(self) -> int:
        """Make `crashed` records of the journals a dead process left; gives how many."""
        count = 0
        for stream, meta, data in self._ledger.journals():
            try:
                entry = self._entry(_crashed(meta, data))
                self._ledger.journal_close(stream)
                self._ledger.append([entry])
            except Exception as fault:  # one unreadable journal must not hide the others; it stays for another try
                self.failed(fault)
                continue
            count += 1
        with self._lock:
            self._recovered += count
        return count

    # --- what is shown

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {
                "exchanges": self._recorded, "exchanges_failed": self._failed, "exchanges_waiting": self._pending,
                "exchanges_recovered": self._recovered, "gaps_waiting": len(self._lost) + self._dropped,
            }  # fmt: skip

    def trouble(self) -> list[str]:
        """Sentences: what cannot be recorded at the moment. Empty once every gap is in the ledger."""
        with self._lock:
            waiting = len(self._lost) + self._dropped
            if not waiting:
                return []
            return [f"capture: {waiting} exchanges are not recorded yet, last reason: {self._last_failure}"]

    def close(self) -> None:
        """Finish what is queued."""
        self._pool.shutdown(wait=True)
        self.heal()


def _crashed(meta: Mapping[str, Any], data: bytes) -> Flight:
    """The flight a journal tells of: its meta, the request's bytes, then what the client had been sent."""
    size = int(meta["request_size"])
    return Flight(
        project=meta["project"], method=meta["method"], path=meta["path"], route=meta["route"],
        upstream=meta["upstream"], request_headers=meta["request_headers"], joins=Joins(**meta["joins"]),
        started=meta["started"], request=bytearray(data[:size]), response=bytearray(data[size:]),
        response_headers=meta["response_headers"], status=meta["status"], headers_at=meta["headers_at"],
        first_byte=meta["first_byte"], relayed=len(data[size:]), outcome="crashed",
    )  # fmt: skip


def _times(flight: Flight) -> Times:
    def said(moment: int | None) -> str | None:
        return None if moment is None else time_text(moment)

    return Times(
        started=time_text(flight.started), upstream_headers=said(flight.headers_at),
        first_byte=said(flight.first_byte), last_byte=said(flight.last_byte),
    )  # fmt: skip


def _read_request(dialect: Dialect | None, body: bytes, flight: Flight) -> tuple[dict[str, Any], str | None]:
    """The request's JSON object and why it could not be read, where a dialect should understand it."""
    if dialect is None:
        return {}, None
    try:
        sent = parse_json(decode(body, flight.request_headers.get("content-encoding")))
    except (NotJson, NotDecoded) as fault:
        return {}, f"the request is no JSON: {fault}"
    return (sent, None) if isinstance(sent, dict) else ({}, "the request is no JSON object")


def _read_response(dialect: Dialect | None, body: bytes, flight: Flight) -> str | None:
    """Why a complete, unstreamed response could not be read, or None."""
    kind = flight.response_headers.get("content-type", "")
    if dialect is None or flight.outcome != "complete" or "text/event-stream" in kind or not body:
        return None
    try:
        parse_json(decode(body, flight.response_headers.get("content-encoding")))
    except (NotJson, NotDecoded) as fault:
        return f"the response is no JSON: {fault}"
    return None
