"""The lease table in the ledger's SQLite file: its columns, and rows as values."""

import json
import sqlite3
from collections.abc import Sequence

from auditor.jobs.plan import JobSpec, Requires
from auditor.jobs.protocol import Job
from auditor.records.canonical import canonical_bytes

TABLES = (
    """CREATE TABLE IF NOT EXISTS jobs(
      n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, run TEXT, project TEXT NOT NULL,
      payload TEXT NOT NULL, model TEXT, device TEXT NOT NULL, memory INTEGER,
      state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
      note TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0,
      error TEXT, owner TEXT, token TEXT, lease_until REAL, ready_at REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS jobs_open ON jobs(state, n) WHERE state IN ('queued', 'running')",
    "CREATE INDEX IF NOT EXISTS jobs_run ON jobs(run, n)",
    """CREATE TABLE IF NOT EXISTS job_needs(
      job TEXT NOT NULL, needs TEXT NOT NULL, PRIMARY KEY(job, needs)) WITHOUT ROWID""",
)

COLUMNS = (
    "id, kind, run, project, payload, model, device, memory, state, done, total, note, attempt, error, token, owner"
)

READY = """(state = 'queued' AND ready_at <= :now OR state = 'running' AND lease_until < :now)
  AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
  AND NOT EXISTS (SELECT 1 FROM job_needs JOIN jobs AS other ON other.id = job_needs.needs
                  WHERE job_needs.job = jobs.id AND other.state IN ('queued', 'running'))"""

ORDER = "ORDER BY (:loaded IS NOT NULL AND model IS :loaded) DESC, n"

REVIVE = """ON CONFLICT(id) DO UPDATE SET state = 'queued', attempt = 0, errors = 0, error = NULL, note = '',
  done = 0, total = 0, token = NULL, owner = NULL, lease_until = NULL, ready_at = excluded.ready_at,
  payload = excluded.payload WHERE jobs.state IN ('failed', 'cancelled')"""


def put(connection: sqlite3.Connection, specs: Sequence[JobSpec], now: float) -> None:
    """Insert what is missing, revive what failed and whatever was concluded from its failure.

    Runs inside the caller's transaction.
    """
    failed = _failed(connection, [spec.id for spec in specs])
    for spec in specs:
        need = spec.requires
        connection.execute(
            "INSERT INTO jobs(id, kind, run, project, payload, model, device, memory, state, ready_at)"
            f" VALUES(?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?) {REVIVE}",
            (
                spec.id, spec.kind, spec.run, spec.project, canonical_bytes(dict(spec.payload)).decode(),
                need.model, need.device, need.memory, now,
            ),
        )  # fmt: skip
        connection.executemany(
            "INSERT OR IGNORE INTO job_needs VALUES(?, ?)", [(spec.id, other) for other in spec.depends]
        )


    again = failed
    while again:  # a verdict reached without a failed job's evidence must be reached anew
        marks = ",".join("?" * len(again))
        again = [str(row[0]) for row in connection.execute(
            "UPDATE jobs SET state = 'queued', token = NULL, attempt = 0 WHERE state = 'done' AND id IN"
            f" (SELECT job FROM job_needs WHERE needs IN ({marks})) RETURNING id", again
        ).fetchall()]  # fmt: skip


def _failed(connection: sqlite3.Connection, jobs: Sequence[str]) -> list[str]:
    marks = ",".join("?" * len(jobs))
    query = f"SELECT id FROM jobs WHERE state IN ('failed', 'cancelled') AND id IN ({marks})"
    return [str(row[0]) for row in connection.execute(query, list(jobs)).fetchall()]


def read(row: Sequence[object], *, token: bool = False) -> Job:
    """One row of COLUMNS; the token is shown only to who claimed the job."""
    (id, kind, run, project, payload, model, device, memory, state, done, total, note, attempt, error, own, owner) = row
    return Job(
        id=id, kind=kind, run=run, project=project, payload=json.loads(payload),  # type: ignore[arg-type]
        requires=Requires(model=model, device=device, memory=memory),  # type: ignore[arg-type]
        state=state, done=done, total=total, note=note, attempt=attempt, error=error,  # type: ignore[arg-type]
        token=own if token else None, owner=owner,  # type: ignore[arg-type]
    )  # fmt: skip
