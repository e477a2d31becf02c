"""OTLP intake: spans/s per core, durable before the answer, with and without projection: `make bench NAME=otlp`.

The real server runs as processes of its own; this process sends 500-span batches of 2.8 KB spans (9 attributes, 2.4 KB
of messages) over several connections. CPU seconds are those of the process that receives and acknowledges; the one that
cuts runs and projects them works beside it, or, for the first figure of each pair, is replaced by one that sleeps.
"""

import argparse
import http.client
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from auditor.demo.processes import free_port  # noqa: E402

SPANS, CONNECTIONS, MESSAGES = 500, 4, 2400
BACKLOG = 4
BAR, SHARE = 5000, 0.8
_WORDS = ("the", "agent", "asked", "for", "price", "lamp", "in", "shop", "and", "then", "total", "discount", "stock")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One run of the load: spans per second of wall time, and per CPU second of the server."""

    wall: float
    per_core: float
    bytes_per_span: float
    projected: int
    """Ledger records that were put into the graph during the load."""


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", type=int, default=40, help="per run")
    arguments.add_argument("--repeats", type=int, default=3)
    chosen = arguments.parse_args()
    figures: dict[str, list[Figure]] = {}
    for repeat in range(chosen.repeats):
        for kind in ("protobuf", "json"):
            bodies = [body(kind, 1000 * repeat + index) for index in range(chosen.batches)]
            for projecting in (False, True):
                name = f"{kind}, projecting" if projecting else kind
                with server(projecting) as (port, process):
                    figures.setdefault(name, []).append(load(port, process, kind, bodies, projecting))
                print(f"{name:22} {figures[name][-1].per_core:8.0f} spans/s per core", file=sys.stderr)
    print(
        f"{'':22} {'spans/s per core':>20} {'lowest':>8} {'highest':>8} {'spans/s wall':>13} {'bytes/span':>11} "
        f"{'projected meanwhile':>20}"
    )
    for name, found in figures.items():
        rates = [one.per_core for one in found]
        wall = statistics.median(one.wall for one in found)
        print(f"{name:22} {statistics.median(rates):20.0f} {min(rates):8.0f} {max(rates):8.0f} {wall:13.0f} "
              f"{found[0].bytes_per_span:11.0f} {statistics.median(one.projected for one in found):20.0f}")  # fmt: skip
    bars = list(judge(figures))
    for one in bars:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")
    print(json.dumps({
        "bench": "otlp", "figures": {name: [vars(one) for one in found] for name, found in figures.items()},
        "bars": bars,
        "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
    }))  # fmt: skip
    return 0


def judge(figures: dict[str, list[Figure]]) -> Iterator[dict[str, Any]]:
    for kind in ("protobuf", "json"):
        alone = statistics.median(one.per_core for one in figures[kind])
        yield at_least(f"{kind}: fsynced spans/s per core", round(alone), BAR)
        beside = statistics.median(one.per_core for one in figures[f"{kind}, projecting"])
        yield at_least(f"{kind}: the same while projecting, of the bar", round(beside / BAR, 3), SHARE)
        yield at_least(f"{kind}: the same while projecting, of the rate alone", round(beside / alone, 3), SHARE)


def at_least(what: str, value: float, bar: float) -> dict[str, Any]:
    return {"what": what, "value": value, "bar": f">= {bar}", "holds": value >= bar}


@contextmanager
def server(projecting: bool) -> Iterator[tuple[int, psutil.Process]]:
    """A server on a fresh folder. Without projection, what follows the ledger is held still."""
    folder, port = Path(tempfile.mkdtemp(prefix="auditor-bench-")), free_port()
    command = [sys.executable, "-m", "auditor", "serve", "--port", str(port), "--data", str(folder), "--workers", "0"]
    if not projecting:
        command = [sys.executable, "-c", _STILL, *command[3:]]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_for(port, process, folder / "server.log")
        yield port, psutil.Process(process.pid)
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for one in (process, *children):
            one.kill()
        process.wait()
        psutil.wait_procs(children, timeout=30)
        for file in sorted(folder.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        folder.rmdir()


_STILL = """
import sys
import auditor.app
from auditor.cli import main
idle = "import os, time; parent = os.getppid()\\nwhile os.getppid() == parent: time.sleep(0.2)"
auditor.app.follow_command = lambda settings: [sys.executable, "-c", idle]
sys.argv[0] = "auditor"
main()
"""


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended:\n{log.read_text()}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not come up")


def load(port: int, process: psutil.Process, kind: str, bodies: list[bytes], projecting: bool) -> Figure:
    """Send every body once over several connections; all must be acknowledged. With projection, the load begins once
    the graph moves, with a backlog before it that keeps it moving."""
    waiting, lock, bad = list(bodies), threading.Lock(), []
    content = "application/json" if kind == "json" else "application/x-protobuf"
    one = http.client.HTTPConnection("127.0.0.1", port)  # imports and first statements are no steady state
    for index in range(BACKLOG if projecting else 1):
        one.request("POST", "/v1/traces", body(kind, 10**6 + index), {"content-type": content})
        one.getresponse().read()
    deadline = time.monotonic() + 120
    while projecting and projected(port) == 0:
        if time.monotonic() > deadline:
            raise SystemExit("the graph does not move")
        time.sleep(0.1)
    before = projected(port)

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                if not waiting:
                    return
                item = waiting.pop()
            connection.request("POST", "/v1/traces", item, {"content-type": content})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200 or data.strip() not in (b"", b"{}"):
                bad.append((answer.status, data))

    threads = [threading.Thread(target=send) for _ in range(CONNECTIONS)]
    cpu, began = seconds(process), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, spent = time.monotonic() - began, seconds(process) - cpu
    if bad:
        raise SystemExit(f"not acknowledged: {bad[:3]}")
    count = len(bodies) * SPANS
    size = sum(map(len, bodies)) / count
    return Figure(
        wall=round(count / wall, 1), per_core=round(count / spent, 1), bytes_per_span=round(size, 1),
        projected=projected(port) - before,
    )  # fmt: skip


def projected(port: int) -> int:
    """How many ledger records are in the graph."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    return int(json.load(connection.getresponse())["graph"]["position"]) + 1


