"""SIGKILL under load, again and again: what was acknowledged is in the ledger, and the chain verifies each time.

`make bench NAME=durability` (ARGS="--rounds 200"). Each round starts the real server on the same data folder, relays
streams and takes OTLP batches, kills the server (every other round its follower too) at a random moment, and verifies
the ledger. Acknowledged are: spans answered with 2xx, and relayed bytes older than the stated lag. At the end the
server drains its spool and everything acknowledged is looked up.
"""

import argparse
import importlib
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.records.exchange import Exchange
from auditor.records.wire import read

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
proxy = importlib.import_module("proxy")
ROOT = HERE.parents[1]
STREAM = b"".join(proxy.chunk(number).partition(b"\r\n")[2][:-2] for number in range(proxy.CHUNKS))
ANSWER = proxy.ANSWER
LAG = 0.05
"""Seconds; the stated lag of relayed bytes."""


@dataclass
class Acknowledged:
    """What the server has promised so far."""

    spans: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    """Run -> bytes of its answer that are older than the lag at the moment of the kill."""
    whole: set[str] = field(default_factory=set)


class Load:
    """Streams and span batches against one server until it dies."""

    def __init__(self, port: int, round_: int, said: Acknowledged) -> None:
        self._port, self._round, self._said = port, round_, said
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._received: dict[str, list[tuple[float, int]]] = {}
        self._ended: dict[str, float] = {}
        self._threads = [threading.Thread(target=self._streams, args=(n,), daemon=True) for n in range(4)]
        self._threads += [threading.Thread(target=self._batches, args=(n,), daemon=True) for n in range(2)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, killed_at: float) -> None:
        """After the kill: note what had been promised by then."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        for run, rows in self._received.items():
            self._said.calls[run] = max((size for at, size in rows if at <= killed_at - LAG), default=0)
        self._said.whole |= {run for run, at in self._ended.items() if at <= killed_at - LAG}

    def _streams(self, worker: int) -> None:
        for number in range(10_000):
            run = f"r{self._round}-{worker}-{number}"
            stream = number % 3 != 2
            body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": run}]}).encode()
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
                    connection.sendall(
                        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-audit-run: %b\r\n"
                        b"content-length: %d\r\n\r\n%b" % (run.encode(), len(body), body)
                    )
                    self._answer(connection, run)
            except OSError:
                pass
            if self._stop.is_set():
                return

    def _answer(self, connection: socket.socket, run: str) -> None:
        """Count the body's bytes as they come, framing taken off, with the time of each read."""
        data, rows = b"", []
        with self._lock:
            self._received[run] = rows
        while more := connection.recv(65536):
            data += more
            head, mark, body = data.partition(b"\r\n\r\n")
            if mark:
                size = _unchunked(body) if b"chunked" in head.lower() else len(body)
                rows.append((time.monotonic(), size))
        if data.endswith(b"0\r\n\r\n") or b"content-length" in data[:300]:
            self._ended[run] = time.monotonic()

    def _batches(self, worker: int) -> None:
        draw = random.Random(f"{self._round}-{worker}")
        while not self._stop.is_set():
            ids = [f"{draw.getrandbits(64) | 1:016x}" for _ in range(20)]
            spans = [{"traceId": f"{draw.getrandbits(128) | 1:032x}", "spanId": one, "name": "step", "kind": 1,
                      "startTimeUnixNano": "1", "endTimeUnixNano": "2",
                      "attributes": [{"key": "text", "value": {"stringValue": "x" * 500}}]} for one in ids]  # fmt: skip
            body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{self._port}/v1/traces", body,
                                             {"content-type": "application/json"})  # fmt: skip
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    if answer.status == 200:
                        with self._lock:
                            self._said.spans |= set(ids)
            except (OSError, urllib.error.URLError, ValueError):
                time.sleep(0.01)


def _unchunked(body: bytes) -> int:
    """Bytes of whole chunks in a chunked body."""
    size = place = 0
    while (end := body.find(b"\r\n", place)) >= 0:
        length = int(body[place:end], 16)
        if end + 2 + length > len(body):
            return size + max(0, len(body) - end - 2)
        size, place = size + length, end + 4 + length
        if length == 0:
            break
    return size


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(data: Path, port: int, upstream: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "auditor", "serve", "--port", str(port), "--data", str(data), "--workers", "0"],
        env={**os.environ, "AUDITOR_UPSTREAMS": f"openai=http://127.0.0.1:{upstream}", "PYTHONPATH": str(ROOT)},
        cwd=data.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start") from None
            time.sleep(0.02)


