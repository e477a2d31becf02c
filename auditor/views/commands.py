"""What the views hand on: protocols that the composition root fills with jobs, workers and recorders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

FINISHED_STATES = frozenset({"done", "failed", "cancelled"})
"""Job states after which nothing moves any more."""


@dataclass(frozen=True, kw_only=True)
class AuditTicket:
    """Receipt of an audit request. Asking twice for the same thing gives the same ticket."""

    audit: str
    """Id of the `audit` record."""
    jobs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class JobView:
    """One job as people see it."""

    id: str
    kind: str
    state: str
    """`queued`, `running`, `done`, `failed` or `cancelled`."""
    done: int
    """Units finished."""
    total: int
    """Units in all; 0 when not known yet."""
    note: str = ""
    """What it is doing, in a few words."""
    attempt: int = 0
    error: str | None = None


class Audits(Protocol):
    """Starts audits and tells how far they are."""

    def start(self, run: str, methods: Sequence[str] | None, options: Mapping[str, Any]) -> AuditTicket:
        """Queue an audit of a run; `methods` None means every method that applies. Idempotent by content."""
        ...

    def progress(self, run: str) -> list[JobView]:
        """All jobs of a run, oldest first."""
        ...


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """How far one project's facts have come. Facts are calls, spans, log records and imported runs."""

    project: str
    accepted: int
    """Facts taken: those in the ledger and those on their way into it."""
    durable: int
    """Facts in the ledger."""
    projected: int
    """Facts the provenance graph has."""
    runs: int
    """Runs that have a structure."""
    evidence_attached: int
    """Those of them that have evidence."""


class Health(Protocol):
    """How recording and working are doing."""

    def view(self) -> dict[str, Any]:
        """JSON data: recording trouble (list of sentences under `trouble`), counts, workers, ledger head, graph lag."""
        ...

    def watermarks(self) -> list[Watermark]:
        """One per project, by name."""
        ...
