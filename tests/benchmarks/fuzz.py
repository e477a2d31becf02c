"""Every parser under hostile bytes: `make bench NAME=fuzz` (ARGS="--cases 100000 --only openai_chat").

Each parser runs in processes of its own. The first 20,000 cases are coverage-guided by atheris (libFuzzer) where that
is installed; the others are seeded mutations of the corpus, and of every case that found new paths before: without
instrumentation they cost a third. Half of the mutations change JSON as JSON; one case in a hundred is blown up to at
most 256 KiB. A case fails when anything but
the parser's documented errors comes out, when what it gives cannot be recorded, when it takes more than 2 s of CPU time
or lets the process grow by more than 300 MB. A process that hangs or dies fails too.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests" / "fuzz"
sys.path.insert(0, str(ROOT))

CASE_SECONDS, CASE_BYTES = 2.0, 300 * 2**20
MOST_CASE = 8_192
LARGE_CASE, ONE_IN = 2**18, 100
"""One seeded case in a hundred is blown up to at most 256 KiB."""
MOST_FINDINGS = 20
HANG_SECONDS = 60


def load(name: str) -> Any:
    spec = spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[f"fuzz_{name}"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tally:
    """Runs cases and keeps what failed, each kind of fault once."""

    def __init__(self, check: Callable[[bytes], None], out: Path) -> None:
        self._check, self._out = check, out
        self.cases = 0
        self.slowest = 0.0
        self.findings: dict[str, dict[str, Any]] = {}
        self._began = time.monotonic()
        self._peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def run(self, case: bytes) -> None:
        self.cases += 1
        started = time.process_time()
        try:
            self._check(case)
        except RecursionError:
            self.keep("RecursionError", case)
        except Exception:  # noqa: BLE001 - a fault of any kind is what is looked for
            lines = traceback.format_exc().strip().splitlines()
            frames = [line.strip() for line in lines if line.strip().startswith("File") and "/auditor/" in line]
            self.keep(f"{lines[-1][:160]} @ {frames[-1] if frames else lines[-3].strip()}", case)
        took = time.process_time() - started
        self.slowest = max(self.slowest, took)
        if took > CASE_SECONDS:
            self.keep(f"slow: more than {CASE_SECONDS} s", case)
        if self.cases % 16 == 0 or took > 0.05:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if peak - self._peak > CASE_BYTES:
                self.keep("memory: more than 300 MB", case)
            self._peak = max(self._peak, peak)

    def keep(self, what: str, case: bytes) -> None:
        if what not in self.findings and len(self.findings) < MOST_FINDINGS:
            self.findings[what] = {"case": case.hex()[:80_000], "at": self.cases, "times": 0}
            self.write()
        if what in self.findings:
            self.findings[what]["times"] += 1

    def write(self, *, done: bool = False) -> None:
        self._out.write_text(
            json.dumps(
                {
                    "cases": self.cases,
                    "seconds": round(time.monotonic() - self._began, 1),
                    "slowest": round(self.slowest, 3),
                    "peak_mb": round(self._peak / 2**20),
                    "findings": self.findings,
                    "done": done,
                }
            )
        )


def work(name: str, cases: int, seed: int, out: Path, guided: bool) -> None:
    """In the parser's own process: run the cases, write what was found, end."""
    warnings.simplefilter("ignore")
    targets, mutation = load("targets"), load("mutation")
    target = next(one for one in targets.TARGETS if one.name == name)
    if not guided:
        tally, draw = Tally(target.make(), out), Random(seed)
        seeds = list(target.seeds())
        for case in seeds[:cases]:
            tally.run(case)
        found = out.parent / f"{name}.corpus"
        seeds += [path.read_bytes() for path in sorted(found.glob("*"))] if found.is_dir() else []
        while tally.cases < cases:
            case = mutation.mutate(draw.choice(seeds), draw, MOST_CASE)
            tally.run(case if draw.randrange(ONE_IN) else mutation.grow(case, draw, LARGE_CASE))
        tally.write(done=True)
        return
    import atheris

    # The parsers alone: what checks their results is only slower with it.
    with atheris.instrument_imports(include=["auditor.capture", "auditor.access", "auditor.settings"]):
        check = target.make()
    corpus = out.parent / f"{name}.corpus"
    corpus.mkdir()
    for number, case in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(case)
    tally = Tally(check, out)

    def one(data: bytes) -> None:
        tally.run(data)
        if tally.cases >= cases:
            tally.write(done=True)
            os._exit(0)

    def custom(data: bytes, most: int, number: int) -> bytes:
        draw = Random(number)
        if draw.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return bytes(mutation.mutate(data, draw, most))

    atheris.Setup(
        [
            sys.argv[0],
            f"-seed={seed + 1}",
            f"-max_len={MOST_CASE}",
            "-timeout=30",
            "-rss_limit_mb=3000",
            "-verbosity=0",
            "-print_final_stats=0",
            f"-artifact_prefix={out.parent}/{name}.",
            str(corpus),
        ],
        one,
        custom_mutator=custom,
    )
    atheris.Fuzz()


