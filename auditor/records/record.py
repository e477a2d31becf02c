"""The envelope of everything that is appended to the ledger (design §10)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from auditor.records.canonical import canonical_bytes, leaf_hash

RECORD_VERSION = 1

Kind = Literal[
    "exchange",  # one proxied HTTP call, see records.exchange
    "span",  # one OTLP span, see records.telemetry
    "log",  # one OTLP log record or event, see records.telemetry
    "telemetry",  # where the bytes of one acknowledged OTLP request are kept, see records.telemetry
    "transcript",  # an imported run, see records.exchange
    "structure",  # steps and claims of one run, see records.structure
    "audit",  # somebody asked for an audit of a run, see records.verdict
    "evidence",  # one method's answer, see records.evidence
    "verdict",  # what the rules conclude on one claim, see records.verdict
    "access",  # a key or a project was made or changed, see records.access
    "gap",  # something known to be missing, see records.exchange
]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One appended fact. `seq` counts within `source` from 0, so that a missing record of one source is noticed.

    The id is SHA-256(0x00 || RFC 8785 bytes of the eight fields), which is also the record's Merkle leaf.
    """

    kind: str
    project: str
    source: str
    """Who wrote it: `proxy`, `otlp`, `import`, `intake`, `worker`, `judge`, `api`."""
    seq: int
    recorded_at: str
    observed_at: str | None
    """When the fact happened by its own account, or None when unknown."""
    body: Mapping[str, object]
    v: int = RECORD_VERSION

    def to_json(self) -> dict[str, object]:
        return {
            "v": self.v, "kind": self.kind, "project": self.project, "source": self.source, "seq": self.seq,
            "recorded_at": self.recorded_at, "observed_at": self.observed_at, "body": dict(self.body),
        }  # fmt: skip

    def canonical(self) -> bytes:
        return canonical_bytes(self.to_json())

    def record_id(self) -> str:
        return leaf_hash(self.canonical())
