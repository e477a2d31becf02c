"""A short, seeded slice of the fuzz bench: every parser takes its corpus and some hundred mutations of it."""

import importlib.util
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

CASES = 250


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[f"fuzz_{name}"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


targets, mutation = _load("targets"), _load("mutation")


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda one: one.name)
def test_nothing_but_documented_errors_comes_out(target: Any) -> None:
    check, seeds, draw = target.make(), list(target.seeds()), Random(7)
    assert seeds
    for case in seeds:
        check(case)
    for _ in range(CASES):
        case = mutation.mutate(draw.choice(seeds), draw, 16_384)
        try:
            check(case)
        except Exception as fault:
            fault.add_note(f"case: {case[:2000]!r}")
            raise
