"""The slice tells grades apart, and the explanation is the shortest among the firmest chains."""

import time

from graph import Node, Relation, Subgraph
from graph.lineage import explanation, graded_slice, shortest_paths
from graph.model import Grade
from graph.query import subgraph


def link(source: str, target: str, grade: Grade, effect: float | None = None) -> Relation:
    return Relation(source=source, target=target, type="wasDerivedFrom", grade=grade, attrs={"effect": effect})


def graph(*relations: Relation) -> Subgraph:
    names = {name for item in relations for name in (item.source, item.target)}
    return subgraph((Node(id=name, kind="Entity", type="Message") for name in names), relations)


REFUND = graph(
    link("refund", "answer", "recorded"), link("answer", "tool", "causal", 4.1), link("answer", "thought", "stated"),
    link("thought", "tool", "recorded"), link("tool", "call", "recorded"), link("refund", "call", "inferred"),
    link("answer", "prompt", "read"), link("answer", "hint", "causal", -6.0), link("later", "refund", "recorded"),
)  # fmt: skip


def test_each_node_is_supported_by_the_weakest_link_of_its_firmest_chain() -> None:
    slice_ = graded_slice(REFUND, "refund")
    assert slice_.support == {"answer": "recorded", "tool": "recorded", "hint": "recorded", "call": "recorded",
                              "prompt": "read", "thought": "stated"}
    assert graded_slice(REFUND, "answer").support["tool"] == "causal"
    assert slice_.distance == {"answer": 1, "call": 1, "tool": 2, "thought": 2, "prompt": 2, "hint": 2}


def test_relations_are_grouped_by_grade_and_effects_ranked() -> None:
    slice_ = graded_slice(REFUND, "refund")
    assert {grade: len(items) for grade, items in slice_.by_grade.items()} == {
        "causal": 2, "recorded": 3, "inferred": 1, "read": 1, "stated": 1}
    assert [item.effect for item in slice_.strongest] == [-6.0, 4.1]
    alone = graded_slice(REFUND, "nowhere")
    assert alone.support == {} and alone.strongest == () and set(alone.by_grade) == set(slice_.by_grade)


def test_a_firm_detour_beats_a_guessed_short_cut() -> None:
    assert [item.grade for item in explanation(REFUND, "refund", "call")] == ["recorded", "causal", "recorded"]
    assert [item.target for item in explanation(REFUND, "refund", "thought")] == ["answer", "thought"]
    assert explanation(REFUND, "call", "refund") == ()
    assert explanation(REFUND, "refund", "refund") == ()
    assert [len(path) for path in shortest_paths(REFUND, "refund", "call", 5)] == [1, 3, 4]


def test_parallel_relations_show_the_firmest_then_the_largest_effect() -> None:
    twins = graph(link("a", "b", "stated"), link("a", "b", "causal", 0.1),
                  Relation(source="a", target="b", type="used", grade="causal", attrs={"effect": -0.9}))
    ((shown,),) = shortest_paths(twins, "a", "b", 9)
    assert shown.effect == -0.9


def test_a_graph_full_of_cycles_does_not_hold_the_search_up() -> None:
    """Every node points at every other but only the first reaches the goal: all other walks are dead ends."""
    names = [f"n{i:02}" for i in range(16)]
    tangle = [link(a, b, "recorded") for a in names for b in names if a != b]
    start = time.monotonic()
    found = shortest_paths(graph(link("start", names[0], "recorded"), link(names[0], "goal", "recorded"), *tangle),
                           "start", "goal", 3)
    assert [len(path) for path in found] == [2]
    assert time.monotonic() - start < 30
