"""A queue in a real ledger file, with a clock the test can move."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.jobs.plan import JobSpec, Requires
from auditor.jobs.queue import SqliteQueue
from auditor.ledger.sqlite import SqliteLedger


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    store = SqliteLedger(tmp_path / "ledger.db")
    yield store
    store.close()


@pytest.fixture
def queue(ledger: SqliteLedger, clock: Clock) -> Iterator[SqliteQueue]:
    made = SqliteQueue(ledger.path, ledger, clock)
    yield made
    made.close()


@pytest.fixture
def spec() -> "type[Spec]":
    return Spec


class Spec:
    """Short way to a JobSpec: Spec.of("a", model="m", depends=("b",))."""

    @staticmethod
    def of(
        id: str, kind: str = "evidence", run: str | None = "r", model: str | None = None, depends: tuple[str, ...] = ()
    ) -> JobSpec:
        return JobSpec(
            id=id, kind=kind, run=run, payload={"id": id}, requires=Requires(model=model), depends=depends
        )
