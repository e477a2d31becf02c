"""Shared test rules: real parts skip with a reason, or fail when AUDITOR_REQUIRE_REAL=1."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

LONG = ("test_demo.py",)
"""Files that take minutes: begun first, so that a run on several cores does not wait for them at its end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


def real_part_missing(what: str, how: str) -> NoReturn:
    """Skip because a real part (Neo4j, Chromium…) is absent, or fail where real parts are required."""
    message = f"{what} is not available: {how}"
    if os.environ.get("AUDITOR_REQUIRE_REAL") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def shared_data() -> Path:
    """Folder of real traces that nobody here made; it is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real trace data is absent: {SHARED_DATA} does not exist")
    return SHARED_DATA
