"""The recorded world, and an API over it."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from auditor.ledger.verify import verify
from auditor.views.api import build_api


@pytest.fixture(scope="session")
def world_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("views_world", Path(__file__).with_name("world.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["views_world"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def world(world_module: ModuleType, tmp_path: Path) -> Iterator[Any]:
    built = world_module.build_world(tmp_path)
    yield built
    built.ledger.close()


@pytest.fixture
def client(world: Any) -> Iterator[TestClient]:
    app = FastAPI()
    app.mount(
        "/api",
        build_api(
            ledger=world.ledger,
            graph=world.graph,
            audits=world.audits,
            health=world.health,
            verify=lambda: verify(world.ledger),
        ),
    )
    with TestClient(app) as client:
        yield client
