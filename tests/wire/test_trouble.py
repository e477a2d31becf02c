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

    def journal_add(self, stream: str, data: bytes) -> None:
        if self.broken:
            raise Unavailable("ledger", "no space left", "make room")
        super().journal_add(stream, data)


@pytest.mark.parametrize("broken", ["at once", "later"])
def test_calls_go_on_while_the_ledger_fails_and_become_gaps(
    broken: str, upstream: Any, reply: Any, serve: Any, tmp_path: Path
) -> None:
    upstream.script = [reply(pieces=[b"a", b"b"], chunked=True, pause=0.05)]
    ledger = Flaky(tmp_path / "flaky.db")
    server = serve(ledger=ledger)
    ledger.broken = broken
    for _ in range(3):
        assert b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n" in post(server.port)
    deadline = time.monotonic() + 5
    while server.proxy.counts()["gaps_waiting"] < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "3 exchanges are not recorded yet" in server.proxy.trouble()[0]
    assert "no space left" in server.proxy.trouble()[0] or "disk on fire" in server.proxy.trouble()[0]
    ledger.broken = None
    gaps = [read(Gap, dict(one.record.body)) for one in server.records(3, kind="gap")]
    assert {gap.run for gap in gaps} == {"r9"}
    assert all("POST /v1/chat/completions" in gap.what for gap in gaps)
    time.sleep(0.1)
    assert server.proxy.trouble() == []
    assert server.proxy.counts()["exchanges_failed"] >= 3
    post(server.port)
    assert len(server.records(1)) == 1


SERVER = """
import asyncio, sys, uvicorn
from pathlib import Path
from auditor.capture.proxy import Proxy
from auditor.ledger.sqlite import SqliteLedger
from auditor.models import ModelsTable

async def main():
    data = Path(sys.argv[1])
    proxy = Proxy(SqliteLedger(data / "ledger.db"), {"openai": sys.argv[2]}, ModelsTable(), data)
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
    seen = b""
    while pieces[-1] not in seen:
        seen += connections[0].recv(65536)
    time.sleep(0.2)  # the stated lag is 50 ms; the machine may be busy
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
    assert server.proxy.counts()["exchanges_recovered"] == 2
    assert ledger.journals() == []
    assert verify(ledger).intact


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
