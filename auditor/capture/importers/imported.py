"""What a trace file holds, and how it becomes records: runs as `transcript` records, telemetry as `span` and `log`.

Importing the same thing twice adds nothing: in the transaction that appends a record, a side table notes the digest of
its body (for telemetry: of the item), and what is noted there is not appended again. So a file that has grown since it
was imported adds what is new in it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.capture.otlp_read import Signal
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import MessageUsage, Payload, Transcript
from auditor.records.messages import Message
from auditor.records.telemetry import TelemetryBatch
from auditor.records.wire import write

SOURCE = "import"
BATCH = 256
"""Runs or telemetry items per append."""
MOST_REASONS = 8
_TABLE = """CREATE TABLE IF NOT EXISTS imported(
  project TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY(project, digest)) WITHOUT ROWID"""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A run: messages in order; `facts` is whatever else the file says."""

    format: str
    run: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    usages: tuple[MessageUsage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """Spans or log records of a file, as bodies of records; `data` is what they were read from."""

    data: bytes
    signal: Signal
    items: Sequence[dict[str, Any]]
    reasons: Sequence[str] = ()
    """One sentence per item that cannot be accepted."""


Item = Imported | Telemetry


@dataclass(kw_only=True)
class Brought:
    """What an import did. `runs` are the names of added runs; telemetry tells its runs by its traces."""

    runs: list[str] = field(default_factory=list)
    traces: set[str] = field(default_factory=set)
    spans: int = 0
    logs: int = 0
    known: int = 0
    """Runs, spans and log records that had been imported before."""
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """What happened, for people."""
        added = [_counted(len(self.runs), "run")] if self.runs else []
        added += [_counted(self.spans, "span")] if self.spans else []
        added += [_counted(self.logs, "log record")] if self.logs else []
        added[-1:] = [f"{added[-1]} of {_counted(len(self.traces), 'trace')}"] if self.traces else added[-1:]
        names = f": {', '.join(self.runs[:5])}{', …' if len(self.runs) > 5 else ''}" if self.runs else ""
        known = f"; {self.known} had been imported before" if self.known else ""
        wrong = f"; {self.rejected} rejected" if self.rejected else ""
        return f"{' and '.join(added) or 'nothing new'} imported{names}{known}{wrong}"


def import_runs(
    ledger: Ledger, imported: Iterable[Imported], origin: str, *, project: str = "default"
) -> Sequence[Stored]:
    """Append one `transcript` record per run that is new; `origin` says where it came from and under which licence."""
    stored, _ = _append_runs(ledger, list(imported), origin, project)
    return stored


def bring_in(ledger: Ledger, items: Iterable[Item], origin: str, *, project: str = "default") -> Brought:
    """Append what a file holds, some at a time, so that memory does not grow with the file."""
    brought = Brought()
    runs: list[Imported] = []
    for item in items:
        if isinstance(item, Telemetry):
            _append_telemetry(ledger, item, project, brought)
            continue
        runs.append(item)
        if len(runs) >= BATCH:
            _count_runs(ledger, runs, origin, project, brought)
            runs = []
    _count_runs(ledger, runs, origin, project, brought)
    return brought


# --- inside


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _count_runs(ledger: Ledger, runs: list[Imported], origin: str, project: str, brought: Brought) -> None:
    stored, known = _append_runs(ledger, runs, origin, project)
    brought.known += known
    brought.runs += [str(one.record.body["run"]) for one in stored]


def _append_runs(
    ledger: Ledger, imported: list[Imported], origin: str, project: str
) -> tuple[Sequence[Stored], int]:
    """(records of what is new, how many were known)."""
    digests = [hashlib.sha256(canonical_bytes(write(_value(one)))).digest() for one in imported]
    fresh = _fresh(ledger, project, digests)
    entries = []
    for place in fresh:
        run = imported[place]
        transcript = Transcript(
            format=run.format, run=run.run, model=run.model,
            messages=_stored(ledger, [write(one) for one in run.messages]),
            tools=_stored(ledger, [dict(tool) for tool in run.tools]) if run.tools else None,
            origin=origin, facts=run.facts, usages=run.usages,
        )  # fmt: skip
        entries.append(Entry(kind="transcript", source=SOURCE, project=project, body=write(transcript)))
    stored = _append(ledger, entries, project, [digests[place] for place in fresh]) if entries else []
    return stored, len(imported) - len(fresh)


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What makes two imported runs the same."""

    run: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...]
    facts: Mapping[str, object]


def _value(run: Imported) -> _Content:
    return _Content(run=run.run, model=run.model, messages=run.messages, tools=run.tools, facts=run.facts)


def _append_telemetry(ledger: Ledger, read: Telemetry, project: str, brought: Brought) -> None:
    kind, when = ("span", "started") if read.signal == "traces" else ("log", "time")
    digests = [hashlib.sha256(kind.encode() + canonical_bytes(item)).digest() for item in read.items]
    fresh = _fresh(ledger, project, digests)
    brought.known += len(read.items) - len(fresh)
    brought.rejected += len(read.reasons)
    brought.reasons += read.reasons[: max(0, MOST_REASONS - len(brought.reasons))]
    if not fresh:
        return
    kept = TelemetryBatch(
        payload=ledger.put(read.data), spans=len(fresh) if kind == "span" else 0,
        logs=len(fresh) if kind == "log" else 0, rejected=len(read.reasons),
        reasons=tuple(read.reasons[:MOST_REASONS]), signal=read.signal,
    )  # fmt: skip
    entries = [Entry(kind="telemetry", source=SOURCE, project=project, body=write(kept))]
    for place in fresh:
        item = read.items[place]
        entries.append(Entry(kind=kind, source=SOURCE, project=project, body=item, observed_at=item[when]))
        if isinstance(item["trace_id"], str):
            brought.traces.add(item["trace_id"])
    _append(ledger, entries, project, [digests[place] for place in fresh])
    if kind == "span":
        brought.spans += len(fresh)
    else:
        brought.logs += len(fresh)


def _fresh(ledger: Ledger, project: str, digests: list[bytes]) -> list[int]:
    """Places of digests that are not noted and did not come before in the list."""
    noted: set[bytes] = set()

    def look(connection: Any) -> None:
        connection.execute(_TABLE)
        for digest in digests:
            query = "SELECT 1 FROM imported WHERE project=? AND digest=?"
            if connection.execute(query, (project, digest)).fetchone():
                noted.add(digest)

    ledger.append([], fence=look)
    places = []
    for place, digest in enumerate(digests):
        if digest not in noted:
            noted.add(digest)
            places.append(place)
    return places


def _append(ledger: Ledger, entries: list[Entry], project: str, digests: list[bytes]) -> Sequence[Stored]:
    """The records and their digests in one transaction; another import of the same file at the same time is refused by
    the table's key, and by that alone."""

    def note(connection: Any) -> None:
        connection.executemany("INSERT INTO imported VALUES(?,?)", [(project, digest) for digest in digests])

    return ledger.append(entries, fence=note)


def _stored(ledger: Ledger, rows: list[dict[str, object]]) -> Payload:
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    return Payload(address=ledger.put(data), size=len(data))
