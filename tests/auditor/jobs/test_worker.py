"""Workers: handlers are run, failures told, leases kept; executors keep processes alive."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.errors import BadSetup, NotFound
from auditor.jobs.executors.local import LocalExecutor
from auditor.jobs.protocol import Job
from auditor.jobs.queue import SqliteQueue
from auditor.jobs.worker import Context, Worker
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger


@pytest.fixture
def queue(ledger: SqliteLedger):
    made = SqliteQueue(ledger.path, ledger)
    yield made
    made.close()


def answer(job: Job, context: Context) -> list[Entry]:
    return [Entry(kind="gap", source="worker", body={"what": job.id, "why": "t", "run": job.run, "record": None})]


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def test_jobs_run_in_order_and_their_answers_are_appended(queue, ledger, spec) -> None:
    queue.enqueue([spec.of("a"), spec.of("b"), spec.of("j", kind="judge", depends=("a", "b"))])
    worker = Worker(queue, ledger, {"evidence": answer, "judge": answer})
    assert worker.run(threading.Event(), until_idle=True) == 3
    assert [one.record.body["what"] for one in ledger.records()] == ["a", "b", "j"]


def test_an_error_of_ours_fails_at_once_and_a_bug_is_tried_again(queue, ledger, spec) -> None:
    def refuse(job: Job, context: Context) -> list[Entry]:
        raise NotFound("run", "there is none", "name another")

    def crash(job: Job, context: Context) -> list[Entry]:
        raise ZeroDivisionError("bug")

    queue.enqueue([spec.of("a", kind="refuse"), spec.of("b", kind="crash")])
    Worker(queue, ledger, {"refuse": refuse, "crash": crash}).run(threading.Event(), until_idle=True)
    assert queue.job("a").state == "failed"
    assert "there is none" in (queue.job("a").error or "")
    retried = queue.job("b")
    assert retried.state == "queued" and "ZeroDivisionError: bug (test_worker.py:" in (retried.error or "")


def test_an_answer_that_cannot_be_recorded_fails_the_job(queue, ledger, spec) -> None:
    def nan(job: Job, context: Context) -> list[Entry]:
        return [Entry(kind="evidence", source="worker", body={"value": float("nan")})]

    queue.enqueue([spec.of("a")])
    Worker(queue, ledger, {"evidence": nan}).run(threading.Event(), until_idle=True)
    assert queue.job("a").state == "failed" and "finite" in (queue.job("a").error or "")


def test_the_lease_is_kept_while_a_handler_is_slow(queue, ledger, spec) -> None:
    def slow(job: Job, context: Context) -> list[Entry]:
        time.sleep(1.5)
        return answer(job, context)

    queue.enqueue([spec.of("a")])
    worker = Worker(queue, ledger, {"evidence": slow}, lease=0.6)
    thread = threading.Thread(target=worker.run, args=(threading.Event(),), kwargs={"until_idle": True})
    thread.start()
    until(lambda: queue.job("a").state == "running")
    while thread.is_alive():
        assert queue.claim("thief") == []
        time.sleep(0.05)
    assert queue.job("a").state == "done"


def test_a_handler_learns_of_cancellation_and_nothing_is_recorded(queue, ledger, spec) -> None:
    started = threading.Event()

    def patient(job: Job, context: Context) -> list[Entry]:
        started.set()
        for step in range(1000):
            context.progress(step, 1000, "waiting")
            time.sleep(0.01)
        return answer(job, context)

    queue.enqueue([spec.of("a")])
    worker = Worker(queue, ledger, {"evidence": patient}, lease=0.3)
    thread = threading.Thread(target=worker.run, args=(threading.Event(),), kwargs={"until_idle": True})
    thread.start()
    started.wait()
    until(lambda: queue.job("a").total == 1000)
    queue.cancel("r")
    thread.join(5)
    assert not thread.is_alive() and queue.job("a").state == "cancelled" and ledger.head().position == -1


def test_a_worker_asked_to_stop_hands_its_job_back(queue, ledger, spec) -> None:
    stop, started = threading.Event(), threading.Event()

    def patient(job: Job, context: Context) -> list[Entry]:
        started.set()
        while True:
            context.check()
            time.sleep(0.01)

    queue.enqueue([spec.of("a")])
    thread = threading.Thread(target=Worker(queue, ledger, {"evidence": patient}).run, args=(stop,))
    thread.start()
    started.wait()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert (queue.job("a").state, queue.job("a").attempt) == ("queued", 0)


def test_an_idle_worker_starts_within_50_ms_and_burns_no_cpu(queue, ledger, spec) -> None:
    stop, began = threading.Event(), []

    def note(job: Job, context: Context) -> list[Entry]:
        began.append(time.monotonic())
        return []

    worker_queue = SqliteQueue(ledger.path, ledger)
    thread = threading.Thread(target=Worker(worker_queue, ledger, {"evidence": note}).run, args=(stop,))
    thread.start()
    cpu = time.process_time()
    time.sleep(1.0)
    idle_cpu = time.process_time() - cpu
    delays = []
    for i in range(20):
        queue.enqueue([spec.of(f"j{i}")])
        asked = time.monotonic()
        until(lambda count=i + 1: len(began) == count)
        delays.append(began[-1] - asked)
        time.sleep(0.03)
    stop.set()
    thread.join()
    worker_queue.close()
    assert sorted(delays)[10] < 0.05, f"median {sorted(delays)[10]:.3f} s"
    assert idle_cpu < 0.1, f"{idle_cpu:.3f} s of CPU in one idle second"


class TestLocalExecutor:
    def test_dead_workers_are_started_again_and_all_end_on_stop(self, tmp_path: Path) -> None:
        code = "import time\nwhile True: time.sleep(0.05)"
        executor = LocalExecutor([sys.executable, "-c", code], count=2)
        executor.start()
        try:
            until(lambda: len(executor.processes()) == 2)
            victim = executor.processes()[0]
            time.sleep(1.1)
            _kill(victim)
            until(lambda: executor.restarts == 1 and len(executor.processes()) == 2)
            assert victim not in executor.processes()
        finally:
            executor.stop(5)
        assert executor.processes() == []

    def test_a_worker_that_ignores_the_request_is_killed(self) -> None:
        code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
        executor = LocalExecutor([sys.executable, "-c", code])
        executor.start()
        time.sleep(0.5)
        begun = time.monotonic()
        executor.stop(0.3)
        assert time.monotonic() - begun < 5 and executor.processes() == []

    def test_a_command_that_does_not_exist_says_so(self) -> None:
        with pytest.raises(BadSetup, match="no-such-program"):
            LocalExecutor(["/no-such-program"]).start()


def _kill(process: int) -> None:
    import os
    import signal

    os.kill(process, signal.SIGKILL)
