"""A run read from a trace file, and how it becomes a `transcript` record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.records.exchange import Payload, Transcript
from auditor.records.messages import Message
from auditor.records.wire import write

SOURCE = "import"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Messages in order; `facts` is whatever else the file says."""

    format: str
    run: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


def import_runs(
    ledger: Ledger, imported: Sequence[Imported], origin: str, *, project: str = "default"
) -> list[Stored]:
    """Append one `transcript` record per run; `origin` says where the file came from and under which licence."""
    entries = []
    for run in imported:
        transcript = Transcript(
            format=run.format, run=run.run, model=run.model,
            messages=_stored(ledger, [write(one) for one in run.messages]),
            tools=_stored(ledger, [dict(tool) for tool in run.tools]) if run.tools else None,
            origin=origin, facts=run.facts,
        )  # fmt: skip
        entries.append(Entry(kind="transcript", source=SOURCE, project=project, body=write(transcript)))
    return ledger.append(entries)


def _stored(ledger: Ledger, rows: list[dict[str, object]]) -> Payload:
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    return Payload(address=ledger.put(data), size=len(data))