def seconds(process: psutil.Process) -> float:
    """User and system time of the process that acknowledges."""
    times = process.cpu_times()
    return float(times.user + times.system)


def body(kind: str, seed: int) -> bytes:
    """A batch of spans that nobody sent before."""
    draw = random.Random(seed)
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "bench"
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai"
    now = 1_790_000_000_000_000_000 + seed * 10**9
    for index in range(SPANS):
        span = scope.spans.add(
            trace_id=draw.randbytes(16), span_id=draw.randbytes(8), parent_span_id=draw.randbytes(8),
            name="chat planted", kind=3, start_time_unix_nano=now + index, end_time_unix_nano=now + index + 10**6,
        )  # fmt: skip
        texts = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "planted",
            "gen_ai.response.id": f"chatcmpl-{draw.randbytes(8).hex()}", "gen_ai.input.messages": messages(draw),
        }  # fmt: skip
        for key, text in texts.items():
            span.attributes.add(key=key).value.string_value = text
        for key, number in (("gen_ai.usage.input_tokens", 512), ("gen_ai.usage.output_tokens", draw.randrange(900))):
            span.attributes.add(key=key).value.int_value = number
        span.attributes.add(key="gen_ai.request.temperature").value.double_value = 0.7
        span.attributes.add(key="gen_ai.request.stream").value.bool_value = True
    return as_json(request) if kind == "json" else request.SerializeToString()


def messages(draw: random.Random) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < MESSAGES - 80:
        words.append(draw.choice(_WORDS) + str(draw.randrange(100)))
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": " ".join(words)}]}])


def as_json(request: Any) -> bytes:
    """OTLP/JSON as exporters write it: hex ids, integers as text."""

    def value(one: Any) -> dict[str, Any]:
        kind = one.WhichOneof("value")
        name = {"string_value": "stringValue", "int_value": "intValue", "double_value": "doubleValue"}
        inner = getattr(one, kind)
        return {name.get(kind, "boolValue"): str(inner) if kind == "int_value" else inner}

    def rows(attributes: Any) -> list[dict[str, Any]]:
        return [{"key": one.key, "value": value(one.value)} for one in attributes]

    groups = [{
        "resource": {"attributes": rows(group.resource.attributes)},
        "scopeSpans": [{
            "scope": {"name": scope.scope.name},
            "spans": [{
                "traceId": span.trace_id.hex(), "spanId": span.span_id.hex(),
                "parentSpanId": span.parent_span_id.hex(), "name": span.name, "kind": span.kind,
                "startTimeUnixNano": str(span.start_time_unix_nano), "endTimeUnixNano": str(span.end_time_unix_nano),
                "attributes": rows(span.attributes),
            } for span in scope.spans],
        } for scope in group.scope_spans],
    } for group in request.resource_spans]  # fmt: skip
    return json.dumps({"resourceSpans": groups}).encode()


if __name__ == "__main__":
    sys.exit(main())
