"""The audit API keeps what its OpenAPI document promises: schemathesis drives every operation over a small ledger."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

from auditor.ledger.verify import verify
from auditor.views.api import build_api
from auditor.views.api.paths import RawPath

EXAMPLES = 10
"""Per operation."""
NOT_HERE = {"ignored_auth", "positive_data_acceptance"}
"""The API of this app has no gate: who may do what is tested with the server. And a cursor that nobody gave fits its
schema, yet is refused, with a documented status."""


@pytest.fixture
def schema(tmp_path: Path) -> Iterator[Any]:
    """The OpenAPI document of an app over the recorded world."""
    place = Path(__file__).parents[1] / "auditor" / "views" / "world.py"
    spec = importlib.util.spec_from_file_location("schema_world", place)
    assert spec is not None and spec.loader is not None
    module = sys.modules["schema_world"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    world = module.build_world(tmp_path)
    app = FastAPI()
    app.mount("/api", build_api(
        ledger=world.ledger, graph=world.graph, audits=world.audits, health=world.health,
        verify=lambda: verify(world.ledger),
    ))  # fmt: skip
    app.add_middleware(RawPath)  # as the server has it
    yield schemathesis.openapi.from_asgi("/api/openapi.json", app)
    world.ledger.close()


def test_every_operation_answers_as_it_is_documented(schema: Any) -> None:
    checks = [check for check in CHECKS.get_all() if check.__name__ not in NOT_HERE]
    faults: list[str] = []
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def drive(case: Any) -> None:
            case.call_and_validate(checks=checks)

        try:
            drive()
        except (Exception, BaseExceptionGroup) as fault:  # noqa: BLE001 - all operations are driven, then all faults told
            faults.append(f"{operation.label}: {fault}")
    assert not faults, "\n\n".join(faults)
