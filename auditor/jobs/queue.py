"""The job queue as rows of a lease table in the ledger's own SQLite file.

Why the same file: a job's results and the mark that it is done are one transaction, so that a worker killed at any
moment loses nothing and doubles nothing. Times are wall-clock seconds, because several processes compare them.
"""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditor.errors import BadInput, NotFound, Unavailable
from auditor.jobs.plan import JobSpec
from auditor.jobs.protocol import MAX_ATTEMPTS, MAX_ERRORS, Job, LeaseLost, Mark, State
from auditor.jobs.table import COLUMNS, ORDER, READY, TABLES, put, read
from auditor.ledger.protocol import Entry, Fence, Ledger, Stored
from auditor.ledger.schema import connect
from auditor.records import wire
from auditor.records.exchange import Gap

POLL_SECONDS = 0.02
"""How often `wait` asks SQLite whether anybody committed: one read of shared memory, about 10 microseconds."""


class SqliteQueue:
    """A jobs.protocol.Queue in the ledger file `path`; results go through `ledger`."""

    def __init__(self, path: Path, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = connect(path)
        self._watch_lock = threading.Lock()
        # data_version tells of commits by *other* connections, so the watching connection must never write
        self._watching = connect(path)
        with self._write() as connection:
            for statement in TABLES:
                connection.execute(statement)

    def enqueue(self, specs: Sequence[JobSpec]) -> list[str]:
        with self._write() as connection:
            put(connection, specs, self._clock())
        return [spec.id for spec in specs]

    def outbox(self, specs: Sequence[JobSpec]) -> Fence:
        return lambda connection: put(connection, specs, self._clock())

    def claim(
        self, worker: str, n: int = 1, lease: float = 30.0, *, kinds: Iterable[str] | None = None,
        loaded: str | None = None,
    ) -> list[Job]:  # fmt: skip
        now = self._clock()
        names: dict[str, object] = {
            "now": now, "kinds": None if kinds is None else json.dumps(sorted(kinds)), "loaded": loaded, "n": n,
            "until": now + lease, "worker": worker, "salt": secrets.token_hex(12),
        }  # fmt: skip
        pick = f"SELECT n FROM jobs WHERE {READY} {ORDER} LIMIT :n"
        # look before locking: an idle worker must not take the write lock away from those who record
        if not self._rows(pick, names):
            return []
        self._bury(now)
        with self._write() as connection:
            rows = connection.execute(
                "UPDATE jobs SET state = 'running', owner = :worker, attempt = attempt + 1, lease_until = :until,"
                f" token = :salt || '-' || n WHERE n IN ({pick}) RETURNING {COLUMNS}, n", names
            ).fetchall()  # fmt: skip
        rows.sort(key=lambda row: (row[5] != loaded if loaded is not None else False, row[-1]))
        return [read(row[:-1], token=True) for row in rows]

    def heartbeat(self, job: str, token: str, lease: float = 30.0) -> None:
        self._mine("UPDATE jobs SET lease_until = ?", (self._clock() + lease,), job, token)

    def progress(self, job: str, token: str, done: int, total: int, note: str) -> None:
        self._mine("UPDATE jobs SET done = ?, total = ?, note = ?", (done, total, note[:200]), job, token)

    def complete(self, job: str, token: str, entries: Sequence[Entry]) -> Sequence[Stored]:
        def fence(connection: Any) -> None:
            _update(
                connection,
                "UPDATE jobs SET state = 'done', done = max(done, total), token = NULL, error = NULL", (), job, token,
            )  # fmt: skip

        if entries:
            return self._ledger.append(list(entries), fence=fence)
        with self._write() as connection:
            fence(connection)
        return []

    def fail(self, job: str, token: str, error: str, retry: bool = True) -> State:
        row = self._rows("SELECT errors FROM jobs WHERE id = :job", {"job": job})
        if not row:
            raise NotFound("job", f"no job is called {job!r}", "list the jobs of its run")
        errors = int(row[0][0]) + 1
        if retry and errors < MAX_ERRORS:
            pause = self._clock() + 0.25 * 2**errors
            self._mine(
                "UPDATE jobs SET state = 'queued', token = NULL, errors = ?, error = ?, ready_at = ?",
                (errors, error, pause), job, token,
            )  # fmt: skip
            return "queued"
        self._give_up(job, error, lambda connection: _update(
            connection, "UPDATE jobs SET state = 'failed', token = NULL, errors = ?, error = ?", (errors, error),
            job, token,
        ))  # fmt: skip
        return "failed"

    def release(self, job: str, token: str) -> None:
        self._mine("UPDATE jobs SET state = 'queued', token = NULL, attempt = attempt - 1", (), job, token)

    def cancel(self, run: str) -> int:
        with self._write() as connection:
            return int(connection.execute(
                "UPDATE jobs SET state = 'cancelled', token = NULL WHERE run = ? AND state IN ('queued', 'running')",
                (run,),
            ).rowcount)  # fmt: skip

    def job(self, job: str) -> Job:
        rows = self._rows(f"SELECT {COLUMNS} FROM jobs WHERE id = :job", {"job": job})
        if not rows:
            raise NotFound("job", f"no job is called {job!r}", "list the jobs of its run")
        return read(rows[0])

    def jobs(self, run: str | None = None, states: Iterable[State] | None = None) -> list[Job]:
        rows = self._rows(
            f"""SELECT {COLUMNS} FROM jobs
            WHERE (:run IS NULL OR run = :run OR id IN (
                SELECT needs FROM job_needs JOIN jobs AS mine ON mine.id = job_needs.job WHERE mine.run = :run))
            AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states))) ORDER BY n""",
            {"run": run, "states": None if states is None else json.dumps(list(states))},
        )
        return [read(row) for row in rows]

    def counts(self, project: str | None = None) -> dict[str, int]:
        query = "SELECT state, count(*) FROM jobs WHERE :project IS NULL OR project = :project GROUP BY state"
        found = dict(self._rows(query, {"project": project}))
        return {state: int(found.get(state, 0)) for state in ("queued", "running", "done", "failed", "cancelled")}

    def mark(self) -> Mark:
        with self._watch_lock:
            return Mark(int(self._watching.execute("PRAGMA data_version").fetchone()[0]))

    def wait(self, mark: Mark, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while self.mark() == mark:
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_SECONDS, left))
        return True

    def close(self) -> None:
        with self._lock, self._watch_lock:
            self._connection.close()
            self._watching.close()

    def _mine(self, change: str, values: tuple[object, ...], job: str, token: str) -> None:
        with self._write() as connection:
            _update(connection, change, values, job, token)

    def _bury(self, now: float) -> None:
        """Fail jobs whose workers died too often; whoever comes first writes the gap."""
        worn = self._rows(
            "SELECT id, attempt FROM jobs WHERE state = 'running' AND lease_until < :now AND attempt >= :most",
            {"now": now, "most": MAX_ATTEMPTS},
        )
        for job, attempt in worn:
            error = f"its worker stopped without a word {attempt} times"

            def fence(connection: Any, job: str = job, error: str = error) -> None:
                changed = connection.execute(
                    "UPDATE jobs SET state = 'failed', token = NULL, error = ?"
                    " WHERE id = ? AND state = 'running' AND lease_until < ?", (error, job, now),
                ).rowcount  # fmt: skip
                if changed != 1:
                    raise LeaseLost("job", f"{job} was taken by somebody else", "leave it")

            try:
                self._give_up(job, error, fence)
            except LeaseLost:
                continue

    def _give_up(self, job: str, error: str, fence: Fence) -> None:
        known = self.job(job)
        gap = Gap(what=f"{known.kind} job {job}", why=error, run=known.run)
        entry = Entry(kind="gap", source="worker", body=wire.write(gap), project=known.project)
        self._ledger.append([entry], fence=fence)

    def _rows(self, query: str, values: dict[str, object]) -> list[Any]:
        with self._watch_lock:
            try:
                return self._watching.execute(query, values).fetchall()
            except sqlite3.DatabaseError as fault:
                raise Unavailable("jobs", str(fault), "check the disk and the ledger file") from fault

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.DatabaseError as fault:
                raise Unavailable("jobs", str(fault), "check the disk and the ledger file") from fault


def _update(connection: Any, change: str, values: tuple[object, ...], job: str, token: str) -> None:
    if not token:
        raise BadInput("token", "is empty", "use the token of the claimed job")
    changed = connection.execute(f"{change} WHERE id = ? AND state = 'running' AND token = ?", (*values, job, token))
    if changed.rowcount != 1:
        raise LeaseLost("token", f"job {job} is no longer ours", "drop this work; whoever has the job redoes it")
