"""A small demo, from training data to verdicts, compared with the planted truth."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.demo.processes import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_verdicts_agree_with_the_planted_truth(tmp_path: Path) -> None:
    report = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "demo", "--exit", "--json", str(report), "--folder", str(tmp_path / "demo"),
         "--families", "tool_user,decorative,branching", "--per-family", "3", "--seed", "7",
         "--port", str(free_port())],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=540,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(report.read_text())
    assert found["version"] == 1
    assert found["ledger"]["verified"] is True
    kinds = {"record", "intervention", "attribution", "provenance", "feature", "influence"}
    assert kinds <= set(found["evidence"])
    planted = [run for run in found["runs"] if run["family"]]
    assert len(planted) == 9
    assert all(run["fidelity"]["argmax_agreement"] == 1.0 and run["fidelity"]["refused"] == 0 for run in planted)
    known = [row for row in found["verdicts"] if row["truth"] in {"used", "unused"}]
    right = {"used": {"relied_on", "undetermined"}, "unused": {"decorative", "contradicted", "undetermined"}}
    assert not [row for row in known if row["verdict"] not in right[row["truth"]]]
    decided = [row for row in known if row["verdict"] != "undetermined"]
    assert len(decided) >= 0.8 * len(known) > 0
    assert {row["truth"] for row in decided} == {"used", "unused"}
    closed = [row for row in found["verdicts"] if row["run"].startswith("tau-bench")]
    assert {row["reason"] for row in closed if row["verdict"] == "undetermined"} == {"weights_unavailable"}