def kill(process: "subprocess.Popen[bytes]", follower_too: bool) -> None:
    children = psutil.Process(process.pid).children(recursive=True) if follower_too else []
    process.send_signal(signal.SIGKILL)
    for child in children:
        child.kill()
    process.wait()


def trial(folder: Path, rounds: int, seed: int, progress: Any = print) -> dict[str, Any]:
    """Kill `rounds` times; counts of what was promised, lost, and of ledgers that did not verify."""
    draw = random.Random(seed)
    upstream_port = free_port()
    upstream = subprocess.Popen([sys.executable, str(HERE / "proxy.py"), "--upstream", str(upstream_port)])
    said, broken, data = Acknowledged(), [], folder / "data"
    try:
        for round_ in range(rounds):
            port = free_port()
            process = start(data, port, upstream_port)
            load = Load(port, round_, said)
            load.start()
            time.sleep(draw.uniform(0.3, 1.2))
            killed_at = time.monotonic()
            kill(process, follower_too=round_ % 2 == 0)
            load.stop(killed_at)
            broken += _verified(data, round_)
            progress(f"round {round_ + 1} of {rounds}: {len(said.spans)} spans, {len(said.calls)} calls so far")
        return _settle(data, free_port(), upstream_port, said) | {"rounds": rounds, "broken": broken}
    finally:
        upstream.terminate()


def _verified(data: Path, round_: int) -> list[str]:
    ledger = SqliteLedger(data / "ledger.db")
    try:
        answer = verify(ledger)
    finally:
        ledger.close()
    return [] if answer.intact and answer.complete else [f"round {round_}: {'; '.join(answer.problems[:3])}"]


def _settle(data: Path, port: int, upstream: int, said: Acknowledged) -> dict[str, Any]:
    """Start once more, let the spool drain, and look up everything that was promised."""
    process = start(data, port, upstream)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            recorded = json.load(answer)["recorded"]
        folders = [one for one in (data / "spool").iterdir() if one.name[0] != "."]
        if recorded.get("spool_behind_bytes") == 0 and len(folders) == 1:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    ledger = SqliteLedger(data / "ledger.db")
    spans, sizes, outcomes, doubled, altered = list[str](), dict[str, int](), dict[str, int](), 0, 0
    for stored in ledger.records(kinds=["span", "exchange"]):
        if stored.record.kind == "span":
            spans.append(str(stored.record.body["span_id"]))
            continue
        found = read(Exchange, dict(stored.record.body))
        doubled += found.joins.run in sizes
        body = b"" if found.response is None else ledger.payload(found.response)
        altered += not (STREAM.startswith(body) or body == ANSWER)
        sizes[str(found.joins.run)] = len(body)
        outcomes[found.outcome] = outcomes.get(found.outcome, 0) + 1
    answer = verify(ledger)
    ledger.close()
    return {
        "spans_promised": len(said.spans), "spans_lost": len(said.spans - set(spans)),
        "spans_doubled": len(spans) - len(set(spans)),
        "calls_promised": sum(size > 0 for size in said.calls.values()), "whole_answers_promised": len(said.whole),
        "calls_lost": sum(run not in sizes for run in said.whole | {r for r, size in said.calls.items() if size}),
        "calls_short": sum(sizes.get(run, 0) < size for run, size in said.calls.items()),
        "calls_doubled": doubled, "calls_altered": altered, "records": answer.records, "outcomes": outcomes,
        "verifies": answer.intact and answer.complete, "problems": list(answer.problems[:5]),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        found = trial(Path(place), arguments.rounds, arguments.seed)
    for key, value in found.items():
        print(f"{key:>24}  {value}")
    wrong = found["calls_doubled"] + found["calls_altered"] + found["spans_doubled"]
    lost = found["spans_lost"] + found["calls_lost"] + found["calls_short"]
    bars = [
        {"what": "SIGKILLs under load", "value": found["rounds"], "bar": ">= 200", "holds": found["rounds"] >= 200},
        {"what": "acknowledged records lost", "value": lost, "bar": "0", "holds": lost == 0},
        {"what": "calls or spans recorded twice or altered", "value": wrong, "bar": "0", "holds": wrong == 0},
        {"what": "ledgers that did not verify", "value": len(found["broken"]) + (not found["verifies"]), "bar": "0",
         "holds": not found["broken"] and found["verifies"]},
    ]  # fmt: skip
    for bar in bars:
        print(f"{'holds' if bar['holds'] else 'FAILS':>6}  {bar['what']}: {bar['value']} ({bar['bar']})")
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    figures = found | {"seconds": round(time.monotonic() - begun, 1)}
    print(json.dumps({"bench": "durability", "figures": figures, "bars": bars, "machine": machine}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
