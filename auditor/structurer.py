"""Follows the ledger and appends a `structure` record for every run that has new calls, spans or transcripts.

The rooms `structure` (pure) and `capture.dialects` (bytes -> calls) must not know each other or the ledger; this
composition root joins them. It keeps keys and positions in memory, never texts: a run that changed is read again.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from auditor.capture.conventions import observe
from auditor.capture.dialects import parse_exchange
from auditor.capture.large import MOST_BODY
from auditor.capture.prices import cost, read_prices
from auditor.capture.usage import tokens
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.records import wire
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Gap, Payload, Transcript
from auditor.records.messages import Message
from auditor.records.structure import Structure
from auditor.records.telemetry import TelemetryLog, TelemetrySpan
from auditor.structure.build import build
from auditor.structure.inputs import COUNTERFACTUAL, RecordedCall, RecordedSpan, RecordedTranscript, recorded_call
from auditor.structure.retries import Table, in_memory
from auditor.structure.threads import ThreadIndex, group

INPUTS = ("exchange", "span", "log", "transcript", "structure")


@dataclass
class _Run:
    """What is known of one run: where its records are, and what was last appended."""

    records: list[int] = field(default_factory=list)
    former: set[str] = field(default_factory=set)
    """Other names it had before spans that came late told its name."""
    version: int = 0
    latest: str = ""
    """Digest of the last structure without its version, to append only what differs."""


@dataclass
class _Dirty:
    """A run that has records its latest structure does not know."""

    first: int
    """Position of the first of them."""
    since: float
    """Monotonic time of the last of them, seconds."""


@dataclass
class _InTrace:
    """A span or log record of a trace, and the run it was last given to."""

    position: int
    span: str | None
    run: str | None = None


class Structurer:
    """One per ledger. `catch_up` is synchronous; `run_forever` debounces by `quiet` seconds per run."""

    def __init__(
        self, ledger: Ledger, quiet: float = 0.4, turn: Callable[[], None] = lambda: None,
        prices: Path | None = None, table: Table = in_memory,
    ) -> None:  # fmt: skip
        """`turn` is called before each piece of work and may wait: recording comes before reading. `prices` is a table
        that replaces the one of this version. `table` makes the mappings that grow with what is recorded."""
        self._prices = read_prices(prices)
        self._ledger = ledger
        self._turn = turn
        self._quiet = quiet
        self._index = ThreadIndex(table)
        self._runs: MutableMapping[tuple[str, str], _Run] = table(_Run)
        self._dirty: dict[tuple[str, str], _Dirty] = {}
        self._position = -1
        self._settled = -1
        self._lock = threading.RLock()
        self._traces: MutableMapping[tuple[str, str], list[_InTrace]] = table(_InTrace)
        self._open: set[tuple[str, str]] = set()
        """Traces with records whose run is not settled yet."""
        self._broken: set[str] = set()
        """Runs whose newest records could not be structured."""
        self.trouble: str | None = None
        """Why the last attempt failed, or None; shown in /healthz."""

    @property
    def position(self) -> int:
        """Last ledger position that was looked at."""
        return self._position

    @property
    def settled(self) -> int:
        """Ledger position up to which every run has its structure; while work is under way, what it was before."""
        if self._lock.acquire(blocking=False):  # who asks must not wait for a long piece of work
            try:
                self._settled = min((dirty.first for dirty in self._dirty.values()), default=self._position + 1) - 1
            finally:
                self._lock.release()
        return self._settled

    def catch_up(self, run: str | None = None) -> int:
        """Read what is new and append structures at once, for every run or for one; gives how many were appended."""
        with self._lock:
            self._read()
            return sum(self._append(key) for key in list(self._dirty) if run is None or key[1] == run)

    def run_forever(self, stop: threading.Event) -> None:
        """Follow until `stop` is set. What fails is tried again, and `trouble` says why until it works."""
        while not stop.is_set():
            try:
                with self._lock:
                    self._read()
                    now = time.monotonic()
                    due = [key for key, dirty in self._dirty.items() if now - dirty.since >= self._quiet]
                    waiting = bool(self._dirty)
                for key in due:
                    self._turn()
                    with self._lock:
                        self._append(key)
                if self.trouble is not None and not self._broken:
                    self.trouble = None
            except Exception as fault:  # noqa: BLE001 - this thread must outlive any record; the reason is shown
                self.trouble = f"{type(fault).__name__}: {fault}"
                stop.wait(1.0)
                continue
            if not due:
                if waiting:
                    stop.wait(0.05)
                else:
                    self._ledger.watch(self._position, 0.5)

    def _read(self) -> None:
        head = self._ledger.head().position
        for stored in self._ledger.records(self._position, kinds=INPUTS):
            self._turn()
            if stored.record.kind == "structure":
                self._learn_structure(stored)
            elif (run := self._run_of(stored, stored.record.body)) is not None:
                self._belongs(stored.record.project, run, stored.position)
            self._position = stored.position  # only now: a record that could not be read is read again
        for trace in self._index.take_moved() | self._open:
            self._settle(trace)
        self._open.clear()
        self._position = max(self._position, head)

    def _belongs(self, project: str, run: str, position: int) -> None:
        """A record of a run that its latest structure does not know."""
        self._runs.setdefault((project, run), _Run()).records.append(position)
        self._dirty.setdefault((project, run), _Dirty(position, 0.0)).since = time.monotonic()

    def _settle(self, trace: tuple[str, str]) -> None:
        """Give every span and log record of a trace to the run it belongs to now; what came late may have moved it."""
        project, trace_id = trace
        for one in self._traces.get(trace, ()):
            joined = self._index.run_in_trace(project, trace_id, one.span)
            run = None if joined is None else joined.run
            if run == one.run:
                continue
            if one.run is not None and (left := self._runs.get((project, one.run))) is not None:
                left.records = [position for position in left.records if position != one.position]
                self._dirty.setdefault((project, one.run), _Dirty(one.position, 0.0)).since = time.monotonic()
            former, one.run = one.run, run
            if run is not None:
                self._belongs(project, run, one.position)
                self._renamed(project, former or trace_id, run)

    def _renamed(self, project: str, old: str, new: str) -> None:
        """A run whose last record went to another one was that one."""
        gone = self._runs.get((project, old))
        if old != new and gone is not None and not gone.records and gone.version:
            self._runs[project, new].former.add(old)

    def _learn_structure(self, stored: Stored) -> None:
        """Our own earlier records: after a restart nothing is appended twice."""
        run = str(stored.record.body["run"])
        known = self._runs.setdefault((stored.record.project, run), _Run())
        known.version = max(known.version, int(stored.record.body["version"]))  # type: ignore[call-overload]
        known.latest = _form(stored.record.body)
        known.former.update(map(str, stored.record.body["aliases"]))  # type: ignore[call-overload]

    def _run_of(self, stored: Stored, body: Mapping[str, Any]) -> str | None:
        project = stored.record.project
        if stored.record.kind == "transcript":
            return str(body["run"])
        if stored.record.kind == "span":
            recorded = self._span(stored)
            for old in self._index.add_span(recorded):
                self._merge(project, old, self._index.settled(project, old))
            self._trace(project, recorded.span.trace_id, recorded.span.span_id, stored.position)
            return None  # its run is settled with its trace's
        if stored.record.kind == "log":
            if isinstance(body["trace_id"], str):
                self._trace(project, body["trace_id"], body["span_id"], stored.position)
            return None
        call = self._call(stored)
        if call is None or call.joins.purpose == COUNTERFACTUAL:
            return None
        run = self._index.add_call(call).run
        for owner, old in self._index.take_merged():
            self._merge(owner, old, self._index.settled(owner, old))
        return self._index.settled(project, run)

    def _trace(self, project: str, trace_id: str, span_id: str | None, position: int) -> None:
        self._traces.setdefault((project, trace_id), []).append(_InTrace(position, span_id))
        self._open.add((project, trace_id))

    def _merge(self, project: str, old: str, new: str) -> None:
        gone = self._runs.pop((project, old), None)
        self._dirty.pop((project, old), None)
        if gone is not None:
            self._runs.setdefault((project, new), _Run()).records.extend(gone.records)

    def _append(self, key: tuple[str, str]) -> int:
        project, run = key
        known = self._runs[key]
        calls, spans, transcripts = self._reread(sorted(set(known.records)))
        threads = [thread for thread in group(calls, spans, transcripts) if thread.run == run]
        self._dirty.pop(key, None)
        if not threads:
            return 0
        try:
            structure = build(threads[0], self._ledger.put, known.version + 1)
        except Exception as fault:  # noqa: BLE001 - recorded content is hostile: one run must not stop the others
            # health is shown to everybody, so the run and what it holds are named in its project's gap alone
            self.trouble = f"a run could not be structured ({type(fault).__name__}); a gap record names it"
            self._broken.add(run)
            why = f"run {run} could not be structured: {type(fault).__name__}: {fault}"
            gap = Gap(what="structure", why=why, run=run)
            self._ledger.append([Entry(kind="gap", source="structurer", project=project, body=wire.write(gap))])
            return 0
        self._broken.discard(run)
        structure = replace(structure, aliases=tuple(sorted({*structure.aliases, *known.former} - {run})))
        body = wire.write(structure)
        form = _form(body)
        if form == known.latest:
            return 0
        self._ledger.append([Entry(kind="structure", source="structurer", project=project, body=body)])
        known.version, known.latest = structure.version, form
        return 1

    def _reread(
        self, positions: Sequence[int]
    ) -> tuple[list[RecordedCall], list[RecordedSpan], list[RecordedTranscript]]:
        calls: list[RecordedCall] = []
        told: list[Stored] = []
        transcripts: list[RecordedTranscript] = []
        logs: dict[tuple[object, object], list[Stored]] = {}
        for position in positions:
            for stored in self._ledger.records(position - 1, limit=1):
                if stored.record.kind == "span":
                    told.append(stored)
                elif stored.record.kind == "log":
                    own = (stored.record.body["trace_id"], stored.record.body["span_id"])
                    logs.setdefault(own, []).append(stored)
                elif stored.record.kind == "transcript":
                    transcripts.append(self._transcript(stored))
                elif (call := self._call(stored)) is not None:
                    calls.append(call)
        spans = [
            self._span(one, logs.get((one.record.body["trace_id"], one.record.body["span_id"]), ())) for one in told
        ]
        return calls, spans, transcripts

    def _call(self, stored: Stored) -> RecordedCall | None:
        exchange = wire.read(Exchange, dict(stored.record.body))
        if exchange.dialect is None or (exchange.request is None and exchange.method == "POST"):
            return None
        request, response = self._body(exchange.request), self._body(exchange.response)
        call = parse_exchange(stored.id, exchange, request or b"", response or b"", prices=self._prices)
        if request is None or response is None:
            call = replace(call, unparsed=exchange.unparsed or "a body is too long to be read")
        return recorded_call(stored.position, stored.id, stored.record.project, call, exchange)

    def _body(self, payload: Payload | None) -> bytes | None:
        """A recorded body, empty where there is none; None where it is too long to be held in memory."""
        if payload is None:
            return b""
        return None if payload.size > MOST_BODY else self._ledger.payload(payload)

    def _span(self, stored: Stored, logs: Sequence[Stored] = ()) -> RecordedSpan:
        span = wire.read(TelemetrySpan, dict(stored.record.body))
        alone = observe(span, prices=self._prices)
        events = [wire.read(TelemetryLog, dict(one.record.body)) for one in logs]
        return RecordedSpan(
            position=stored.position, id=stored.id, project=stored.record.project, span=span, alone=alone,
            observation=observe(span, events, self._prices) if events else alone,
            logs=tuple((one.position, one.id) for one in logs),
        )  # fmt: skip

    def _transcript(self, stored: Stored) -> RecordedTranscript:
        transcript = wire.read(Transcript, dict(stored.record.body))
        rows = json.loads(self._ledger.payload(transcript.messages))
        tools = json.loads(self._ledger.payload(transcript.tools)) if transcript.tools is not None else []
        return RecordedTranscript(
            position=stored.position, id=stored.id, project=stored.record.project, transcript=transcript,
            messages=[wire.read(Message, row) for row in rows], tools=tools,
            counted={one.message: (tokens(one.dialect, one.usage),
                                   cost(self._prices, one.dialect, one.model, one.usage))
                     for one in transcript.usages},
        )  # fmt: skip


class LatestStructure(NamedTuple):
    """A run's newest structure: its record's id and project, and its value."""

    id: str
    project: str
    structure: Structure


def latest_structure(ledger: Ledger, run: str) -> LatestStructure | None:
    """The newest structure of a run, or None."""
    for stored in ledger.records(kinds=["structure"], run=run, newest_first=True, limit=1):
        structure = wire.read(Structure, dict(stored.record.body))
        return LatestStructure(stored.id, stored.record.project, structure)
    return None


def _form(body: Mapping[str, Any]) -> str:
    """A digest of a structure without its version: runs are many, and their texts are not kept."""
    said = {key: value for key, value in body.items() if key != "version"}
    return hashlib.sha256(canonical_bytes(said)).hexdigest()
