"""What one project sees of the ledger and of the graph."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from auditor.errors import NotFound
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.projection.names import owner
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


class Whole:
    """A graph of which every question gives everything."""

    def __init__(self, nodes: Iterable[Node], relations: Iterable[Relation] = ()) -> None:
        self._all = Subgraph(nodes=tuple(nodes), relations=tuple(relations))

    def neighbourhood(self, *_: object) -> Subgraph:
        return self._all

    ancestors = neighbourhood


def _node(name: str, run: str | None = None, **attrs: str) -> Node:
    return Node(id=name, kind="Entity", type="Message", run=run, attrs=attrs)


def _used(source: str, target: str, run: str | None) -> Relation:
    return Relation(source=source, target=target, type="used", grade="recorded", run=run)


def test_nodes_of_others_are_not_there() -> None:
    nodes = [_node("a", "shop/r"), _node("b", "bank/r"), _node("c", "r"), _node("model")]
    relations = [_used("a", "model", "shop/r"), _used("b", "model", "bank/r"), _used("c", "model", "r")]
    for project, own in (("shop", "a"), ("bank", "b"), ("default", "c")):
        graph = ProjectGraph(Whole(nodes, relations), project, owner)  # type: ignore[arg-type]
        found = graph.ancestors(own)
        assert [node.id for node in found.nodes] == [own, "model"]
        assert [one.source for one in found.relations] == [own]
        assert all(not graph.neighbourhood(one).nodes for one in {"a", "b", "c"} - {own})


def test_nodes_without_a_run_belong_to_their_project() -> None:
    nodes = [_node("exchange:a", project="shop"), _node("exchange:b", project="bank"), _node("exchange:old")]
    graph = ProjectGraph(Whole(nodes), "shop", owner)  # type: ignore[arg-type]
    assert [node.id for node in graph.neighbourhood("exchange:a").nodes] == ["exchange:a"]
    assert graph.neighbourhood("exchange:b").nodes == () == graph.neighbourhood("exchange:old").nodes


def test_what_is_shared_is_shown_to_those_who_used_it() -> None:
    nodes = [_node("a", "shop/r"), _node("b", "bank/r"), _node("common"), _node("secret-tune"), _node("run:bank/alias")]
    relations = [
        _used("a", "common", "shop/r"), _used("b", "common", "bank/r"), _used("b", "secret-tune", "bank/r"),
        _used("run:bank/alias", "b", "bank/r"), _used("secret-tune", "common", None),
    ]  # fmt: skip
    graph = ProjectGraph(Whole(nodes, relations), "shop", owner)  # type: ignore[arg-type]
    found = graph.neighbourhood("common", 6)
    assert [node.id for node in found.nodes] == ["a", "common"] and len(found.relations) == 1
