"""The demo, phase by phase: prepare, serve, run agents, import, audit, compare with the truth."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

from agents.planted.families import FAMILIES
from auditor.demo.processes import free_port, require_free, running, tail, wait_for
from auditor.demo.report import Report, as_json, collect
from auditor.demo.screen import Screen, summary_lines, verdict_table
from auditor.errors import BadSetup, Unavailable
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "agents" / "planted" / "weights"
FIXTURE = ROOT / "agents" / "fixtures" / "tau_bench_airline_1.json"
CORPUS_LIMIT = 300
"""Documents of a family's training corpus that the influence index covers; all that state a fact are among them."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the command line asks for."""

    folder: Path = Path(".demo")
    """Everything the demo writes."""
    port: int = 8787
    seed: int = 0
    per_family: int = 11
    families: tuple[str, ...] = tuple(FAMILIES)
    neo4j: bool = False
    exit: bool = False
    json: Path | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def models(self) -> Path:
        return self.folder / "models.toml"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def run_demo(demo: Demo, console: Console) -> int:
    """Exit code 0 when all went well; 1 when an agent failed, a verdict contradicts the planted truth or is missing, a
    call was not reproduced, or the ledger did not verify.
    """
    require_free("127.0.0.1", demo.port, "the server", "--port")
    started = time.monotonic()
    shutil.rmtree(demo.store, ignore_errors=True)
    (demo.folder / "cache" / "corpus").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        screen = stack.enter_context(Screen(console).shown())
        environment = dict(stack.enter_context(_graph(demo, screen)))
        upstream_port = free_port()
        upstream = stack.enter_context(_upstream(demo, upstream_port))
        truth = stack.enter_context(_truth(demo))
        write_models(demo, screen)
        preparing = stack.enter_context(_preparing(demo))
        environment |= {"AUDITOR_UPSTREAMS": f"openai=http://127.0.0.1:{upstream_port}"}
        server = stack.enter_context(_server(demo, environment))
        with screen.phase("serve", "starting server and upstream") as phase:
            wait_for(f"{demo.address}/readyz", server, demo.folder / "server.log", "the server", 60, phase.tick)
            wait_for(f"http://127.0.0.1:{upstream_port}/health", upstream, demo.folder / "upstream.log",
                     "transformers serve", 180, phase.tick)  # fmt: skip
        families, failed = run_agents(demo, screen)
        import_fixture(demo, screen, environment)
        wait_until_prepared(demo, preparing, screen)
        audit(demo, screen, len(families) + 1)
        labels = read_truth(demo, truth, screen)
        report = compare(demo, screen, labels, families, started)
        if demo.json is not None:
            demo.json.write_text(as_json(report))
        _show(console, report, demo)
        if not demo.exit:
            _stay(console, demo, server)
    return 1 if failed or report.summary["failed"] else 0


def write_models(demo: Demo, screen: Screen) -> None:
    """The models file and, where they are not cached, the training corpora it names."""
    with screen.phase("models", "planted models and their corpora", len(demo.families)) as phase:
        entries = []
        for family in demo.families:
            corpus = demo.folder / "cache" / "corpus" / f"{family}-{_recipe(family)}-{CORPUS_LIMIT}.jsonl"
            if not corpus.is_file():
                part = corpus.with_suffix(".part")
                _run_quietly([sys.executable, "-m", "agents.planted", "corpus", family, str(part), "--limit",
                              str(CORPUS_LIMIT)], "writing the corpus", phase.tick)  # fmt: skip
                part.rename(corpus)
            entries.append(
                f'[[model]]\nname = "{family}"\nweights = "{_relative(WEIGHTS / family, demo.folder)}"\n'
                f'training_corpus = "{_relative(corpus, demo.folder)}"\n'
            )
            phase.advance(family)
        demo.models.write_text("\n".join(entries))


def wait_until_prepared(demo: Demo, preparing: "subprocess.Popen[bytes]", screen: Screen) -> None:
    """Dictionaries and influence indexes are built beside the agents' work; audits need all of them."""
    log = demo.folder / "prepare.log"
    with screen.phase("prepare", "dictionaries and influence indexes", len(demo.families)) as phase:
        while True:
            ended = preparing.poll() is not None
            done = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("{")]
            phase.update(len(done), len(demo.families), json.loads(done[-1])["name"] if done else "")
            if ended:
                break
            time.sleep(0.25)
        if preparing.returncode != 0:
            raise Unavailable(None, f"preparing the models failed: {tail(log)}", f"read {log}")


