"""Starting audits: a run's newest structure -> jobs in the queue, with the `audit` record in the same transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auditor.errors import BadInput, NotFound
from auditor.evidence.catalogue import METHODS, specs
from auditor.evidence.protocol import MethodSpec
from auditor.jobs.plan import plan
from auditor.jobs.protocol import Queue
from auditor.ledger.protocol import Entry, Ledger
from auditor.models import ModelsTable
from auditor.records import wire
from auditor.records.verdict import Audit
from auditor.structurer import latest_structure
from auditor.verdict.protocol import Protocol
from auditor.views.commands import AuditTicket, JobView

OPTIONS: Mapping[str, tuple[int, int, int]] = {"replicates": (32, 8, 512)}
"""Budget of an audit: name -> (default, smallest, largest)."""


class RunAudits:
    """Implements views.commands.Audits on the ledger and the queue."""

    def __init__(
        self, ledger: Ledger, queue: Queue, models: ModelsTable, catch_up: Callable[[str], object] | None = None
    ) -> None:
        """`catch_up` sees to it that a run's structure covers what is recorded by now."""
        self._ledger = ledger
        self._queue = queue
        self._models = models
        self._catch_up = catch_up

    def start(
        self, run: str, methods: Sequence[str] | None = None, options: Mapping[str, Any] | None = None,
        requested_by: str = "api",
    ) -> AuditTicket:  # fmt: skip
        """Queue an audit; the same question about the same structure gives the same ticket and runs nothing twice."""
        if self._catch_up is not None:
            self._catch_up(run)
        found = latest_structure(self._ledger, run)
        if found is None:
            raise NotFound("run", f"no run is called {run!r}", "list the runs with GET /api/v1/runs or auditor show")
        structure_id, project, structure = found
        chosen = _methods(methods)
        budget = _budget(options or {})
        jobs = plan(
            structure, structure_id, structure.claims, self._models, chosen, budget, protocol=Protocol().name,
            project=project,
        )  # fmt: skip
        ids = tuple(job.id for job in jobs)
        names = tuple(spec.id for spec in chosen)
        for stored in self._ledger.records(kinds=["audit"], run=run, newest_first=True):
            earlier = wire.read(Audit, dict(stored.record.body))
            if (earlier.structure, earlier.methods, earlier.jobs) == (structure_id, names, ids):
                self._queue.enqueue(jobs)  # jobs that failed or were cancelled are tried again
                return AuditTicket(audit=stored.id, jobs=ids)
        audit = Audit(
            run=run, requested_by=requested_by, structure=structure_id, methods=names, jobs=ids,
            protocol=Protocol().name,
        )  # fmt: skip
        entry = Entry(kind="audit", source="api", project=project, body=wire.write(audit))
        (stored,) = self._ledger.append([entry], fence=self._queue.outbox(jobs))
        return AuditTicket(audit=stored.id, jobs=ids)

    def progress(self, run: str) -> list[JobView]:
        """All jobs of a run, oldest first."""
        return [
            JobView(
                id=job.id, kind=job.kind, state=job.state, done=job.done, total=job.total, note=job.note,
                attempt=job.attempt, error=job.error,
            )
            for job in self._queue.jobs(run)
        ]  # fmt: skip


def _methods(names: Sequence[str] | None) -> list[MethodSpec]:
    table = {spec.name: spec for spec in specs()}
    if names is None:
        return [table[name] for name in METHODS]
    unknown = [name for name in names if name not in table]
    if unknown:
        raise BadInput("methods", f"no method is called {unknown[0]!r}", f"use some of {', '.join(METHODS)}")
    return [table[name] for name in dict.fromkeys(names)]


def _budget(options: Mapping[str, Any]) -> dict[str, int]:
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise BadInput(f"options.{min(unknown)}", "is not an option", f"use some of {', '.join(OPTIONS)}")
    budget = {}
    for name, (default, low, high) in OPTIONS.items():
        value = options.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise BadInput(f"options.{name}", f"{value!r} is out of range", f"use a whole number from {low} to {high}")
        budget[name] = value
    return budget
