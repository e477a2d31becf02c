"""Workers are killed with SIGKILL again and again; nothing is lost, nothing is doubled, the ledger verifies."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from auditor.jobs.plan import JobSpec
from auditor.jobs.queue import SqliteQueue
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify

ROOT = Path(__file__).resolve().parents[2]
JOBS = 24
KILLS = 10
LEASE = 0.8

WORKER = f"""
import sys, threading, time
from pathlib import Path
from auditor.jobs.queue import SqliteQueue
from auditor.jobs.worker import Worker
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger

def slow(job, context):
    entries = []
    for part in range(4):
        time.sleep(0.06)
        address = context.ledger.put(f"{{job.id}} {{part}}".encode())
        entries.append(Entry(kind="gap", source="worker", body={{"what": f"{{job.id}}/{{part}}", "why": address,
                                                                "run": job.run, "record": None}}))
        context.progress(part + 1, 4, "working")
    return entries

ledger = SqliteLedger(Path(sys.argv[1]))
Worker(SqliteQueue(ledger.path, ledger), ledger, {{"slow": slow}}, lease={LEASE}).run(threading.Event())
"""


def start(path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=path.parent
    )


def test_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(5)
    ledger = SqliteLedger(tmp_path / "ledger.db")
    queue = SqliteQueue(ledger.path, ledger)
    queue.enqueue([JobSpec(id=f"job{i}", kind="slow", run="r", payload={}) for i in range(JOBS)])
    workers = [start(ledger.path) for _ in range(2)]
    kills = 0
    end = time.monotonic() + 90
    try:
        while (counts := queue.counts())["done"] < JOBS:
            assert time.monotonic() < end, counts
            mine = [worker for worker in workers if queue_has(queue, worker)]
            if kills < KILLS and mine:
                time.sleep(chance.uniform(0.0, 0.35))
                victim = chance.choice(mine)
                victim.kill()
                victim.wait()
                kills += 1
                workers[workers.index(victim)] = start(ledger.path)
            time.sleep(0.02)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    attempts = sum(job.attempt for job in queue.jobs())
    records = Counter(one.record.body["what"] for one in ledger.records(run="r"))
    assert kills == KILLS
    assert attempts > JOBS, "no job was interrupted: the test did not test anything"
    assert records == Counter(f"job{i}/{part}" for i in range(JOBS) for part in range(4))
    assert queue.counts() == {"queued": 0, "running": 0, "done": JOBS, "failed": 0, "cancelled": 0}
    for one in ledger.records(run="r"):
        assert ledger.payload(one.record.body["why"]).decode().replace(" ", "/") == one.record.body["what"]
    queue.close()
    result = verify(ledger)
    assert result.intact and result.complete, result.problems
    ledger.close()
    print(f"{kills} kills, {attempts - JOBS} jobs re-run")


def queue_has(queue: SqliteQueue, worker: "subprocess.Popen[bytes]") -> bool:
    """Whether the worker holds a job, so that the kill hits work and not start-up."""
    return any((job.owner or "").endswith(f":{worker.pid}") for job in queue.jobs(states=["running"]))