def fuzz(name: str, cases: int, seed: int, folder: Path, guided: int) -> dict[str, Any]:
    """One parser: `guided` cases by coverage, the rest seeded; what both found."""
    first = process(name, min(cases, guided), seed, folder, True) if guided else None
    if first is None or cases <= guided:
        return first or process(name, cases, seed, folder, False)
    then = process(name, cases - first["cases"], seed, folder, False)
    return {
        "cases": first["cases"] + then["cases"], "seconds": round(first["seconds"] + then["seconds"], 1),
        "slowest": max(first["slowest"], then["slowest"]), "peak_mb": max(first["peak_mb"], then["peak_mb"]),
        "findings": {**then["findings"], **first["findings"]},
    }  # fmt: skip


def process(name: str, cases: int, seed: int, folder: Path, guided: bool) -> dict[str, Any]:
    """One parser in its own process; what it found."""
    out = folder / f"{name}.{'guided' if guided else 'seeded'}.json"
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--work",
        name,
        "--cases",
        str(cases),
        "--seed",
        str(seed),
        "--out",
        str(out),
        *(["--guided"] if guided else []),
    ]
    with out.with_suffix(".log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        try:
            code = child.wait(timeout=HANG_SECONDS + cases / 20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            code = -1
    found: dict[str, Any] = (
        json.loads(out.read_text())
        if out.exists()
        else {"cases": 0, "seconds": 0.0, "slowest": 0.0, "peak_mb": 0, "findings": {}, "done": False}
    )
    if code != 0 or not found["done"]:
        left = sorted(path.name for path in folder.glob(f"{name}.*-*"))
        end = out.with_suffix(".log").read_bytes()[-300:].decode("utf-8", "replace")
        case = (folder / left[0]).read_bytes().hex()[:80_000] if left else ""
        found["findings"][f"the process ended with {code}: {end}"] = {"case": case, "at": found["cases"], "times": 1}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="Only this parser; may be repeated.")
    parser.add_argument("--loop", action="store_true", help="The seeded loop, even where atheris is installed.")
    parser.add_argument("--guided-cases", type=int, default=20_000, help="How many of them by coverage.")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--findings", type=Path, help="Write cases that failed to this file.")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.cases, options.seed, options.out, options.guided)
        return
    guided = 0 if find_spec("atheris") is None or options.loop else options.guided_cases
    names = [one.name for one in load("targets").TARGETS if not options.only or one.name in options.only]
    how = f"the first {guided} coverage-guided by atheris" if guided else "seeded mutations, atheris is not used"
    print(f"{len(names)} parsers, {options.cases} cases each, {how}", flush=True)
    print(
        f"{'parser':26} {'cases':>8} {'seconds':>8} {'cases/s':>8} {'slowest':>8} {'MB':>5} {'faults':>6}", flush=True
    )
    figures: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.at_once) as pool:
        running = {name: pool.submit(fuzz, name, options.cases, options.seed, Path(folder), guided) for name in names}
        named = {future: name for name, future in running.items()}
        for future in as_completed(named):
            name, found = named[future], future.result()
            rate = found["cases"] / found["seconds"] if found["seconds"] else 0
            print(
                f"{name:26} {found['cases']:8} {found['seconds']:8} {rate:8.0f} {found['slowest']:8}"
                f" {found['peak_mb']:5} {len(found['findings']):6}",
                flush=True,
            )
            for what, one in found["findings"].items():
                print(f"    {what} ({one['times']}×, first in case {one['at']})", flush=True)
            kept[name] = found["findings"]
            figures[name] = {key: found[key] for key in ("cases", "seconds", "slowest", "peak_mb")} | {
                "faults": len(found["findings"])
            }
    if options.findings:
        options.findings.write_text(json.dumps(kept, indent=1))
    least = min(one["cases"] for one in figures.values())
    faults = sum(one["faults"] for one in figures.values())
    bars = [
        {"what": "fewest cases of a parser", "value": least, "bar": ">= 100000", "holds": least >= 100_000},
        {"what": "crashes, unhandled errors", "value": faults, "bar": "<= 0", "holds": faults == 0},
    ]
    for one in bars:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    figures = {"parsers": figures, "guided": guided}
    print(json.dumps({"bench": "fuzz", "figures": figures, "bars": bars, "machine": machine}))


if __name__ == "__main__":
    main()