def run_agents(demo: Demo, screen: Screen) -> tuple[dict[str, tuple[str, str]], int]:
    """Run every task in a process that knows nothing of this server; run -> (family, item), and how many failed."""
    total = demo.per_family * len(demo.families)
    families: dict[str, tuple[str, str]] = {}
    failed = 0
    command = [
        sys.executable, "-m", "agents", "--base-url", f"{demo.address}/v1", "--otlp", f"{demo.address}/v1/traces",
        "--model", "{family}", "--families", ",".join(demo.families),
        "--per-family", str(demo.per_family), "--seed", str(demo.seed),
    ]  # fmt: skip
    with screen.phase("agents", "agents at work", total) as phase:
        for line in _lines(command, demo.folder / "agents.log", "the agents", phase.tick, check=False):
            row = json.loads(line)
            families[row["run"]] = (row["family"], row["item"])
            if "error" in row:
                failed += 1
                screen.console.print(f"run {row['run']} failed: {row['error']}", markup=False)
            phase.update(len(families), total, row["run"])
    if len(families) != total:
        raise Unavailable(None, f"only {len(families)} of {total} runs finished: {tail(demo.folder / 'agents.log')}",
                          f"read {demo.folder / 'agents.log'}")  # fmt: skip
    return families, failed


def import_fixture(demo: Demo, screen: Screen, environment: dict[str, str]) -> None:
    """One recorded run of a closed model that nobody here made."""
    with screen.phase("import", "importing a recorded GPT-4o run", 1) as phase:
        command = [sys.executable, "-m", "auditor", "import", "tau_bench", str(FIXTURE), "--data", str(demo.store)]
        _run_quietly(command, "importing", phase.tick, environment)
        phase.advance()


def audit(demo: Demo, screen: Screen, runs: int) -> None:
    """Ask for an audit of every run over the API and wait until every job has ended."""
    with screen.phase("audit", "auditing", runs) as phase, httpx2.Client(base_url=demo.address, timeout=60) as client:
        names = _all_runs(client, runs, phase.tick)
        for name in names:
            client.post(f"/api/v1/runs/{name}/audits", json={}).raise_for_status()
            phase.tick()
        waiting = set(names)
        while waiting:
            for name in sorted(waiting):
                jobs = client.get(f"/api/v1/runs/{name}/jobs").raise_for_status().json()["jobs"]
                states = {job["state"] for job in jobs}
                if states <= {"done", "failed", "cancelled"}:
                    waiting.discard(name)
                    phase.update(runs - len(waiting), runs, name)
                else:
                    break  # runs are audited in order: the first unfinished one tells enough
            time.sleep(0.2)
            phase.tick()


def read_truth(demo: Demo, truth: "subprocess.Popen[bytes]", screen: Screen) -> list[dict[str, Any]]:
    """Labels that the exhaustive tables gave, in a process that shares no code with the auditor."""
    with screen.phase("truth", "measuring the planted truth") as phase:
        while truth.poll() is None:
            phase.tick()
            time.sleep(0.1)
        if truth.returncode != 0:
            log = demo.folder / "truth.log"
            raise Unavailable(None, f"the truth tables failed: {tail(log)}", f"read {log}")
        return [json.loads(line) for line in _truth_file(demo).read_text().splitlines()]


def compare(
    demo: Demo, screen: Screen, labels: list[dict[str, Any]], families: dict[str, tuple[str, str]], started: float
) -> Report:
    """Verify the ledger, then read everything back from it."""
    with screen.phase("verify", "re-deriving every hash"):
        ledger = SqliteLedger(demo.store / "ledger.db")
        try:
            found = verify(ledger)
            verified = {"records": found.records, "verified": found.intact and found.complete,
                        "problems": list(found.problems)}  # fmt: skip
            seconds = screen.seconds | {"total": round(time.monotonic() - started, 2)}
            return collect(ledger, labels, families, verified, seconds)
        finally:
            ledger.close()


def _show(console: Console, report: Report, demo: Demo) -> None:
    console.print(verdict_table(report.verdicts))
    for line in summary_lines(report):
        console.print(line, highlight=False)
    for line in report.summary["failed"]:
        console.print(f"FAILED {line}", highlight=False, markup=False)
    console.print(f"Dashboard: {demo.address}/", highlight=False)


def _stay(console: Console, demo: Demo, server: "subprocess.Popen[bytes]") -> None:
    console.print("Press Ctrl-C to stop.")
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    while not stop.wait(0.5):
        if server.poll() is not None:
            raise Unavailable(None, f"the server stopped: {tail(demo.folder / 'server.log')}", "read .demo/server.log")


@contextmanager
def _graph(demo: Demo, screen: Screen) -> Iterator[dict[str, str]]:
    """Settings of the graph store; starts a real Neo4j when asked to."""
    if not demo.neo4j:
        yield {}
        return
    port, password = free_port(), "demo-" + os.urandom(8).hex()
    log = demo.folder / "neo4j.log"
    shutil.rmtree(demo.folder / "neo4j", ignore_errors=True)
    command = [sys.executable, str(ROOT / "deploy" / "neo4j" / "run"), "--port", str(port), "--data",
               str(demo.folder / "neo4j"), "--password", password]  # fmt: skip
    with running("Neo4j", command, log) as child:
        with screen.phase("neo4j", "starting Neo4j") as phase:
            deadline = time.monotonic() + 600
            while "bolt://" not in (log.read_text(errors="replace") if log.is_file() else ""):
                if child.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(None, f"Neo4j did not start: {tail(log)}", f"read {log}")
                phase.tick()
                time.sleep(0.2)
        yield {"AUDITOR_GRAPH": f"bolt://127.0.0.1:{port}", "AUDITOR_NEO4J_PASSWORD": password}


