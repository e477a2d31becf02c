"""The process that follows: spool -> exchanges, calls -> structures, records -> graph. One per data folder.

It is apart from the server so that reading what was recorded never delays a call that is being relayed. The server
starts it, restarts it, and reads how far it is from a small file.
"""

import fcntl
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from auditor.capture.ingest import Ingester
from auditor.capture.spool import SPOOL
from auditor.jobs.executors.local import stop_with
from auditor.ledger.open import open_ledger
from auditor.models import ModelsTable, read_models
from auditor.projection.follower import Follower
from auditor.settings import Settings
from auditor.spill import Spill
from auditor.structurer import Structurer
from graph.open import open_graph

LOG = logging.getLogger("auditor")
STATUS_SECONDS = 0.1
STALE_SECONDS = 5.0
NICE = 10
SWITCH_SECONDS = 0.0005
"""Recording lets go of the interpreter with every hash and write; this is how soon it gets it back from a reader."""
LONGEST_WAIT = 10.0
SLICE = 1.0
"""Seconds of work a reader gets after it waited longest."""


def follow(settings: Settings, *, follow_parent: int | None = None) -> None:
    """Follow until SIGTERM or SIGINT (or, with `follow_parent`, until that process is not our parent)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if follow_parent is not None:
        stop_with(follow_parent, stop)
    settings.data.mkdir(parents=True, exist_ok=True)
    lock = os.open(settings.data / "follow.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if _alone(lock, stop):
            _follow(settings, stop)
    finally:
        os.close(lock)


def _follow(settings: Settings, stop: threading.Event) -> None:
    os.nice(NICE)  # what people wait for comes first
    sys.setswitchinterval(SWITCH_SECONDS)
    ledger = open_ledger(settings.ledger_url)
    graph = open_graph(settings.graph_url, settings.neo4j_user, settings.neo4j_password or None)
    models = read_models(settings.models) if settings.models else ModelsTable()
    ingester = Ingester(ledger, models, settings.data / SPOOL)
    turn = Courtesy(lambda: ingester.pressed, stop)
    structurer = Structurer(ledger, turn=turn, prices=settings.prices, table=Spill(settings.data).table)
    follower = Follower(ledger, graph, turn=turn)
    parts: dict[str, Any] = {"ingester": ingester, "structurer": structurer, "follower": follower}
    threads = [threading.Thread(target=part.run_forever, args=(stop,), name=name) for name, part in parts.items()]
    for thread in threads:
        thread.start()
    gc.freeze()
    file = status_file(settings.data)
    while any(thread.is_alive() for thread in threads):
        _say(file, {
            "ingest": {"trouble": ingester.trouble, **ingester.counts()},
            "recorded": asdict(ingester.progress),
            "structure": {
                "position": structurer.position, "settled": structurer.settled, "trouble": structurer.trouble,
            },
            "graph": {"position": follower.position, "trouble": follower.trouble},
        })  # fmt: skip
        stop.wait(STATUS_SECONDS)
        if stop.is_set():
            time.sleep(STATUS_SECONDS)  # the threads are finishing; do not spin beside them
    file.unlink(missing_ok=True)
    graph.close()
    ledger.close()


class Courtesy:
    """Makes the readers of the ledger wait while calls queue to get into it, but never for ever."""

    def __init__(self, pressed: Callable[[], bool], stop: threading.Event) -> None:
        self._pressed = pressed
        self._stop = stop
        self._free_until = 0.0

    def __call__(self) -> None:
        """Returns at once unless the ingester is pressed; then after at most LONGEST_WAIT seconds, for a SLICE."""
        if not self._pressed() or time.monotonic() < self._free_until:
            return
        deadline = time.monotonic() + LONGEST_WAIT
        while self._pressed() and time.monotonic() < deadline and not self._stop.is_set():
            time.sleep(0.05)
        if self._pressed():
            self._free_until = time.monotonic() + SLICE


class Following:
    """The server's view of the process that follows it."""

    def __init__(self, data: Path) -> None:
        self._file = status_file(data)

    def view(self) -> dict[str, Any]:
        """What it last said; `trouble` says so when it is silent."""
        try:
            said: dict[str, Any] = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return {**_SILENT, "trouble": ["capture: the process that reads the spool has not reported yet"]}
        parts = ("ingest", "structure", "graph")
        troubles = [f"{part}: {said[part]['trouble']}" for part in parts if said[part]["trouble"]]
        age = time.time() - said["at"]
        if age > STALE_SECONDS:
            troubles.append(f"capture: the process that reads the spool is silent since {age:.0f} s")
        return {**said, "trouble": troubles}

    def wait(self, head: int, timeout: float = 15.0) -> bool:
        """Wait until all that is recorded by now has its structure; False when time ran out."""
        begun = time.time()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            said = self.view()
            fresh = said["at"] > begun + 0.05  # what was relayed before has had time to reach the spool
            if fresh and said["ingest"]["spool_behind_bytes"] == 0 and said["structure"]["settled"] >= head:
                return True
            time.sleep(0.02)
        return False


_SILENT: Mapping[str, Any] = {
    "at": 0.0, "ingest": {"spool_behind_bytes": -1}, "recorded": {"position": -1, "calls": {}},
    "structure": {"position": -1, "settled": -1}, "graph": {"position": -1},
}  # fmt: skip


def status_file(data: Path) -> Path:
    return data / "follow.json"


def _say(file: Path, status: Mapping[str, Any]) -> None:
    """A full disk stops this word for a while, and nothing else: who reads it sees that it is old."""
    early = file.with_suffix(".new")
    with suppress(OSError):
        early.write_text(json.dumps({"at": time.time(), "pid": os.getpid(), **status}))
        early.replace(file)


def _alone(lock: int, stop: threading.Event) -> bool:
    """Wait for the folder's lock; False when told to stop before."""
    while not stop.is_set():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stop.wait(0.2)
            continue
        return True
    return False
