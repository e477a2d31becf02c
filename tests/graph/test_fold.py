"""Folding writes only what changed."""

from graph.fold import fold, fresh, materialise
from graph.model import Node, Relation


def test_what_does_not_change_is_not_written_again() -> None:
    node = Node(id="a", kind="Entity", type="Claim", label="x", attrs={"n": 1})
    relation = Relation(source="a", target="b", type="used", grade="read", attrs={"effect": 1})
    known = {"a": node, "b": Node(id="b", kind="Entity", type="Claim")}
    again = fold([(7, [node, Node(id="a", kind="Entity", type="Claim")], [relation])], known, {relation.id: relation})
    assert (again.nodes, again.relations) == ({}, {})
    truth = Node(id="a", kind="Entity", type="Claim", attrs={"n": True})
    assert list(fold([(8, [truth], [])], known, {}).nodes) == ["a"]
    zero, minus = (Node(id="z", kind="Entity", type="Claim", attrs={"n": value}) for value in (0.0, -0.0))
    assert list(fold([(9, [minus], [])], {"z": zero}, {}).nodes) == ["z"]


def test_only_new_positions_are_fresh() -> None:
    records = materialise([(3, [], []), (1, [], []), (4, [], []), (4, [], []), (2, [], [])])
    assert [position for position, _, _ in fresh(records, 2)] == [3, 4]
    assert fresh(records, 4) == []
