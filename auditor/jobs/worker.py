"""A worker: claims jobs, runs the handler of their kind, appends what it answers. Knows no handler by itself.

While a handler runs, a second thread extends the lease and hands progress on; when the lease is lost or the worker is
asked to stop, the handler learns of it at its next call of `context.progress` (or `context.check`).
"""

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auditor.errors import AuditorError, Unavailable
from auditor.jobs.protocol import Job, LeaseLost, Queue, Stopping
from auditor.ledger.protocol import Entry, Ledger

LOG = logging.getLogger("auditor.jobs")
IDLE_SECONDS = 0.5
"""Longest wait between two looks at the queue: leases run out and pauses end without anybody committing."""
PROGRESS_SECONDS = 0.25
"""Progress is written at most this often; each write is a durable commit."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a handler is given beside its job."""

    ledger: Ledger
    """To read from and to `put` payloads into. Handlers never append: their answer is appended for them, once."""
    progress: Callable[[int, int, str], None]
    """progress(done, total, note), units finished; raises LeaseLost or Stopping, which the handler lets through."""
    check: Callable[[], None]
    """Raises LeaseLost or Stopping when the work is no longer wanted; cheap enough for an inner loop."""


Handler = Callable[[Job, Context], Sequence[Entry]]
"""job -> records to append. May raise: an AuditorError other than Unavailable fails the job for good, everything else
is tried again up to MAX_ERRORS times. It may be run more than once for one job, and must not mind."""


@dataclass
class _Lease:
    """What the heartbeat thread and the handler share while one job runs."""

    job: Job
    lost: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    news: tuple[int, int, str] | None = None


class Worker:
    """Runs jobs one after the other until told to stop. `lease` in seconds; `name` appears as the job's owner."""

    def __init__(
        self, queue: Queue, ledger: Ledger, handlers: Mapping[str, Handler], *, name: str = "", lease: float = 30.0
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._handlers = dict(handlers)
        self._lease_seconds = lease
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.loaded: str | None = None
        """Digest of the model the last job needed: jobs for the same model are taken first."""

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> int:
        """Work until `stop` is set (or, with `until_idle`, until no job is ready); how many jobs were completed."""
        completed = 0
        while not stop.is_set():
            mark = self._queue.mark()
            claimed = self._queue.claim(
                self.name, 1, self._lease_seconds, kinds=self._handlers, loaded=self.loaded
            )
            for job in claimed:
                completed += self._work(job, stop)
            if not claimed:
                if until_idle:
                    break
                self._queue.wait(mark, IDLE_SECONDS)
        return completed

    def _work(self, job: Job, stop: threading.Event) -> bool:
        """One job from claim to end; True when it was completed."""
        lease = _Lease(job)
        beat = threading.Thread(target=self._beat, args=(lease,), name="heartbeat", daemon=True)
        beat.start()
        try:
            entries = self._handlers[job.kind](job, self._context(lease, stop))
            self._end_beat(lease, beat)
            self._queue.complete(job.id, _token(job), list(entries))
            self.loaded = job.requires.model or self.loaded
            return True
        except LeaseLost:
            LOG.warning("lost the lease of %s job %s; its work is dropped", job.kind, job.id[:12])
        except Stopping:
            self._end_beat(lease, beat)
            self._give_back(job)
        except Exception as fault:  # a handler's bug must end its job with a reason, not the worker
            self._end_beat(lease, beat)
            self._failed(job, fault)
        finally:
            lease.ended.set()
        return False

    def _failed(self, job: Job, fault: Exception) -> None:
        final = isinstance(fault, AuditorError) and not isinstance(fault, Unavailable)
        where = traceback.extract_tb(fault.__traceback__)[-1]
        error = f"{type(fault).__name__}: {fault} ({Path(where.filename).name}:{where.lineno})"
        LOG.error("%s job %s failed: %s", job.kind, job.id[:12], error, exc_info=None if final else fault)
        try:
            self._queue.fail(job.id, _token(job), error[:2000], retry=not final)
        except LeaseLost:
            LOG.warning("%s job %s was taken over before its failure could be noted", job.kind, job.id[:12])

    def _give_back(self, job: Job) -> None:
        try:
            self._queue.release(job.id, _token(job))
        except LeaseLost:
            LOG.warning("%s job %s was taken over while stopping", job.kind, job.id[:12])

    def _context(self, lease: _Lease, stop: threading.Event) -> Context:
        def check() -> None:
            if lease.lost.is_set():
                raise LeaseLost("lease", f"of job {lease.job.id} ran out", "drop this work")
            if stop.is_set():
                raise Stopping("worker", "was asked to stop", "the job goes back to the queue")

        def progress(done: int, total: int, note: str) -> None:
            check()
            with lease.lock:
                lease.news = (done, total, note)

        return Context(ledger=self._ledger, progress=progress, check=check)

    def _beat(self, lease: _Lease) -> None:
        """Extend the lease every third of it, hand progress on in between."""
        token, every = _token(lease.job), self._lease_seconds / 3
        due = time.monotonic() + every
        while not lease.ended.wait(min(PROGRESS_SECONDS, every)):
            with lease.lock:
                news, lease.news = lease.news, None
            try:
                if news is not None:
                    self._queue.progress(lease.job.id, token, *news)
                if time.monotonic() >= due:
                    self._queue.heartbeat(lease.job.id, token, self._lease_seconds)
                    due = time.monotonic() + every
            except LeaseLost:
                lease.lost.set()
                return
            except Unavailable as fault:
                # the database is busy: the next beat tries again, and the lease tells whether that was in time
                LOG.warning("heartbeat of job %s: %s", lease.job.id[:12], fault)

    @staticmethod
    def _end_beat(lease: _Lease, beat: threading.Thread) -> None:
        lease.ended.set()
        beat.join()


def _token(job: Job) -> str:
    assert job.token is not None, "a claimed job carries its token"
    return job.token
