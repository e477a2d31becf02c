"""What one project sees of the ledger and of the graph."""

from pathlib import Path

import pytest

from auditor.errors import NotFound
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.views.scoped import ProjectGraph, ProjectLedger
from graph.model import Node, Relation, Subgraph


def test_records_of_others_are_not_there(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    try:
        body = {"what": "w", "why": "y", "run": "r", "record": None}
        stored = ledger.append([Entry(kind="gap", source="s", project=name, body=body) for name in ("shop", "bank")])
        mine = ProjectLedger(ledger, "shop")
        assert [one.id for one in mine.records()] == [stored[0].id]
        assert [one.id for one in mine.records(project="bank", kinds=["gap"], run="r")] == [stored[0].id]
        assert mine.record(stored[0].id) == stored[0]
        with pytest.raises(NotFound):
            mine.record(stored[1].id)
        assert mine.append([Entry(kind="gap", source="s", project="bank", body=body)])[0].record.project == "shop"
    finally:
        ledger.close()


def test_nodes_of_others_are_not_there() -> None:
    nodes = tuple(Node(id=name, kind="Entity", type="Message", run=run)
                  for name, run in (("a", "shop/r"), ("b", "bank/r"), ("m", None)))  # fmt: skip
    relations = tuple(Relation(source=one, target="m", type="used", grade="recorded") for one in ("a", "b"))

    class Whole:
        def neighbourhood(self, *_: object) -> Subgraph:
            return Subgraph(nodes=nodes, relations=relations)

        ancestors = neighbourhood

    graph = ProjectGraph(Whole(), lambda: {"shop/r"}.__contains__)  # type: ignore[arg-type]
    found = graph.ancestors("a")
    assert [node.id for node in found.nodes] == ["a", "m"] and [one.source for one in found.relations] == ["a"]
    assert graph.neighbourhood("b").nodes == ()
