"""The openai client and LangChain against a real model: `transformers serve` on a planted one, through the server."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.planted.words import HIGHEST, ITEMS, LOWEST
from auditor.demo.processes import free_port, running, wait_for

pytestmark = [pytest.mark.clients, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
MODES = ("openai", "langchain")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of `transformers serve`; nothing is looked up anywhere."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "hf" / "hub").mkdir(parents=True)
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port),
               "--device", "cpu", "--default-seed", "0", "--model-timeout", "-1"]  # fmt: skip
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
    log = folder / "upstream.log"
    with running("transformers serve", command, log, environment, ROOT / "agents" / "planted" / "weights") as child:
        wait_for(f"http://127.0.0.1:{port}/health", child, log, "transformers serve", 120, lambda: None)
        yield port


@pytest.fixture(scope="module")
def talked(
    core: Path, model: int, relay: Any, open_bench: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """(the server's bench, what each mode said and should, bytes on both sides of the server)."""
    folder = tmp_path_factory.mktemp("planted")
    behind = relay(target=model)
    with open_bench(behind.address, folder) as bench:
        before = relay(target=bench.port)
        chance = random.Random(11)
        asked = {mode: (item, str(chance.randint(LOWEST, HIGHEST)))
                 for mode, item in zip(MODES, chance.sample(ITEMS, len(MODES)), strict=True)}  # fmt: skip
        jobs = [{"mode": mode, "base": before.address, "item": item, "price": price}
                for mode, (item, price) in asked.items()]  # fmt: skip
        done = subprocess.run(
            [core, "-s", "-E", Path(__file__).parent / "programs" / "drive_planted.py", json.dumps(jobs)], cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder)}, capture_output=True, text=True, check=True, timeout=240,
        )  # fmt: skip
        said = {one["mode"]: one for one in map(json.loads, done.stdout.splitlines())}
        deadline = time.monotonic() + 30
        while bench.api("/healthz")["recorded"]["exchanges"] < 2 * len(MODES) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield bench, asked, said, before, behind


@pytest.mark.parametrize("mode", MODES)
def test_a_real_models_loop_is_one_run(mode: str, talked: Any) -> None:
    bench, asked, said, _, _ = talked
    item, price = asked[mode]
    assert "error" not in said[mode], said[mode]["error"]
    assert price in said[mode]["answer"] and item in said[mode]["answer"]
    runs = bench.settled(item, 2, exchanges=2 * len(MODES))
    assert len(runs) == 1
    steps = bench.steps(runs[0]["run"])
    kinds = [one["kind"] for one in steps if one["kind"] != "prompt"]
    assert kinds == ["model_call", "tool_call", "tool_result", "model_call", "answer"]
    structure = bench.structure(runs[0]["run"])
    assert structure["gaps"] == [] and {one["grade"] for one in steps} == {"recorded"}
    assert all(call["tokens"]["input"] > 0 and call["tokens"]["output"] > 0 for call in structure["calls"])


def test_every_byte_is_the_same_on_both_sides(talked: Any) -> None:
    _, _, _, before, behind = talked
    client = sorted((sent.line, sent.body, got.body) for sent, got in before.exchanges())
    upstream = sorted((sent.line, sent.body, got.body) for sent, got in behind.exchanges(waiting=False))
    assert len(client) == 2 * len(MODES)
    assert client == upstream
