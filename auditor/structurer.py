"""Follows the ledger and appends a `structure` record for every run that has new calls, spans or transcripts.

The rooms `structure` (pure) and `capture.dialects` (bytes -> calls) must not know each other or the ledger; this
composition root joins them. It keeps keys and positions in memory, never texts: a run that changed is read again.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from auditor.capture.dialects import parse_exchange
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.records import wire
from auditor.records.exchange import Exchange, Gap, Transcript
from auditor.records.messages import Message
from auditor.records.structure import Structure
from auditor.records.telemetry import TelemetrySpan
from auditor.structure.build import build
from auditor.structure.inputs import COUNTERFACTUAL, RecordedCall, RecordedSpan, RecordedTranscript
from auditor.structure.threads import ThreadIndex, group

INPUTS = ("exchange", "span", "transcript", "structure")


@dataclass
class _Run:
    """What is known of one run: where its records are, and what was last appended."""

    records: list[int] = field(default_factory=list)
    version: int = 0
    latest: str = ""
    """Canonical form of the last structure without its version, to append only what differs."""


@dataclass
class _Dirty:
    """A run that has records its latest structure does not know."""

    first: int
    """Position of the first of them."""
    since: float
    """Monotonic time of the last of them, seconds."""


class Structurer:
    """One per ledger. `catch_up` is synchronous; `run_forever` debounces by `quiet` seconds per run."""

    def __init__(self, ledger: Ledger, quiet: float = 0.4) -> None:
        self._ledger = ledger
        self._quiet = quiet
        self._index = ThreadIndex()
        self._runs: dict[tuple[str, str], _Run] = {}
        self._dirty: dict[tuple[str, str], _Dirty] = {}
        self._position = -1
        self._lock = threading.RLock()
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
        """Ledger position up to which every run has its structure."""
        with self._lock:
            return min((dirty.first for dirty in self._dirty.values()), default=self._position + 1) - 1

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
            if stored.record.kind == "structure":
                self._learn_structure(stored)
            elif (run := self._run_of(stored, stored.record.body)) is not None:
                key = (stored.record.project, run)
                self._runs.setdefault(key, _Run()).records.append(stored.position)
                self._dirty.setdefault(key, _Dirty(stored.position, 0.0)).since = time.monotonic()
            self._position = stored.position  # only now: a record that could not be read is read again
        self._position = max(self._position, head)

    def _learn_structure(self, stored: Stored) -> None:
        """Our own earlier records: after a restart nothing is appended twice."""
        run = str(stored.record.body["run"])
        known = self._runs.setdefault((stored.record.project, run), _Run())
        known.version = max(known.version, int(stored.record.body["version"]))  # type: ignore[call-overload]
        known.latest = _form(stored.record.body)

    def _run_of(self, stored: Stored, body: Mapping[str, Any]) -> str | None:
        project = stored.record.project
        if stored.record.kind == "transcript":
            return str(body["run"])
        if stored.record.kind == "span":
            recorded = self._span(stored)
            for old in self._index.add_span(recorded):
                self._merge(project, old, self._index.settled(project, old))
            return self._index.span_run(recorded)
        call = self._call(stored)
        if call is None or call.exchange.joins.purpose == COUNTERFACTUAL:
            return None
        run = self._index.add_call(call).run
        for owner, old in self._index.take_merged():
            self._merge(owner, old, self._index.settled(owner, old))
        return self._index.settled(project, run)

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
            self.trouble = f"run {run} could not be structured: {type(fault).__name__}: {fault}"
            self._broken.add(run)
            gap = Gap(what="structure", why=self.trouble, run=run)
            self._ledger.append([Entry(kind="gap", source="structurer", project=project, body=wire.write(gap))])
            return 0
        self._broken.discard(run)
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
        calls, spans, transcripts = [], [], []
        for position in positions:
            for stored in self._ledger.records(position - 1, limit=1):
                if stored.record.kind == "span":
                    spans.append(self._span(stored))
                elif stored.record.kind == "transcript":
                    transcripts.append(self._transcript(stored))
                elif (call := self._call(stored)) is not None:
                    calls.append(call)
        return calls, spans, transcripts

    def _call(self, stored: Stored) -> RecordedCall | None:
        exchange = wire.read(Exchange, dict(stored.record.body))
        if exchange.dialect is None or (exchange.request is None and exchange.method == "POST"):
            return None
        request = b"" if exchange.request is None else self._ledger.payload(exchange.request)
        response = b"" if exchange.response is None else self._ledger.payload(exchange.response)
        call = parse_exchange(stored.id, exchange, request, response)
        return RecordedCall(
            position=stored.position, id=stored.id, project=stored.record.project, call=call, exchange=exchange
        )

    def _span(self, stored: Stored) -> RecordedSpan:
        span = wire.read(TelemetrySpan, dict(stored.record.body))
        return RecordedSpan(position=stored.position, id=stored.id, project=stored.record.project, span=span)

    def _transcript(self, stored: Stored) -> RecordedTranscript:
        transcript = wire.read(Transcript, dict(stored.record.body))
        rows = json.loads(self._ledger.payload(transcript.messages))
        tools = json.loads(self._ledger.payload(transcript.tools)) if transcript.tools is not None else []
        return RecordedTranscript(
            position=stored.position, id=stored.id, project=stored.record.project, transcript=transcript,
            messages=[wire.read(Message, row) for row in rows], tools=tools,
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
    return json.dumps({key: value for key, value in body.items() if key != "version"}, sort_keys=True)
