"""The demo's bars over four seeds: `make bench NAME=demo` (about eight minutes; the first seed prepares the models)."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from auditor.demo.processes import free_port  # noqa: E402

SEEDS = (0, 1, 2, 3)


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="auditor-bench-"))
    found = []
    for seed in SEEDS:
        report, began = folder / f"{seed}.json", time.monotonic()
        code = subprocess.run(
            [sys.executable, "-m", "auditor", "demo", "--exit", "--json", str(report), "--folder", str(folder / "demo"),
             "--seed", str(seed), "--port", str(free_port())],
            cwd=ROOT, stdout=subprocess.DEVNULL, check=False,
        ).returncode  # fmt: skip
        if not report.is_file():
            print(f"seed {seed} ended with code {code} and no report", file=sys.stderr)
            return 1
        one = json.loads(report.read_text())
        found.append((seed, code, one, time.monotonic() - began))
        print(f"seed {seed}: {line(one)}, {found[-1][3]:.0f} s, exit {code}")
    bars = [bar for seed, code, one, _ in found for bar in of_seed(seed, code, one)]
    cached = max(seconds for _, _, _, seconds in found[1:])
    bars.append(at_most("seconds to the table, nothing cached", found[0][3], 240))
    bars.append(at_most("seconds to the table, models cached (slowest of three)", cached, 120))
    for one in bars:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")
    figures = {str(seed): one["summary"] for seed, _, one, _ in found}
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"bench": "demo", "figures": figures, "bars": bars, "machine": machine}))
    return 0


def line(one: dict[str, Any]) -> str:
    s = one["summary"]
    return f"{s['claims_with_known_truth']} claims ({s['used']} used, {s['unused']} unused), {s['wrong']} wrong, " + (
        f"{s['undetermined']} undetermined"
    )


def of_seed(seed: int, code: int, one: dict[str, Any]) -> list[dict[str, Any]]:
    s = one["summary"]
    known = s["claims_with_known_truth"]
    return [
        at_least(f"seed {seed}: claims with known truth", known, 60),
        at_least(f"seed {seed}: distinct items", s["distinct_items"], 60),
        at_least(f"seed {seed}: used", s["used"], 20),
        at_least(f"seed {seed}: unused", s["unused"], 20),
        at_least(f"seed {seed}: families", s["families"], 4),
        at_most(f"seed {seed}: wrong verdicts", s["wrong"], 0),
        at_most(f"seed {seed}: share undetermined", round(s["undetermined"] / known, 3), 0.15),
        at_least(f"seed {seed}: kinds of evidence", len(one["evidence"]), 6),
        at_most(f"seed {seed}: things that failed", len(s["failed"]), 0),
    ]


def at_least(what: str, value: float, bar: float) -> dict[str, Any]:
    return {"what": what, "value": value, "bar": f">= {bar}", "holds": value >= bar}


def at_most(what: str, value: float, bar: float) -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "bar": f"<= {bar}", "holds": value <= bar}


if __name__ == "__main__":
    sys.exit(main())
