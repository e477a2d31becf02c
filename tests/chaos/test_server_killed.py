"""The server is killed under load: what it acknowledged is there, once, and the ledger verifies (20 rounds)."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.alone
def test_killed_under_load_nothing_promised_is_lost(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("durability_bench", BENCHES / "durability.py")
    assert spec is not None and spec.loader is not None
    bench = sys.modules["durability_bench"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    found = bench.trial(tmp_path, 20, 1, progress=lambda _: None)
    assert found["broken"] == [] and found["verifies"], found["problems"]
    assert found["spans_promised"] > 1000 and found["calls_promised"] > 40 and found["whole_answers_promised"] > 10
    assert (found["spans_doubled"], found["calls_altered"]) == (0, 0)
    assert (found["spans_lost"], found["calls_lost"], found["calls_short"], found["calls_doubled"]) == (0, 0, 0, 0)
    assert found["outcomes"].get("crashed", 0) > 5
