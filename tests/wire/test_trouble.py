"""Recording trouble and crashes: the user's call goes on, and nothing is lost silently."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from auditor.access.protocol import Admission
from auditor.capture.spool import END
from auditor.errors import Unavailable
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.records.exchange import Exchange, Gap
from auditor.records.wire import read

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


def post(port: int, body: bytes = BODY) -> bytes:
    """Everything the server sends for one call."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                           b"x-audit-run: r9\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))  # fmt: skip
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer


class Flaky(SqliteLedger):
    """A ledger whose disk refuses while `broken` is set: at once, or when it commits."""

    broken: str | None = None

    def submit(self, entries: Any, fence: Any = None) -> "Future[Any]":
        if self.broken == "at once":
            raise Unavailable("ledger", "no space left", "make room")
        if self.broken == "later":
            future: Future[Any] = Future()
            future.set_exception(Unavailable("ledger", "no space left", "make room"))
            return future
        return super().submit(entries, fence)

    def put(self, data: bytes) -> str:
        if self.broken == "at once":
            raise OSError("disk on fire")
        return super().put(data)


def until(condition: Any, seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("broken", ["at once", "later"])
def test_calls_wait_in_the_spool_while_the_ledger_fails(
    broken: str, upstream: Any, reply: Any, serve: Any, tmp_path: Path
) -> None:
    upstream.script = [reply(pieces=[b"a", b"b"], chunked=True, pause=0.05)]
    ledger = Flaky(tmp_path / "flaky.db")
    server = serve(ledger=ledger)
    ledger.broken = broken
    for _ in range(3):
        assert b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n" in post(server.port)
    until(lambda: server.ingester.trouble is not None)
    assert "no space left" in server.ingester.trouble or "disk on fire" in server.ingester.trouble
    ledger.broken = None
    found = [read(Exchange, dict(one.record.body)) for one in server.records(3)]
    assert [ledger.payload(one.response) for one in found] == [b"ab"] * 3  # type: ignore[arg-type]
    until(lambda: server.ingester.trouble is None)
    assert verify(ledger).intact


def test_calls_go_on_while_the_spool_cannot_be_written_and_become_gaps(
    upstream: Any, reply: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script = [reply(pieces=[b"ab"])]
    server = serve()
    post(server.port)
    server.records(1)
    real = os.write

    def full(file: int, data: Any) -> int:
        if file == server.proxy.spool._file:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr("auditor.capture.spool.MOST_WAITING", 300)
    monkeypatch.setattr("auditor.capture.spool.os.write", full)
    assert post(server.port).endswith(b"ab")
    until(lambda: server.proxy.trouble())
    for _ in range(2):
        assert post(server.port).endswith(b"ab")
    assert "No space left" in server.proxy.trouble()[0] and "3 calls are lost" in server.proxy.trouble()[0]
    monkeypatch.setattr("auditor.capture.spool.os.write", real)
    gaps = [read(Gap, dict(one.record.body)) for one in server.records(3, "gap")]
    assert gaps and {gap.run for gap in gaps} == {"r9"}
    assert all("POST /v1/chat/completions" in gap.what and "could not be recorded" in gap.why for gap in gaps)
    assert any("No space left" in gap.why for gap in gaps)
    until(lambda: server.proxy.trouble() == [])
    monkeypatch.setattr("auditor.capture.spool.MOST_WAITING", 2**20)
    post(server.port)
    # The one whose beginning was still kept is recorded as far as it was, beside its gap.
    assert [read(Exchange, dict(one.record.body)).response is None for one in server.records(3)] == [False, True, False]


class Strict:
    """A gate whose project may only go on while it is recorded."""

    def admit(self, headers: Any, right: Any, *, project: Any, client: Any) -> Admission:
        return Admission(project="strict", fail_closed=True)


def test_a_fail_closed_project_does_not_go_on_unrecorded(
    upstream: Any, reply: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script = [reply(pieces=[b"ab"])]
    server = serve(gate=Strict())
    assert post(server.port).endswith(b"ab")
    server.records(1)
    real = os.write

    def full(file: int, data: Any) -> int:
        if file == server.proxy.spool._file:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr("auditor.capture.spool.os.write", full)
    answer = post(server.port)
    assert b" 503 " in answer and b"required by this project" in answer
    assert len(upstream.received) == 1
    monkeypatch.setattr("auditor.capture.spool.os.write", real)
    refused = [read(Exchange, dict(one.record.body)) for one in server.records(2)][1]
    assert refused.outcome == "refused" and refused.status == 503


SERVER = """
import asyncio, sys, uvicorn
from pathlib import Path
from auditor.capture.proxy import Proxy

async def main():
    data = Path(sys.argv[1])
    proxy = Proxy({"openai": sys.argv[2]}, data)
    await proxy.startup()
    config = uvicorn.Config(proxy, port=int(sys.argv[3]), lifespan="off", log_level="critical")
    await uvicorn.Server(config).serve()

asyncio.run(main())
"""


@pytest.fixture
def killed(tmp_path: Path, upstream: Any) -> Any:
    """Starts a server process and gives (port, kill -9)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "data"), upstream.address, str(port)],
        cwd=Path(__file__).parents[2],
    )
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)

    def kill() -> None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    yield port, kill
    process.kill()
    process.wait()


def test_a_killed_server_leaves_crashed_records(
    killed: Any, upstream: Any, reply: Any, tmp_path: Path, serve: Any
) -> None:
    port, kill = killed
    pieces = [b"data: %d\n\n" % number for number in range(5)]
    upstream.script = lambda r: reply(pieces=pieces, chunked=True, ending="hang") if b"stream" in r.body else reply(
        before=threading.Event())
    connections = []
    for body in (b'{"model":"m","messages":[{"role":"user","content":"stream"}]}', BODY):
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        connection.sendall(b"POST /p/team/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-2\r\n"
                           b"x-audit-run: r1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))  # fmt: skip
        connections.append(connection)
    until(lambda: len(upstream.received) == 2)
    seen = b""
    while pieces[-1] not in seen:
        seen += connections[0].recv(65536)
    kill()
    for connection in connections:
        connection.close()
    ledger = SqliteLedger(tmp_path / "data" / "ledger.db")
    server = serve(ledger=ledger)
    found = [read(Exchange, dict(one.record.body)) for one in server.records(2)]
    streamed = next(one for one in found if one.status == 200)
    silent = next(one for one in found if one.status is None)
    assert {one.outcome for one in found} == {"crashed"}
    assert ledger.payload(streamed.response) == b"".join(pieces)  # type: ignore[arg-type]
    assert streamed.relayed == len(b"".join(pieces))
    assert ledger.payload(silent.request) == BODY  # type: ignore[arg-type]
    assert silent.response is None
    assert {one.joins.run for one in found} == {"r1"}
    assert {one.record.project for one in server.records(2)} == {"team"}
    assert streamed.request_headers["authorization"].startswith("hmac")
    until(lambda: server.ingester.counts()["exchanges_recovered"] == 2)
    until(lambda: len(list((server.data / "spool").iterdir())) == 1)
    assert verify(ledger).intact


def test_calls_go_on_while_the_disk_hangs(
    upstream: Any, reply: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that answers neither syncs nor, once one is late, writes."""
    upstream.script = [reply(pieces=[b"data: 1\n\n", b"data: 2\n\n"], chunked=True, pause=0.05)]
    server, back, late = serve(), threading.Event(), []
    real_write, real_sync = os.write, os.fdatasync

    def sync(file: int) -> None:
        if not back.is_set():
            late.append(time.monotonic())
            back.wait(30)
        real_sync(file)

    def write(file: int, data: Any) -> int:
        if file == server.proxy.spool._file and late and time.monotonic() - late[0] > 0.2:
            back.wait(30)
        return real_write(file, data)

    monkeypatch.setattr("auditor.capture.spool.os.fdatasync", sync)
    monkeypatch.setattr("auditor.capture.spool.os.write", write)
    monkeypatch.setattr("auditor.capture.spool.HUNG_SECONDS", 0.1)
    post(server.port)
    until(lambda: late and time.monotonic() - late[0] > 0.2)
    begun = time.monotonic()
    for _ in range(3):
        assert b"data: 2" in post(server.port)
    assert time.monotonic() - begun < 10
    until(lambda: server.proxy.trouble())
    assert "has not answered a write" in server.proxy.trouble()[0]
    back.set()
    found = [read(Exchange, dict(one.record.body)) for one in server.records(4)]
    assert {server.ledger.payload(one.response) for one in found} == {b"data: 1\n\ndata: 2\n\n"}
    until(lambda: server.proxy.trouble() == [])


def test_a_server_that_stops_keeps_what_it_relayed(upstream: Any, reply: Any, serve: Any, tmp_path: Path) -> None:
    upstream.script = [reply(pieces=[b"data: 1\n\n"], chunked=True, ending="hang")]
    ledger = SqliteLedger(tmp_path / "data" / "ledger.db")
    server = serve(ledger=ledger)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
                           % (len(BODY), BODY))
        while b"data: 1" not in connection.recv(65536):
            pass
        server.stop()
    again = SqliteLedger(tmp_path / "data" / "ledger.db")
    found = [read(Exchange, dict(one.record.body)) for one in again.records(kinds=["exchange"])]
    assert [one.outcome for one in found] == ["crashed"]
    assert again.payload(found[0].response) == b"data: 1\n\n"  # type: ignore[arg-type]
    assert json.loads(again.payload(found[0].request))["model"] == "m"  # type: ignore[arg-type]
    again.close()


def test_what_is_said_of_a_call_may_be_long_and_stops_nobody(upstream: Any, serve: Any) -> None:
    """Ten thousand secrets, half a megabyte of headers: recorded or a gap, and the next call is recorded."""
    server = serve()
    many = b" ".join(b"sk-%024d" % number for number in range(10_000))
    assert post(server.port, BODY[:-1] + b',"x":"' + many + b'"}').endswith(b"{}")
    assert post(server.port).endswith(b"{}")
    first, second = [read(Exchange, dict(one.record.body)) for one in server.records(2)]
    assert second.redacted == () and server.ingester.trouble is None
    assert sum(one.count for one in first.redacted) == 10_000 and len(first.redacted) <= 1002


def test_a_frame_that_cannot_be_read_is_one_gap(serve: Any, upstream: Any) -> None:
    server = serve()
    spool = server.proxy.spool
    spool._loop.call_soon_threadsafe(lambda: spool.add(END, spool.begin(b"{not json"), b"{}"))
    assert post(server.port).endswith(b"{}")
    assert len(server.records(1)) == 1
    (gap,) = [read(Gap, dict(one.record.body)) for one in server.records(1, "gap")]
    assert "cannot be read" in gap.why


def test_a_segment_that_cannot_be_begun_loses_nothing(
    upstream: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setattr("auditor.capture.spool.SEGMENT_BYTES", 1000)
    real = os.open

    def full(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if str(path).endswith(".spool") and flags & os.O_CREAT:
            raise OSError(24, "Too many open files")
        return real(path, flags, mode, **more)

    monkeypatch.setattr("auditor.capture.spool.os.open", full)
    for _ in range(5):
        post(server.port)
    server.records(5)
    monkeypatch.setattr("auditor.capture.spool.os.open", real)
    for _ in range(5):
        post(server.port)
    assert len(server.records(10)) == 10
    until(lambda: len(list(server.proxy.spool.folder.glob("*.spool"))) == 1)
