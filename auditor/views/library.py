"""Read side of the ledger for the views: what is current about every run, kept up incrementally.

Each refresh reads only the records behind the last position seen, so that listing runs costs no reading of old records.
Bodies are indexed as raw JSON (no validation, a few fields each) and parsed only when somebody opens them; parsed
structures are kept in a small least-recently-used store, because records never change.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from auditor.errors import AuditorError, NotFound
from auditor.ledger.protocol import Ledger, Stored
from auditor.records import wire
from auditor.records.evidence import Evidence
from auditor.records.exchange import Exchange, Gap
from auditor.records.messages import Message, Span, span_text
from auditor.records.structure import Claim, Step, Structure
from auditor.records.telemetry import TelemetrySpan
from auditor.records.verdict import Verdict
from auditor.views.shelf import RunShelf

_KINDS = ("structure", "evidence", "verdict", "audit", "gap")


class Library:
    """Thread-safe. Every method first catches up with the ledger."""

    def __init__(self, ledger: Ledger, *, keep: int = 32) -> None:
        self._ledger = ledger
        self._keep = keep
        self._lock = threading.RLock()
        self._position = -1
        self._shelves: dict[str, RunShelf] = {}
        self._aliases: dict[str, str] = {}
        self._run_of_claim: dict[str, str] = {}
        self._run_of_step: dict[str, str] = {}
        self._payload_of_message: dict[str, str] = {}
        self._parsed: OrderedDict[str, Structure] = OrderedDict()
        self._gaps: list[tuple[str, Gap]] = []
        self._trouble: list[str] = []

    def trouble(self) -> tuple[str, ...]:
        """Records that this version could not index, as sentences."""
        with self._lock:
            self._catch_up()
            return tuple(self._trouble)

    def shelves(self) -> list[RunShelf]:
        """All runs, the one whose structure was appended first at the end: stable under new runs."""
        with self._lock:
            self._catch_up()
            found = [shelf for shelf in self._shelves.values() if shelf.structure is not None]
            return sorted(found, key=lambda shelf: -shelf.first_position)

    def shelf(self, run: str) -> RunShelf:
        """One run by its id or by the id of a run merged into it."""
        with self._lock:
            self._catch_up()
            shelf = self._shelves.get(self._aliases.get(run, run))
            if shelf is None or shelf.structure is None:
                raise NotFound("run", f"no run is called {run!r:.200}", "list the runs with GET /api/v1/runs")
            return shelf

    def structure(self, run: str) -> Structure:
        """The latest structure of a run."""
        with self._lock:
            record = self.shelf(run).structure
            assert record is not None
            known = self._parsed.get(record)
            if known is None:
                known = wire.read(Structure, self._ledger.record(record).record.body)
                self._parsed[record] = known
                while len(self._parsed) > self._keep:
                    self._parsed.popitem(last=False)
            self._parsed.move_to_end(record)
            return known

    def step(self, step: str) -> tuple[Structure, Step]:
        with self._lock:
            self._catch_up()
            run = self._run_of_step.get(step)
        if run is not None:
            structure = self.structure(run)
            for found in structure.steps:
                if found.id == step:
                    return structure, found
        raise NotFound("step", f"no step is called {step!r:.200}", "list them with GET /api/v1/runs/{run}/steps")

    def claim(self, claim: str) -> tuple[Structure, Claim]:
        with self._lock:
            self._catch_up()
            run = self._run_of_claim.get(claim)
        if run is not None:
            structure = self.structure(run)
            for found in structure.claims:
                if found.id == claim:
                    return structure, found
        raise NotFound("claim", f"no claim is called {claim!r:.200}", "list them with GET /api/v1/runs/{run}/claims")

    def current_verdict(self, run: str, claim: str) -> tuple[Stored, Verdict] | None:
        """The verdict on a claim that counts: the latest by ledger position."""
        with self._lock:
            marks = self.shelf(run).verdicts.get(claim)
        return self._read_verdict(marks[-1].record) if marks else None

    def verdicts(self, run: str, claim: str) -> list[tuple[Stored, Verdict]]:
        """Every verdict ever given on a claim, oldest first."""
        with self._lock:
            marks = list(self.shelf(run).verdicts.get(claim, ()))
        return [self._read_verdict(mark.record) for mark in marks]

    def current_verdicts(self, run: str) -> list[tuple[Stored, Verdict]]:
        """The current verdict of every claim of the latest structure that has one, in claim order."""
        with self._lock:
            shelf = self.shelf(run)
            records = [shelf.verdicts[claim][-1].record for claim in shelf.claims if shelf.verdicts.get(claim)]
        return [self._read_verdict(record) for record in records]

    def evidence_of_claim(self, run: str, claim: str) -> list[tuple[Stored, Evidence]]:
        """Evidence on a claim, and evidence on its run that names no claim, oldest first."""
        with self._lock:
            shelf = self.shelf(run)
            records = sorted((*shelf.evidence.get(claim, ()), *shelf.evidence.get(None, ())))
        return [self.evidence(record) for _, record in records]

    def evidence(self, record: str) -> tuple[Stored, Evidence]:
        stored = self._ledger.record(record)
        if stored.record.kind != "evidence":
            raise NotFound(
                "evidence", f"record {record:.80} is of kind {stored.record.kind}", "give an evidence record's id"
            )
        return stored, wire.read(Evidence, stored.record.body)

    def source(self, record: str) -> Exchange | TelemetrySpan | None:
        """The exchange or span a call was read from; None for records of other kinds (transcripts)."""
        stored = self._ledger.record(record)
        if stored.record.kind == "exchange":
            return wire.read(Exchange, stored.record.body)
        return wire.read(TelemetrySpan, stored.record.body) if stored.record.kind == "span" else None

    def gaps(self, run: str) -> list[tuple[str, Gap]]:
        """Gap records that name the run, or one of the records it was made from."""
        made_from = set(self.structure(run).records)
        name = self.shelf(run).run
        with self._lock:
            known = list(self._gaps)
        return [
            (record, gap)
            for record, gap in known
            if (gap.run is not None and self._aliases.get(gap.run, gap.run) == name) or gap.record in made_from
        ]

    def message(self, message: str) -> Message:
        """A message by its id; NotFound, or LedgerBroken when its stored bytes no longer match."""
        with self._lock:
            self._catch_up()
            address = self._payload_of_message.get(message)
        if address is None:
            raise NotFound(
                "message", f"no message is called {message!r:.200}", "list them with GET /api/v1/runs/{run}/messages"
            )
        return wire.read(Message, orjson.loads(self._ledger.payload(address)))

    def quote(self, span: Span) -> str | None:
        """The recorded text of a span, or None where it cannot be read any more."""
        try:
            return span_text(self.message(span.message), span)
        except (AuditorError, UnicodeDecodeError, IndexError):
            return None

    def _read_verdict(self, record: str) -> tuple[Stored, Verdict]:
        stored = self._ledger.record(record)
        return stored, wire.read(Verdict, stored.record.body)

    def _catch_up(self) -> None:
        head = self._ledger.head().position
        if head <= self._position:
            return
        for stored in self._news():
            try:
                self._take(stored)
            except (AuditorError, KeyError, TypeError, AttributeError) as fault:
                # One unreadable record (of a newer version, say) must not hide all others; it is reported instead.
                self._trouble.append(f"record {stored.position} ({stored.record.kind}) cannot be read: {fault!r:.200}")
            self._position = stored.position
        self._position = max(self._position, head)

    def _news(self) -> Iterator[Stored]:
        return self._ledger.records(self._position, kinds=_KINDS)

    def _take(self, stored: Stored) -> None:
        body: Mapping[str, Any] = stored.record.body
        if stored.record.kind == "gap":
            self._gaps.append((stored.id, wire.read(Gap, body)))
            return
        run = str(body["run"])
        shelf = self._shelves.setdefault(self._aliases.get(run, run), RunShelf(run=run))
        if stored.record.kind == "structure":
            shelf.take_structure(stored.position, stored.id, stored.record.recorded_at, body)
            self._point_at(shelf.run, body)
        elif stored.record.kind == "verdict":
            shelf.take_verdict(stored.position, stored.id, body)
        elif stored.record.kind == "evidence":
            shelf.take_evidence(stored.position, stored.id, body)
        elif stored.record.kind == "audit":
            shelf.audits.append(stored.id)

    def _point_at(self, run: str, body: Mapping[str, Any]) -> None:
        for alias in body.get("aliases") or ():
            self._aliases[alias] = run
            merged = self._shelves.pop(alias, None)
            if merged is not None:
                self._shelves[run].absorb(merged)
        self._run_of_claim.update((claim["id"], run) for claim in body["claims"])
        self._run_of_step.update((step["id"], run) for step in body["steps"])
        self._payload_of_message.update((message["id"], message["payload"]) for message in body["messages"])
