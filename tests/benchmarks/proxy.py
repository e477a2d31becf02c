"""The proxy beside LiteLLM and beside its own relay with recording off: same upstream, same load, one run.

`make bench NAME=proxy` (ARGS="--seconds 8 --rounds 3 --requests 100000"). Requests are 4.8 KB, answers 0.6 KB.
"Per core" is requests per CPU second of all processes of the server (psutil, children too), counted until everything
is in the ledger. The relay with recording off admits and relays and does nothing else: no masking, fingerprints, spool.
LiteLLM runs in `.bench/litellm` (made once, needs a network), one worker, and records nothing here.
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".bench" / "litellm"
TEXT = "The quick brown fox jumps over the lazy dog while nobody looks at it. " * 64
ANSWER = json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 80}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980},
}).encode()  # fmt: skip
CHUNKS, PAUSE = 50, 0.01


def body(number: int, stream: bool) -> bytes:
    messages = [{"role": "system", "content": TEXT}, {"role": "user", "content": f"call {number}"}]
    return json.dumps({"model": "m", "messages": messages} | ({"stream": True} if stream else {})).encode()


def chunk(number: int) -> bytes:
    delta = {"role": "assistant", "content": ""} if number == 0 else {"content": f"word{number} "}
    last = number == CHUNKS - 1
    form = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": "stop" if last else None}]}  # fmt: skip
    text = b"data: " + json.dumps(form).encode() + b"\n\n" + (b"data: [DONE]\n\n" if last else b"")
    return b"%x\r\n%b\r\n" % (len(text), text)


# --- the upstream


class Upstream(asyncio.Protocol):
    """Answers at once, or with 50 events 10 ms apart when the request asks for a stream."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.data = transport, b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : (head + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
            if len(self.data) < end + 4 + length:
                return
            request, self.data = self.data[end + 4 : end + 4 + length], self.data[end + 4 + length :]
            if b'"stream": true' in request or b'"stream":true' in request:
                asyncio.ensure_future(self.stream())
            else:
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                self.transport.write(head % len(ANSWER) + ANSWER)

    async def stream(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(head)
        for number in range(CHUNKS):
            await asyncio.sleep(max(0.0, start + (number + 1) * PAUSE - loop.time()))
            if self.transport.is_closing():
                return
            self.transport.write(chunk(number))
        self.transport.write(b"0\r\n\r\n")


async def serve_upstream(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


# --- the load


class Client:
    """One connection that sends a request and waits for the end of its answer."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)

    async def call(self, number: int, stream: bool) -> None:
        data = body(number, stream)
        self.writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (self.key.encode(), len(data), data)
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        low = head.lower()
        if not low.startswith(b"http/1.1 200"):
            raise RuntimeError(head.decode("latin-1") + (await self.reader.read(2000)).decode("latin-1"))
        at = low.find(b"content-length:")
        if at >= 0:
            await self.reader.readexactly(int(low[at + 15 : low.find(b"\r\n", at)]))
            return
        while True:
            size = int(await self.reader.readline(), 16)
            await self.reader.readexactly(size + 2)
            if size == 0:
                return


async def closed_loop(port: int, key: str, connections: int, seconds: float) -> tuple[int, list[float]]:
    """(calls, their times in seconds) of `connections` that call again as soon as they have an answer."""
    times: list[float] = []
    stop = time.perf_counter() + seconds

    async def one(worker: int) -> None:
        client = Client(port, key)
        await client.open()
        number = worker * 10_000_000
        while time.perf_counter() < stop:
            start = time.perf_counter()
            await client.call(number, False)
            times.append(time.perf_counter() - start)
            number += 1
        client.writer.close()

    await asyncio.gather(*(one(worker) for worker in range(connections)))
    return len(times), times


async def streams(port: int, key: str, count: int) -> list[float]:
    """Times of `count` paced streams begun together, each on its own connection, seconds."""
    clients = [Client(port, key) for _ in range(count)]
    for client in clients:
        await client.open()

    async def one(number: int, client: Client) -> float:
        start = time.perf_counter()
        await client.call(number, True)
        client.writer.close()
        return time.perf_counter() - start

    return list(await asyncio.gather(*(one(number, client) for number, client in enumerate(clients))))


# --- the servers


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and everything it started."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def memory(process: psutil.Process) -> float:
    """Resident MB of the largest process and its sum over all."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


@contextmanager
def running(
    command: list[str], port: int, environment: dict[str, str], folder: Path, patience: float
) -> Iterator[psutil.Process]:
    log = (folder / "log").open("wb")
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start: {(folder / 'log').read_text()[-2000:]}") from None
                time.sleep(0.1)
        time.sleep(2.0)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


RELAY = """
import asyncio, sys, uvicorn
from pathlib import Path
from types import SimpleNamespace
from auditor.capture.proxy import Proxy, _place
from auditor.capture.spool import Spool

class Nothing(Spool):
    async def open(self): pass
    async def close(self): pass

def nothing(*_, **__): pass

class Bare(Proxy):
    def flight(self, scope, method, admitted=None):
        _, route, project, wrong = _place(scope)
        admission = self.gate.admit(scope["headers"], "ingest", project=project, client=scope["client"][0])
        return SimpleNamespace(method=method, route=route, admission=admission, asked=nothing, answered=nothing,
                               gave=nothing, end=nothing), wrong

proxy = Bare({"openai": sys.argv[1]}, Path(sys.argv[3]))
proxy.spool = Nothing(Path(sys.argv[3]))
proxy.vault = SimpleNamespace(stored=nothing)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await proxy.startup(); await send({"type": "lifespan.startup.complete"})
        await receive(); await proxy.shutdown(); await send({"type": "lifespan.shutdown.complete"})
    else:
        await proxy(scope, receive, send)

uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", http="httptools", log_level="warning", access_log=False,
            server_header=False, date_header=False)
"""


def ours(port: int, upstream: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "auditor", "serve", "--port", str(port), "--data", str(folder / "data"),
               "--workers", "0"]  # fmt: skip
    return command, {"AUDITOR_UPSTREAMS": f"openai=http://127.0.0.1:{upstream}", "PYTHONPATH": str(ROOT)}


def relay(port: int, upstream: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-c", RELAY, f"http://127.0.0.1:{upstream}", str(port), str(folder / "data")]
    return command, {"PYTHONPATH": str(ROOT)}


def litellm(port: int, upstream: int, folder: Path, key: str) -> tuple[list[str], dict[str, str]]:
    config = folder / "config.yaml"
    config.write_text(
        "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/m\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: none\n"
        "litellm_settings:\n  set_verbose: false\n  request_timeout: 600\n"
    )
    command = [str(PEER / "bin" / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1",
               "--num_workers", "1"]  # fmt: skip
    return command, {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION",
                     "LITELLM_LOG": "ERROR", "NO_DOCS": "True", "DISABLE_ADMIN_UI": "True"}  # fmt: skip


def drained(port: int, wanted: int) -> None:
    """Wait until the server has `wanted` exchanges in its ledger."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            if json.load(answer)["recorded"].get("exchanges", 0) >= wanted:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the ledger did not reach {wanted} exchanges")


def measure(name: str, upstream: int, seconds: float, stream_count: int) -> dict[str, Any]:
    """All three loads on one freshly started server."""
    key = "sk-" + secrets.token_hex(16)
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if name == "litellm":
            command, environment = litellm(port, upstream, folder, key)
        else:
            command, environment = (ours if name == "ours" else relay)(port, upstream, folder)
        with running(command, port, environment, folder, 120) as process:
            total, _ = asyncio.run(closed_loop(port, key, 4, 1.0))  # warm
            before, start = cpu(process), time.perf_counter()
            calls, times = asyncio.run(closed_loop(port, key, 32, seconds))
            wall = time.perf_counter() - start
            serving = cpu(process) - before
            total += calls
            if name == "ours":
                drained(port, total)
            used = cpu(process) - before
            single, alone = asyncio.run(closed_loop(port, key, 1, min(seconds, 4.0)))
            paced = asyncio.run(streams(port, key, stream_count))
            return {
                "rps": calls / wall, "per_core": calls / used, "cpu_ms": 1000 * used / calls,
                "cpu_ms_while_serving": 1000 * serving / calls,
                "p50_ms": 1000 * statistics.median(times), "p99_ms": 1000 * quantile(times, 0.99),
                "alone_p50_ms": 1000 * statistics.median(alone), "alone_p99_ms": 1000 * quantile(alone, 0.99),
                "paced_p50_ms": 1000 * statistics.median(paced), "paced_p99_ms": 1000 * quantile(paced, 0.99),
                "memory_mb": memory(process), "calls": calls + single,
            }  # fmt: skip


def direct(upstream: int) -> dict[str, float]:
    _, alone = asyncio.run(closed_loop(upstream, "", 1, 2.0))
    paced = asyncio.run(streams(upstream, "", 100))
    return {"alone_p50_ms": 1000 * statistics.median(alone), "paced_p99_ms": 1000 * quantile(paced, 0.99)}


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def growth(upstream: int, requests: int) -> dict[str, Any]:
    """Memory of the serving process over `requests` calls, and the slope of its second half."""
    port = free_port()
    samples: list[tuple[int, float, float]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command, environment = ours(port, upstream, folder)
        with running(command, port, environment, folder, 60) as process:
            done = 0
            while done < requests:
                calls, _ = asyncio.run(closed_loop(port, "sk-1", 32, 4.0))
                done += calls
                samples.append((done, process.memory_info().rss / 1e6, memory(process)))
            drained(port, done)
            samples.append((done, process.memory_info().rss / 1e6, memory(process)))
    half = samples[len(samples) // 2 :]
    calls, sizes = [one[0] / 10_000 for one in half], [one[1] for one in half]
    slope = statistics.linear_regression(calls, sizes).slope if len(half) > 1 else 0.0
    return {"requests": done, "server_mb": samples[-1][1], "all_processes_mb": samples[-1][2],
            "server_mb_per_10000_requests": slope, "samples": samples}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000, help="calls for the memory; 0 leaves it out")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.upstream:
        import uvloop

        uvloop.run(serve_upstream(arguments.upstream))
        return 0
    peer = not arguments.no_peer
    if peer and not (PEER / "bin" / "litellm").exists():
        print("installing the peer into .bench/litellm (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
        subprocess.run([str(PEER / "bin" / "pip"), "install", "-q", "litellm[proxy]"], check=True)
    port = free_port()
    upstream = subprocess.Popen([sys.executable, __file__, "--upstream", str(port)])
    try:
        time.sleep(1.0)
        names = ["ours", "relay", *(["litellm"] if peer else [])]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        base = direct(port)
        for round_ in range(arguments.rounds):
            for name in names:
                print(f"round {round_ + 1} of {arguments.rounds}: {name}", flush=True)
                found[name].append(measure(name, port, arguments.seconds, 100))
        grown = growth(port, arguments.requests) if arguments.requests else None
    finally:
        upstream.terminate()
    return report(base, found, grown)


KEYS = ("rps", "per_core", "cpu_ms", "cpu_ms_while_serving", "p50_ms", "p99_ms", "alone_p50_ms", "paced_p50_ms",
        "paced_p99_ms", "memory_mb")  # fmt: skip


def report(base: dict[str, float], found: dict[str, list[dict[str, Any]]], grown: dict[str, Any] | None) -> int:
    print(f"\ndirect: one connection p50 {base['alone_p50_ms']:.2f} ms, "
          f"100 paced streams p99 {base['paced_p99_ms']:.0f} ms; medians [least, most] of the rounds")  # fmt: skip
    print(f"{'':>22}" + "".join(f"{name:>30}" for name in found))
    middle: dict[str, dict[str, float]] = {name: {} for name in found}
    for key in KEYS:
        row = f"{key:>22}"
        for name, rounds in found.items():
            values = [one[key] for one in rounds]
            middle[name][key] = statistics.median(values)
            row += f"{statistics.median(values):>12.2f} [{min(values):.2f}, {max(values):.2f}]".rjust(30)
        print(row)
    bars = ratios(base, found, middle) + ([] if grown is None else sizes_of(grown))
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    figures = {"direct": base, **middle, "rounds": found, "memory": grown}
    print(json.dumps({"bench": "proxy", "figures": figures, "bars": bars, "machine": machine}))
    return 0


def ratios(
    base: dict[str, float], found: dict[str, list[dict[str, Any]]], middle: dict[str, dict[str, float]]
) -> list[dict[str, Any]]:
    """Round by round, so that what slows the machine slows both sides."""

    def ratio(key: str, other: str) -> float:
        return statistics.median(a[key] / b[key] for a, b in zip(found["ours"], found[other], strict=True))

    speed, share = ratio("rps", "relay"), ratio("per_core", "relay")
    bars = [bar("requests/s with recording / without, same load", speed, ">= 0.7", speed >= 0.7),
            bar("requests per CPU second with recording and ingestion / without", share, ">= 0.7", share >= 0.7)]
    if "litellm" in found:
        mine, other = middle["ours"], middle["litellm"]
        core, paced = ratio("per_core", "litellm"), ratio("paced_p99_ms", "litellm")
        added = (mine["alone_p50_ms"] - base["alone_p50_ms"]) / (other["alone_p50_ms"] - base["alone_p50_ms"])
        bars += [bar("requests per CPU second / LiteLLM's", core, ">= 20", core >= 20),
                 bar("added p50 at one connection / LiteLLM's", added, "<= 0.05", added <= 0.05),
                 bar("p99 of 100 paced streams / LiteLLM's", paced, "<= 0.2", paced <= 0.2)]
    return bars


def sizes_of(grown: dict[str, Any]) -> list[dict[str, Any]]:
    server, both, slope = grown["server_mb"], grown["all_processes_mb"], grown["server_mb_per_10000_requests"]
    print(f"\nmemory after {grown['requests']} requests, each a run of its own: server {server:.0f} MB, with the "
          f"follower {both:.0f} MB; slope of the server's second half {slope:+.2f} MB per 10,000 requests")  # fmt: skip
    return [bar("MB of the server after the requests", server, "<= 200", server <= 200),
            bar("MB of server and follower after the requests", both, "<= 200", both <= 200),
            bar("slope of the server, MB per 10,000 requests", slope, "<= 1", slope <= 1)]


def bar(what: str, value: float, wanted: str, holds: bool) -> dict[str, Any]:
    print(f"{'holds' if holds else 'FAILS':>6}  {what}: {value:.3f} ({wanted})")
    return {"what": what, "value": value, "bar": wanted, "holds": holds}


if __name__ == "__main__":
    sys.exit(main())
