"""A worker process, put together: what each kind of job means here."""

import json
import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from auditor.errors import NotFound
from auditor.jobs.executors.local import stop_with
from auditor.jobs.protocol import Job
from auditor.jobs.queue import SqliteQueue
from auditor.jobs.worker import Context, Handler, Worker
from auditor.ledger.open import open_ledger
from auditor.ledger.protocol import Entry, Ledger
from auditor.ledger.sqlite import SqliteLedger
from auditor.models import ModelsTable, read_models
from auditor.records import wire
from auditor.records.evidence import Evidence
from auditor.records.structure import ModelCall, Structure
from auditor.records.verdict import Verdict
from auditor.settings import Settings
from auditor.structure.build import messages_of
from auditor.verdict.combine import judge
from auditor.verdict.protocol import Cited, Protocol


def work(settings: Settings, name: str = "", *, until_idle: bool = False, follow_parent: int | None = None) -> int:
    """Run one worker until SIGTERM or SIGINT (or until `follow_parent` is not our parent); jobs it completed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ledger = open_ledger(settings.ledger_url)
    assert isinstance(ledger, SqliteLedger), "the only store so far"
    models = read_models(settings.models) if settings.models else ModelsTable()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if follow_parent is not None:
        stop_with(follow_parent, stop)
    queue = SqliteQueue(ledger.path, ledger)
    try:
        worker = Worker(queue, ledger, handlers(models, settings.cache), name=name)
        return worker.run(stop, until_idle=until_idle)
    finally:
        queue.close()
        ledger.close()


def handlers(models: ModelsTable, cache: Path) -> Mapping[str, Handler]:
    """Job kind -> what to do. Torch is loaded by the first job that needs it."""
    answering = _Answering(models, cache)
    return {"prepare": answering.prepare, "evidence": answering.evidence, "judge": judge_run}


class _Answering:
    """Keeps loaded models between jobs."""

    def __init__(self, models: ModelsTable, cache: Path) -> None:
        self._models = models
        self._cache = cache
        self._loaded: dict[str, Any] = {}

    def prepare(self, job: Job, context: Context) -> Sequence[Entry]:
        """Build a model's dictionary and influence index in the cache; nothing is recorded."""
        from auditor.evidence.prepare import prepare

        wanted = str(job.payload["digest"])
        entry = next((one for one in self._models.entries if one.digest == wanted), None)
        if entry is None:
            raise NotFound("model", f"{wanted} left the models file", "restore its entry or audit again")
        what: list[Any] = ["influence" if need == "influence_index" else need for need in job.payload["what"]]
        prepare(entry, self._cache, what=what, progress=context.progress)
        return []

    def evidence(self, job: Job, context: Context) -> Sequence[Entry]:
        """All methods on the claims of one model call, from one replay."""
        from auditor.evidence.answer import answer

        question = question_of(context.ledger, job, self._models, self._cache, context.progress)
        found = answer(question, list(job.payload["methods"]), self._loaded)
        return [Entry(kind="evidence", source="worker", project=job.project, body=wire.write(one)) for one in found]


def question_of(
    ledger: Ledger, job: Job, models: ModelsTable, cache: Path, progress: Callable[[int, int, str], None]
) -> Any:
    """The evidence.protocol.Question that an evidence job asks."""
    from auditor.evidence.protocol import Question

    structure = wire.read(Structure, dict(ledger.record(str(job.payload["structure"])).record.body))
    call = _call(structure, str(job.payload["call"]))
    wanted = set(job.payload["claims"])
    tools = json.loads(ledger.payload(call.tools)) if call.tools else []
    return Question(
        structure=structure, call=call, claims=tuple(claim for claim in structure.claims if claim.id in wanted),
        messages=messages_of(structure, ledger.payload), tools=tuple(tools), model=models.match(call.model),
        seed_key=job.id, keep=ledger.put, options={**job.payload["options"], "cache": str(cache)}, progress=progress,
    )  # fmt: skip


def judge_run(job: Job, context: Context) -> Sequence[Entry]:
    """Verdicts on all claims of a run, from ledger records only."""
    verdicts = derive(context.ledger, str(job.payload["structure"]))
    return [Entry(kind="verdict", source="judge", project=job.project, body=wire.write(one)) for one in verdicts]


def derive(ledger: Ledger, structure_id: str, before: int | None = None) -> list[Verdict]:
    """Judge a run from its records (those before position `before`, to derive an earlier verdict again)."""
    structure = wire.read(Structure, dict(ledger.record(structure_id).record.body))
    newest: dict[tuple[str | None, str, str], Cited] = {}
    for stored in ledger.records(kinds=["evidence"], run=structure.run):
        if before is not None and stored.position >= before:
            break
        evidence = wire.read(Evidence, dict(stored.record.body))
        key = (evidence.claim, evidence.method, evidence.call)
        newest.pop(key, None)  # redone evidence takes its new place: the judge is given ledger order
        newest[key] = Cited(stored.id, evidence)
    return judge(structure, structure_id, list(newest.values()), Protocol(), ledger.payload)


def _call(structure: Structure, call: str) -> ModelCall:
    for one in structure.calls:
        if one.id == call:
            return one
    raise NotFound("call", f"{call} is not in run {structure.run}", "audit the run again")
