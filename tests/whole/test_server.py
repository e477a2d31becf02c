"""The composed server: recording, threading, the API over it, and its own footprint."""

import fcntl
import http.client
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from auditor.capture.ingest import Ingester
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.models import ModelsTable

Serve = Callable[..., Any]


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def test_a_call_becomes_a_run_with_steps(serve: Serve) -> None:
    server = serve()
    assert server.call("What is 2 + 2?", run="sum/one")["choices"][0]["message"]["content"].startswith("reply")
    until(lambda: server.api("/api/v1/runs")["items"])
    steps = server.api("/api/v1/runs/sum%2Fone/steps")["items"]
    assert [step["step"]["kind"] for step in steps] == ["prompt", "model_call", "answer"]
    health = until(lambda: (view := server.api("/healthz"))["graph"]["behind"] == 0 and view)
    assert health["status"] == "ok"


def test_it_is_small_and_has_no_torch(serve: Serve) -> None:
    server = serve()
    server.call("hello")
    server.api("/api/v1/runs")
    process = psutil.Process(server.process.pid)
    assert process.memory_info().rss < 150e6
    assert not [one.path for one in process.memory_maps() if "libtorch" in one.path]


def test_errors_have_one_envelope(serve: Serve) -> None:
    server = serve()
    for path in ("/api/v1/runs/nobody", "/api/v1/steps/nothing/why", "/api/v1/claims/none"):
        with pytest.raises(urllib.error.HTTPError) as fault:
            server.api(path)
        assert fault.value.code == 404
        problem = fault.value.read()
        assert fault.value.headers["content-type"] == "application/problem+json"
        assert b'"fix"' in problem and b'"code"' in problem


def test_an_audit_without_weights_queues_once(serve: Serve) -> None:
    server = serve()
    server.call("hi", run="r")
    until(lambda: server.api("/api/v1/runs")["items"])
    first = server.api("/api/v1/runs/r/audits", {})
    assert server.api("/api/v1/runs/r/audits", {}) == first
    assert [job["kind"] for job in server.api("/api/v1/runs/r/jobs")["jobs"]] == ["judge"]
    with pytest.raises(urllib.error.HTTPError) as fault:
        server.api("/api/v1/runs/r/audits", {"methods": ["astrology"]})
    assert b"astrology" in fault.value.read()


def test_killed_under_load_nothing_acknowledged_is_lost(serve: Serve, tmp_path: Path) -> None:
    answered: list[str] = []
    for round_ in range(3):
        server = serve()
        stop = threading.Event()

        def load(server: Any = server, stop: threading.Event = stop, round_: int = round_) -> None:
            for number in range(10_000):
                if stop.is_set():
                    return
                try:
                    server.call(f"{round_}-{number}", run=f"k{round_}-{number}")
                except (OSError, http.client.HTTPException):
                    return  # killed before, or in the middle of, this answer
                answered.append(f"k{round_}-{number}")

        worker = threading.Thread(target=load)
        worker.start()
        time.sleep(1.0)
        durable = len(answered)
        time.sleep(0.5)  # older than the stated lag: these must survive
        server.kill()
        stop.set()
        worker.join()
        ledger = SqliteLedger(tmp_path / "data" / "ledger.db")
        with (tmp_path / "data" / "follow.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the killed server's follower is gone
            Ingester(ledger, ModelsTable(), tmp_path / "data" / "spool").step()
        try:
            found = verify(ledger)
            runs = {str(s.record.body["joins"]["run"]) for s in ledger.records(kinds=["exchange"])}  # type: ignore[index]
        finally:
            ledger.close()
        assert found.intact and found.complete, found.problems
        assert set(answered[:durable]) <= runs
    assert durable > 20, "there was load"
    server = serve()
    until(lambda: server.api("/healthz")["graph"]["behind"] == 0)
    assert server.api("/healthz")["status"] == "ok"
