"""Real clients against the real server: their own virtual environments, a scripted model, and every byte kept.

    client ── recording relay ── auditor serve ── scripted model
              what the client                     what the upstream
              sent and got                        got and sent

The environments are made by `make clients-core` (CI's slice) and `make clients-zoo`; a client program never sees this
project: it runs in an environment without it, elsewhere, with a bare set of variables.
"""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auditor.demo.processes import free_port, running, tail, wait_for

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
       b"transfer-encoding", b"upgrade", b"host"}  # fmt: skip


def _module(path: Path) -> Any:
    """A helper beside these tests; the runner imports test files by path, so packages do not find it."""
    name = f"clients_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


upstreams = _module(ROOT / "tests" / "wire" / "scripted_upstream.py")
models = _module(HERE / "scripted_model.py")
relays = _module(HERE / "recording_relay.py")
real_part_missing = _module(ROOT / "tests" / "conftest.py").real_part_missing


@dataclass(kw_only=True)
class Bench:
    """One server in front of one upstream, used by all clients of a test module."""

    port: int
    data: Path
    model: Any = None
    upstream: Any = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(48213, 7919))

    def api(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def runs(self, item: str) -> list[Any]:
        found: list[Any] = self.api(f"/api/v1/runs?q={urllib.parse.quote(item)}")["items"]
        return found

    def settled(self, item: str, calls: int, exchanges: int | None = None) -> list[Any]:
        """Runs about an item once `calls` calls are recorded and everything read is in the graph."""
        deadline = time.monotonic() + 30
        wanted = len(self.upstream.received) if exchanges is None else exchanges
        runs: list[Any] = []
        while time.monotonic() < deadline:
            health = self.api("/healthz")  # first: what it calls read is in the runs
            runs = self.runs(item)
            recorded = health["recorded"]
            position = health["ledger"]["position"]
            read = health["structure"]["position"] == position == health["graph"]["position"]
            if read and recorded["exchanges"] >= wanted and _calls(runs) >= calls:
                return runs
            time.sleep(0.1)
        return runs

    def structure(self, run: str) -> Any:
        """Body of a run's latest structure record."""
        record = self.api(f"/api/v1/runs/{urllib.parse.quote(run)}")["structure"]
        return self.api(f"/api/v1/records/{record}")["record"]["body"]

    def steps(self, run: str) -> list[Any]:
        page = self.api(f"/api/v1/runs/{urllib.parse.quote(run)}/steps?limit=200")
        return [one["step"] for one in page["items"]]

    def texts(self, run: str, messages: Sequence[str]) -> dict[str, list[str]]:
        """What messages of a run say, by kind of part, in order."""
        page = self.api(f"/api/v1/runs/{urllib.parse.quote(run)}/messages?limit=200")
        parts = {one["id"]: one["parts"] or [] for one in page["items"]}
        found: dict[str, list[str]] = {}
        for part in (part for one in messages for part in parts[one]):
            found.setdefault(part["type"], []).append(part.get("text", part.get("arguments")))
        return found


def _calls(runs: Sequence[Any]) -> int:
    return sum(run["calls"] for run in runs)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one job of a client program came to."""

    mode: str
    item: str
    price: str
    answer: str | None
    error: str | None
    exchanges: tuple[Any, ...]
    """(request, response) as they were between client and proxy."""
    served: tuple[Any, ...]
    """The same calls as the upstream saw them."""


@contextmanager
def _serving(upstream: str, folder: Path) -> Iterator[Bench]:
    """A server in front of an upstream's address."""
    port = free_port()
    command = [sys.executable, "-m", "auditor", "serve", "--port", str(port), "--data", str(folder / "data"),
               "--workers", "0"]  # fmt: skip
    environment = {"AUDITOR_UPSTREAMS": f"openai={upstream},anthropic={upstream}", "PYTHONPATH": str(ROOT)}
    log = folder / "server.log"
    with running("server", command, log, environment, folder) as child:
        wait_for(f"http://127.0.0.1:{port}/readyz", child, log, "the server", 60, lambda: None)
        yield Bench(port=port, data=folder / "data")
        assert child.poll() is None, tail(log)


@pytest.fixture(scope="session")
def open_bench() -> Callable[..., Any]:
    return _serving


@pytest.fixture(scope="session")
def relay() -> Any:
    """The RecordingRelay class."""
    return relays.RecordingRelay


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    model = models.ScriptedModel(reply=upstreams.Reply)
    upstream = upstreams.ScriptedUpstream(script=model)
    with _serving(upstream.address, tmp_path_factory.mktemp("bench")) as opened:
        opened.model, opened.upstream = model, upstream
        yield opened
    upstream.close()


@pytest.fixture(scope="module")
def drive(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Outcome]]:
    """Runs a client program once for all its modes, each through a relay of its own."""

    def start(python: Path, program: str, modes: Sequence[str], **variables: str) -> dict[str, Outcome]:
        relayed = {mode: relays.RecordingRelay(target=bench.port) for mode in modes}
        asked = {mode: (f"lamp {next(bench.numbers)}", str(next(bench.numbers))) for mode in modes}
        jobs = [
            {"mode": mode, "base": relayed[mode].address, "item": item, "price": price,
             "otlp": f"http://127.0.0.1:{bench.port}"}
            for mode, (item, price) in asked.items()
        ]  # fmt: skip
        home = tmp_path_factory.mktemp("home")
        environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"} | variables
        before = len(bench.model.served)
        done = subprocess.run(
            [str(python), "-s", "-E", str(HERE / "programs" / f"{program}.py"), json.dumps(jobs)], cwd=home,
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        said = {}
        for line in done.stdout.splitlines():
            _, found, rest = line.partition('{"mode"')  # clients write there too, and not always whole lines
            if found:
                said[json.loads(found + rest)["mode"]] = json.loads(found + rest)
        new = bench.model.served[before:]
        outcomes = {}
        for mode, (item, price) in asked.items():
            told = said.get(mode, {"error": f"the program ended early:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"})
            outcomes[mode] = Outcome(
                mode=mode, item=item, price=price, answer=told.get("answer"), error=told.get("error"),
                exchanges=tuple(relayed[mode].exchanges()),
                served=tuple(one for one in new if one.item == item),
            )  # fmt: skip
            relayed[mode].close()
        return outcomes

    return start


@pytest.fixture(scope="module")
def python_of() -> Callable[[str], Path | None]:
    """The interpreter of a client environment, or None where it was not made."""

    def find(name: str) -> Path | None:
        python = Path(os.environ.get("AUDITOR_CLIENTS", ROOT / ".clients")) / name / "bin" / "python"
        return python if python.exists() else None

    return find


@pytest.fixture(scope="module")
def core(python_of: Callable[[str], Path | None]) -> Path:
    """The interpreter of CI's client environment; its absence is a failure where real parts are required."""
    python = python_of("core")
    if python is None:
        real_part_missing("the client environment .clients/core", "run `make clients-core`")
    assert python is not None
    return python


def _headers(rows: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    found = [(name.lower(), value) for name, value in rows]
    return [(name, value) for name, value in found if name not in HOP and not name.startswith(b"x-audit-")]


def check_bytes(outcome: Outcome) -> None:
    """What the upstream got is what the client sent, what the client got is what the upstream sent."""
    assert len(outcome.exchanges) == len(outcome.served) > 0
    left = list(outcome.served)
    for request, response in outcome.exchanges:
        served = next((one for one in left if one.request.body == request.body), None)
        assert served is not None, f"no request at the upstream has the body the client sent: {request.body[:300]!r}"
        left.remove(served)
        assert served.request.line == request.line
        assert _headers(served.request.headers) == _headers(request.headers)
        assert response.line.split(b" ")[1] == served.reply.status.split(" ")[0].encode()
        assert response.body == served.body
        given = [(name.encode(), value.encode()) for name, value in served.reply.headers]
        length = [] if served.reply.chunked else [(b"content-length", str(len(served.body)).encode())]
        assert sorted(_headers(response.headers)) == sorted(_headers([*given, *length]))


LOOP = ("model_call", "tool_call", "tool_result", "model_call", "answer")


def check_run(bench: Bench, outcome: Outcome, steps: Sequence[str] = LOOP, unlike: Sequence[str] = ()) -> Any:
    """One run with the steps of a tool loop, its tokens and its reasoning. Gives its structure.

    `steps`: kinds wanted, prompts and thoughts apart. `unlike`: what the run may say of the client in its gaps; its
    joins are then inferred ones.
    """
    runs = bench.settled(outcome.item, len(outcome.served))
    assert len(runs) == 1, f"{len(runs)} runs: {[(run['run'], run['calls'], run['title']) for run in runs]}"
    run = runs[0]["run"]
    structure, found = bench.structure(run), bench.steps(run)
    kinds = tuple(one["kind"] for one in found if one["kind"] not in ("thought", "prompt"))
    assert kinds == tuple(steps), [(one["kind"], one["label"]) for one in found]
    assert structure["gaps"] == list(unlike)
    assert {one["grade"] for one in found} == ({"recorded", "inferred"} if unlike else {"recorded"})
    if "tool_call" in kinds:
        call = next(one for one in found if one["kind"] == "tool_call")
        assert outcome.item in call["label"]
    if "tool_result" in kinds:
        result = next(one for one in found if one["kind"] == "tool_result")
        assert outcome.price in result["label"] and result["parent"] == call["id"]
    assert found[-1]["kind"] == kinds[-1]
    said = bench.texts(run, [message for one in structure["calls"] for message in one["outputs"]])
    assert outcome.price in said["tool_call" if kinds[-1] == "tool_call" else "text"][-1]
    thinking = [one.turn.thinking for one in outcome.served if one.reasons]
    assert said.get("reasoning", []) == thinking
    assert len([one for one in found if one["kind"] == "thought"]) == len(thinking)
    check_tokens(structure, outcome)
    return structure


def check_tokens(structure: Any, outcome: Outcome) -> None:
    """Every call has the tokens that its answer told of, and none where it did not."""
    for recorded, served in zip(structure["calls"], outcome.served, strict=True):
        tokens = recorded["tokens"]
        if served.usage is None:
            assert tokens is None or set(tokens.values()) == {None}
            continue
        read, cached, wrote, reasoning = served.usage
        assert (tokens["input"], tokens["cache_read"], tokens["output"]) == (read, cached, wrote)
        assert tokens["reasoning"] == (None if recorded["dialect"] == "anthropic_messages" else reasoning)


@pytest.fixture(scope="module")
def check(bench: Bench) -> Callable[..., Any]:
    """All that is asked of a client's loop, given what it came to."""

    def both(outcome: Outcome, **more: Any) -> Any:
        assert outcome.error is None, outcome.error
        assert outcome.price in (outcome.answer or ""), f"{len(outcome.served)} calls, answer {outcome.answer!r}"
        check_bytes(outcome)
        return check_run(bench, outcome, **more)

    return both
