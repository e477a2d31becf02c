"""Importing does nothing, and the server runs without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROBE = """
import json, sys, threading, os
before = set(os.listdir("."))
import {module}
print(json.dumps({{
    "heavy": sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "transformers", "langchain"}}),
    "threads": threading.active_count(),
    "files": sorted(set(os.listdir(".")) - before),
}}))
"""


def probe(module: str, folder: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "importing must print nothing"
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("module", ["auditor.app", "auditor.cli", "auditor.evidence.catalogue", "graph", "agents"])
def test_import_loads_no_torch_starts_nothing_and_writes_nothing(module: str, tmp_path: Path) -> None:
    assert probe(module, tmp_path) == {"heavy": [], "threads": 1, "files": []}
