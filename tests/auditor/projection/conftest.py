"""A ledger with recorded runs, their structures, evidence and verdicts, and empty graph stores."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.ledger.sqlite import SqliteLedger
from auditor.records.evidence import Arm, Estimate, Evidence, Interval, Source
from auditor.records.exchange import Gap
from auditor.records.structure import Claim, Structure
from auditor.records.verdict import Audit, Verdict
from auditor.records.wire import write
from auditor.structure.build import build
from auditor.structure.threads import group
from graph import GraphStore
from graph.memory import MemoryGraph
from graph.sqlite_store import SqliteGraph


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


neo4j_server = _load("projection_neo4j", Path(__file__).parents[2] / "contracts" / "conftest.py").neo4j_server
"""The real server of the contract tests."""


@pytest.fixture(scope="session")
def runs() -> ModuleType:
    return _load("projection_runs", Path(__file__).parents[1] / "structure" / "runs.py")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def memory() -> MemoryGraph:
    return MemoryGraph()


@pytest.fixture
def stores(tmp_path: Path, memory: MemoryGraph) -> Iterator[list[GraphStore]]:
    disk = SqliteGraph(tmp_path / "graph.db")
    yield [memory, disk]
    disk.close()


class World:
    """Appends what the other rooms would append."""

    def __init__(self, ledger: Ledger, runs: ModuleType) -> None:
        self.ledger = ledger
        self.runs = runs

    def add(self, kind: str, value: object, project: str = "default") -> Stored:
        (stored,) = self.ledger.append([Entry(kind=kind, source="test", body=write(value), project=project)])
        return stored

    def structure(
        self, calls: list[Any], spans: list[Any] = (), project: str = "default", version: int = 1
    ) -> Structure:  # type: ignore[assignment]
        for call in calls:
            self.add("exchange", self.runs.exchange_of(call), project)
        for span in spans:
            self.add("span", span.span, project)
        (thread,) = group(calls, spans)
        made = build(thread, self.ledger.put, version)
        self.add("structure", made, project)
        return made

    def evidence(
        self, structure: Structure, claim: Claim, kind: str, effect: float | None = 4.1, **more: Any
    ) -> Stored:
        interval = Interval(low=3.8, high=4.4, level=0.95, method="t", n=32, population="swaps")
        estimate = Estimate(name="effect", value=effect, unit="nats", interval=interval if effect is not None else None)
        source = Source(label="a source", span=claim.sources[0], effect=estimate)
        body: dict[str, Any] = {
            "run": structure.run, "claim": claim.id, "call": claim.call, "kind": kind, "method": f"{kind}@1",
            "target": claim.target, "target_tokens": None, "sources": (source,),
        }  # fmt: skip
        if kind == "intervention":
            families = ("swap", "mask", "placebo")
            arms = (Arm(family=one, n=32, effects="0", mean=estimate, margin=None) for one in families)  # type: ignore[arg-type]
            body["arms"] = tuple(arms)
        return self.add("evidence", Evidence(**(body | more)))

    def verdict(self, structure: Structure, claim: Claim, evidence: Stored, word: str = "relied_on") -> Stored:
        effect = Estimate(name="effect", value=4.1, unit="nats")
        return self.add("verdict", Verdict(
            run=structure.run, claim=claim.id, verdict=word, reason=None, text="It moved the answer.", effect=effect,  # type: ignore[arg-type]
            method="intervention@1", findings=(), evidence=(evidence.id,), protocol="EP-1.0",
        ))  # fmt: skip

    def everything(self) -> Structure:
        """Three runs, an audit, all kinds of evidence, verdicts, a gap and a record that cannot be read."""
        runs = self.runs
        shop = self.structure(runs.one_tool(run="shop"))
        self.structure(runs.tree(run="boxes"), [runs.span(6, run="boxes", selection=runs.SELECTION)])
        self.structure(runs.stepwise(run="shop"), project="other")
        claim = next(one for one in shop.claims if one.type == "tool_answer")
        self.add("audit", Audit(run="shop", requested_by="me", structure="0", methods=(), jobs=(), protocol="EP-1.0"))
        proof = self.evidence(shop, claim, "intervention")
        self.evidence(shop, claim, "provenance", effect=0.4)
        self.evidence(shop, claim, "attribution")
        effect = Estimate(name="score", value=2.0, unit="1")
        for kind in ("feature", "influence"):
            self.evidence(shop, claim, kind, sources=(Source(label="it", span=None, effect=effect, ref=f"{kind}-7"),))
        self.verdict(shop, claim, proof)
        self.add("gap", Gap(what="span", why="the batch was cut off", run="shop"))
        self.ledger.append([Entry(kind="evidence", source="test", body={"run": "shop", "nonsense": True})])
        return shop


@pytest.fixture
def world(ledger: SqliteLedger, runs: ModuleType) -> World:
    return World(ledger, runs)


Make = Callable[..., Any]
