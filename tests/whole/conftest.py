"""A whole server in a process of its own, in front of a small upstream that counts."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from auditor.demo.processes import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    """One server process; `call` goes through its proxy, `api` to its audit API."""

    process: "subprocess.Popen[bytes]"
    port: int
    data: Path
    started_in: float

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def api(self, path: str, body: Any = None) -> Any:
        return fetch(f"{self.address}{path}", body)

    def call(self, text: str, run: str | None = None) -> Any:
        body = {"model": "counting", "messages": [{"role": "user", "content": text}]}
        return fetch(f"{self.address}/v1/chat/completions", body, {"x-audit-run": run} if run else {})

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def fetch(url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"} | (headers or {}))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


class _Counting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).served += 1
        message = {"role": "assistant", "content": f"reply {type(self).served}"}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def serve(tmp_path: Path, upstream: str) -> Iterator[Callable[[], Running]]:
    """Start a server on the same data folder, as often as asked."""
    started: list[Running] = []

    def start(*extra: str) -> Running:
        port = free_port()
        command = [sys.executable, "-m", "auditor", "serve", "--port", str(port), "--data", str(tmp_path / "data"),
                   "--workers", "0", *extra]  # fmt: skip
        environment = os.environ | {"AUDITOR_UPSTREAMS": f"openai={upstream}", "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        with (tmp_path / "server.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        deadline = began + 60
        while True:
            try:
                fetch(f"http://127.0.0.1:{port}/readyz")
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "server.log").read_text()
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.05)
        running = Running(process, port, tmp_path / "data", time.monotonic() - began)
        started.append(running)
        return running

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(20)
