"""What every job queue offers. Jobs are leased at least once, fenced by a token, idempotent by content key.

States:
    queued      waiting for its dependencies, a worker, or the end of a pause after an error
    running     leased to a worker until `lease_until`; a lease that ran out is handed to the next worker
    done        its result records are in the ledger (appended in the transaction that marked it done)
    failed      gave up after MAX_ERRORS errors or MAX_ATTEMPTS lost leases; a `gap` record says why
    cancelled   somebody no longer wants it
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from auditor.errors import AuditorError
from auditor.jobs.plan import JobSpec, Requires
from auditor.ledger.protocol import Entry, Fence, Stored

State = Literal["queued", "running", "done", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
MAX_ERRORS = 3
"""A handler may raise this often before the job is failed."""
MAX_ATTEMPTS = 12
"""A job that takes its worker down this often is failed: it would take down the next one too."""


class LeaseLost(AuditorError):
    """The token is stale: the lease ran out and another worker has the job, or it was cancelled. Drop the work."""

    code = "lease_lost"
    status = 409


class Stopping(AuditorError):
    """The worker was asked to stop; the job goes back to the queue at once."""

    code = "stopping"
    status = 503


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as the queue knows it. `token` is set only for who claimed it."""

    id: str
    kind: str
    run: str | None
    project: str
    payload: Mapping[str, Any]
    requires: Requires
    state: State
    done: int
    """Units finished, of `total`; 0 of 0 when not known yet."""
    total: int
    note: str
    attempt: int
    """How often it was handed out."""
    error: str | None
    token: str | None = None
    owner: str | None = None


class Mark(NamedTuple):
    """A moment in the queue's history, for `wait`."""

    version: int


class Queue(Protocol):
    """Thread-safe; several processes may share one queue."""

    def enqueue(self, specs: Sequence[JobSpec]) -> list[str]:
        """Add what is not there yet; failed and cancelled jobs are tried again. Ids in the order given."""
        ...

    def outbox(self, specs: Sequence[JobSpec]) -> Fence:
        """The same as a fence for Ledger.append: jobs and, say, their `audit` record become durable together."""
        ...

    def claim(
        self, worker: str, n: int = 1, lease: float = 30.0, *, kinds: Iterable[str] | None = None,
        loaded: str | None = None,
    ) -> list[Job]:  # fmt: skip
        """Up to n ready jobs for `lease` seconds, those for the model digest `loaded` first, then oldest first."""
        ...

    def heartbeat(self, job: str, token: str, lease: float = 30.0) -> None:
        """Extend the lease; LeaseLost when it is no longer ours."""
        ...

    def progress(self, job: str, token: str, done: int, total: int, note: str) -> None: ...

    def complete(self, job: str, token: str, entries: Sequence[Entry]) -> Sequence[Stored]:
        """Append the results and mark the job done in ONE transaction; LeaseLost aborts both."""
        ...

    def fail(self, job: str, token: str, error: str, retry: bool = True) -> State:
        """Back to the queue after a pause, or failed with a `gap` record. The state it ended in."""
        ...

    def release(self, job: str, token: str) -> None:
        """Hand the job back untouched, without counting the attempt."""
        ...

    def cancel(self, run: str) -> int:
        """Cancel the unfinished jobs of a run; how many."""
        ...

    def job(self, job: str) -> Job:
        """NotFound when there is none."""
        ...

    def jobs(self, run: str | None = None, states: Iterable[State] | None = None) -> list[Job]:
        """Oldest first; with `run`, also the preparations its jobs wait for."""
        ...

    def counts(self, project: str | None = None) -> dict[str, int]:
        """Jobs per state, every state named; of one project or of all."""
        ...

    def mark(self) -> Mark:
        """Take it before looking, give it to `wait`: what happens in between is not missed."""
        ...

    def wait(self, mark: Mark, timeout: float) -> bool:
        """Until something changed behind `mark` (also from other processes); False when time ran out."""
        ...

    def close(self) -> None: ...