@contextmanager
def _preparing(demo: Demo) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "auditor", "prepare", "--models", str(demo.models), "--cache",
               str(demo.folder / "cache"), "--json"]  # fmt: skip
    with running("auditor prepare", command, demo.folder / "prepare.log", {"OMP_NUM_THREADS": "1"}) as child:
        yield child


@contextmanager
def _upstream(demo: Demo, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`transformers serve` on loopback; offline, so that nothing is looked up anywhere."""
    home = demo.folder / "hf"
    (home / "hub").mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port),
        "--device", "cpu", "--default-seed", "0", "--model-timeout", "-1",
    ]  # fmt: skip
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home.resolve()), "OMP_NUM_THREADS": "1"}
    # Started beside the weights, so that a family's name is the name of its model.
    with running("transformers serve", command, demo.folder / "upstream.log", environment, cwd=WEIGHTS) as child:
        yield child


@contextmanager
def _server(demo: Demo, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    cache = demo.store / "cache"
    demo.store.mkdir(parents=True, exist_ok=True)
    cache.symlink_to((demo.folder / "cache").resolve(), target_is_directory=True)
    command = [sys.executable, "-m", "auditor", "serve", "--port", str(demo.port), "--data", str(demo.store),
               "--models", str(demo.models), "--workers", "1"]  # fmt: skip
    with running("the server", command, demo.folder / "server.log", environment) as child:
        yield child


def _truth_file(demo: Demo) -> Path:
    """Where these labels are kept: named by everything they depend on, so that the same tables are not run twice."""
    planted = ROOT / "agents" / "planted"
    parts = [WEIGHTS / family / "recipe.json" for family in demo.families]
    parts += sorted(planted.glob("*.py"))
    key = hashlib.sha256(f"{demo.seed} {demo.per_family} {demo.families}".encode())
    for part in parts:
        key.update(part.read_bytes())
    return demo.folder / "cache" / f"truth-{key.hexdigest()[:16]}.jsonl"


@contextmanager
def _truth(demo: Demo) -> Iterator["subprocess.Popen[bytes]"]:
    file = _truth_file(demo)
    command = [sys.executable, "-m", "agents.planted", "truth", "--families", ",".join(demo.families), "--seed",
               str(demo.seed), "--per-family", str(demo.per_family), "--out", str(file)]  # fmt: skip
    if file.is_file():
        command = [sys.executable, "-c", ""]
    with running("the truth tables", command, demo.folder / "truth.log", {"OMP_NUM_THREADS": "1"}) as child:
        yield child


def _all_runs(client: httpx2.Client, expected: int, tick: Any) -> list[str]:
    """Run ids once all of them have been structured."""
    deadline = time.monotonic() + 60
    while True:
        names: list[str] = []
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
            page = client.get("/api/v1/runs", params=query).raise_for_status().json()
            names += [row["run"] for row in page["items"]]
            cursor = page.get("next")
            if not cursor:
                break
        if len(names) >= expected:
            return names
        if time.monotonic() > deadline:
            raise Unavailable(None, f"only {len(names)} of {expected} runs were recorded", "read .demo/server.log")
        tick()
        time.sleep(0.2)


def _lines(command: list[str], log: Path, what: str, tick: Any, check: bool = True) -> Iterator[str]:
    """Lines a child prints as they come; `tick` is called at least twice a second while it is silent."""
    with log.open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True)
        done = threading.Event()

        def ticking() -> None:
            while not done.wait(0.5):
                tick()

        threading.Thread(target=ticking, daemon=True).start()
        try:
            assert child.stdout is not None
            yield from (line for line in child.stdout if line.strip())
            code = child.wait()
        finally:
            done.set()
            if child.poll() is None:
                child.kill()
    if check and code != 0:
        raise Unavailable(None, f"{what} failed with code {code}: {tail(log)}", f"read {log}")


def _run_quietly(command: list[str], what: str, tick: Any, environment: dict[str, str] | None = None) -> None:
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        env=os.environ | (environment or {}),
    )  # fmt: skip
    while True:
        try:
            output, _ = child.communicate(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            tick()
    if child.returncode != 0:
        raise Unavailable(None, f"{what} failed: {output.strip()[-400:]}", "correct it and run the demo again")


def _recipe(family: str) -> str:
    """Start of the corpus digest in the family's recipe: another recipe is another corpus."""
    file = WEIGHTS / family / "recipe.json"
    if not file.is_file():
        raise BadSetup(None, f"the planted model {family} is missing", "run make planted")
    digest: str = json.loads(file.read_text())["corpus_sha256"]
    return digest[:12]


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())
