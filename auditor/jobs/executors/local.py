"""Workers as subprocesses of this machine, one per slot; dead ones are started again."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from auditor.errors import BadSetup

LOG = logging.getLogger("auditor.jobs")
LOOK_SECONDS = 0.2
LONGEST_PAUSE = 30.0
"""Seconds between two starts of a worker that keeps dying."""


class LocalExecutor:
    """Keeps `count` copies of `command` running between start() and stop().

    `command` is the whole command line, e.g. [sys.executable, "-m", "auditor", "work", "--follow-parent", "17"];
    `environment` is added to ours. A worker that dies is started again, after a pause that doubles while it keeps
    dying within a second of its start.
    """

    def __init__(
        self, command: Sequence[str] = (sys.executable, "-m", "auditor", "work"), *, count: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        if count < 0:
            raise BadSetup("workers", f"{count} is not a number of workers", "use 0 or more")
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._slots = [_Slot() for _ in range(count)]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.restarts = 0

    def start(self) -> None:
        """Start all workers and the thread that looks after them."""
        for slot in self._slots:
            self._launch(slot)
        self._thread = threading.Thread(target=self._look_after, name="executor", daemon=True)
        self._thread.start()

    def processes(self) -> list[int]:
        """Process ids of the workers that are alive."""
        with self._lock:
            return [slot.process.pid for slot in self._slots if slot.process and slot.process.poll() is None]

    def stop(self, timeout: float = 10.0) -> None:
        """Ask all workers to end (SIGTERM); kill those that are still there after `timeout` seconds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + timeout
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                LOG.warning("worker %d did not end in %.0f s and is killed; its job is redone", process.pid, timeout)
                process.kill()
                process.wait()

    def _launch(self, slot: "_Slot") -> None:
        with self._lock:
            slot.started = time.monotonic()
            try:
                slot.process = subprocess.Popen(self._command, env=self._environment, stdin=subprocess.DEVNULL)
            except OSError as fault:
                raise BadSetup("workers", f"{self._command[0]}: {fault.strerror}", "correct the command") from fault

    def _look_after(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for slot in self._slots:
                if slot.process is None or slot.process.poll() is None:
                    continue
                now = time.monotonic()
                if slot.restart_at is None:
                    slot.pause = min(LONGEST_PAUSE, max(0.5, slot.pause * 2)) if now - slot.started < 1 else 0.0
                    slot.restart_at = now + slot.pause
                    LOG.warning("worker %d ended with %s", slot.process.pid, slot.process.returncode)
                if now >= slot.restart_at:
                    slot.restart_at = None
                    self.restarts += 1
                    self._launch(slot)


class _Slot:
    """One place for a worker process."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.pause = 0.0
        self.restart_at: float | None = None


def stop_with(parent: int, stop: threading.Event) -> None:
    """Set `stop` when `parent` (a process id) is no longer our parent: a killed server must leave nobody behind.

    The number comes from the parent itself; one that died while we started would not be told from a later one.
    """

    def watch() -> None:
        while os.getppid() == parent:
            if stop.wait(0.5):
                return
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
