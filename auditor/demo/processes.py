"""The programs a demo starts: one at a time in the open, all of them stopped at the end."""

import errno
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from auditor.errors import BadSetup, Unavailable


def require_free(host: str, port: int, what: str, flag: str) -> None:
    """BadSetup when something already listens there, or nothing can."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as fault:
        fix = "pass an address of this machine, e.g. --host 127.0.0.1"
        raise BadSetup("host", f"{host!r:.80} is no address or name that is known here", fix) from fault
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as fault:
            if fault.errno == errno.EADDRNOTAVAIL:
                fix = "pass an address of this machine, e.g. --host 127.0.0.1"
                raise BadSetup("host", f"{host!r:.80} is no address of this machine", fix) from fault
            taken = fault.errno == errno.EADDRINUSE
            problem = "is taken" if taken else f"cannot be used ({fault.strerror})"
            fix = f"stop what uses it or pass {flag}" if taken else f"pass another with {flag}"
            raise BadSetup(None, f"port {port}, wanted for {what}, {problem}", fix) from fault


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A child process in its own group, its output in `log`; stopped politely, then not, on the way out."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        try:
            child = subprocess.Popen(
                list(command), stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd,
                env=os.environ | dict(environment or {}), start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as fault:
            raise BadSetup(None, f"{command[0]} ({name}) is not installed", "run make demo to install it") from fault
    try:
        yield child
    finally:
        stop(child)


def stop(child: "subprocess.Popen[bytes]", patience: float = 8.0) -> None:
    """SIGTERM to the group, then SIGKILL when it does not listen."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_for(
    url: str, child: "subprocess.Popen[bytes]", log: Path, name: str, seconds: float, tick: Callable[[], None]
) -> None:
    """Poll an address until it answers 200; Unavailable quotes the end of the log when it never does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Unavailable(None, f"{name} stopped with code {child.returncode}: {tail(log)}", f"read {log}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass  # not up yet
        tick()
        time.sleep(0.1)
    raise Unavailable(None, f"{name} did not answer within {seconds:.0f} s: {tail(log)}", f"read {log}")


def tail(log: Path, lines: int = 4) -> str:
    """The last lines of a log, on one line."""
    if not log.is_file():
        return "no output"
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-lines:]) or "no output"
