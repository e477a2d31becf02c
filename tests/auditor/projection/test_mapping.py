"""What each record becomes, and what it never becomes."""

from dataclasses import replace
from typing import Any

from auditor.projection.follower import Follower
from auditor.projection.mapping import project
from auditor.projection.names import claim_node, record_node, run_key, run_node
from auditor.records.exchange import Gap
from graph import Node, Relation
from graph.memory import MemoryGraph


def _graph(world: Any, memory: MemoryGraph) -> tuple[dict[str, Node], list[Relation]]:
    Follower(world.ledger, memory).catch_up()
    found = memory.run_subgraph("shop")
    return {node.id: node for node in found.nodes}, list(found.relations)


def test_a_run_is_prov(world: Any, memory: MemoryGraph) -> None:
    shop = world.structure(world.runs.two_tools(run="shop"))
    nodes, relations = _graph(world, memory)
    kinds = {step.kind: (nodes[step.id].kind, nodes[step.id].type) for step in shop.steps}
    assert kinds == {
        "prompt": ("Entity", "Prompt"), "model_call": ("Activity", "AIModelInvocation"),
        "tool_call": ("Activity", "AgentTool"), "tool_result": ("Entity", "DataObject"),
        "answer": ("Entity", "ResponseData"),
    }  # fmt: skip
    assert nodes[run_node("shop")].type == "Run"
    orders = {step.id: step.order for step in shop.steps}
    inside = [one for one in relations if one.source in orders and one.target in orders]
    assert inside and all(orders[one.source] > orders[one.target] for one in inside), "relations point back in time"
    types = {(one.type, one.grade) for one in inside}
    assert {("used", "recorded"), ("wasGeneratedBy", "recorded"), ("wasInformedBy", "recorded")} <= types
    assert ("wasInfluencedBy", "stated") in types
    answer = shop.steps[-1]
    slice_ = {node.id for node in memory.ancestors(answer.id, grades={"recorded"}).nodes}
    assert {step.id for step in shop.steps} <= slice_


def test_a_call_uses_only_what_the_call_before_had_not_read(world: Any, memory: MemoryGraph) -> None:
    shop = world.structure(world.runs.two_tools(run="shop"))
    _, relations = _graph(world, memory)
    calls = [step for step in shop.steps if step.kind == "model_call"]
    kinds = {step.id: step.kind for step in shop.steps}
    used = [
        sorted(kinds[one.target] for one in relations if one.type == "used" and one.source == call.id) for call in calls
    ]
    assert used == [["prompt", "prompt"], ["tool_result"], ["tool_result"]]


def test_available_claims_are_not_drawn_as_said(world: Any, memory: MemoryGraph) -> None:
    shop = world.structure(world.runs.two_tools(run="shop"))
    _, relations = _graph(world, memory)
    grades = {one.key: one.grade for one in relations if one.type == "wasInfluencedBy"}
    assert grades == {claim.id: "stated" if claim.status == "stated" else "inferred" for claim in shop.claims}


def test_evidence_gets_the_grade_it_has_earned(world: Any, memory: MemoryGraph) -> None:
    shop = world.everything()
    nodes, relations = _graph(world, memory)
    claim = next(one for one in shop.claims if one.type == "tool_answer")
    between = [one for one in relations if (one.source, one.target) == (claim.target_step, claim.source_step)]
    causal = {one.attrs["family"]: one for one in between if one.grade == "causal"}
    assert set(causal) == {"swap", "mask"}, "controls are no causes"
    assert causal["swap"].effect == 4.1
    assert [causal["swap"].attrs[name] for name in ("low", "high", "unit", "n", "method")] == [
        3.8, 4.4, "nats", 32, "intervention@1",
    ]  # fmt: skip
    (read,) = [one for one in between if one.grade == "read"]
    assert read.effect == 0.4
    ranked = [one for one in between if one.attrs.get("method") == "attribution@1"]
    assert [(one.grade, one.effect, one.attrs["score"]) for one in ranked] == [("inferred", None, 4.1)]
    kinds = {nodes[one.target].type for one in relations if one.source == claim.target_step}
    assert {"Feature", "TrainingDocument"} <= kinds


def test_a_verdict_marks_claim_and_stated_relation(world: Any, memory: MemoryGraph) -> None:
    shop = world.everything()
    nodes, relations = _graph(world, memory)
    claim = next(one for one in shop.claims if one.type == "tool_answer")
    node = nodes[claim_node("shop", claim.id)]
    assert (node.attrs["verdict"], node.attrs["effect"], node.attrs["status"]) == ("relied_on", 4.1, "stated")
    (said,) = [one for one in relations if one.grade == "stated" and one.key == claim.id]
    assert said.attrs["verdict"] == "relied_on" and said.effect is None and said.attrs["rule"] == claim.found_by


def test_evidence_without_a_number_draws_nothing(world: Any, memory: MemoryGraph) -> None:
    shop = world.structure(world.runs.one_tool(run="shop"))
    claim = next(one for one in shop.claims if one.type == "tool_answer")
    world.evidence(shop, claim, "intervention", effect=None, reason="weights_unavailable")
    nodes, relations = _graph(world, memory)
    assert not [one for one in relations if one.grade == "causal"]
    assert [node.attrs["reason"] for node in nodes.values() if node.type == "Evidence"] == ["weights_unavailable"]


def test_projects_and_unreadable_records_stay_apart(world: Any, memory: MemoryGraph) -> None:
    world.everything()
    nodes, _ = _graph(world, memory)
    assert memory.node(run_node("other/shop")) is not None
    assert len([node for node in nodes.values() if node.type == "Gap"]) == 1
    last = list(world.ledger.records())[-1]
    (gap,), _ = project(last)
    assert gap.id == record_node("gap", last.id) and "evidence record" in str(gap.attrs["what"])


def test_no_payload_text_enters_the_graph(world: Any, memory: MemoryGraph) -> None:
    secret = "the sealed words " + "x" * 80 + " never to be copied"
    call = world.runs.recorded(0, [world.runs.said("user", secret)], world.runs.said("assistant", secret), run="shop")
    world.structure([call])
    nodes, relations = _graph(world, memory)
    texts = [item.label for item in (*nodes.values(), *relations)]
    texts += [str(value) for item in (*nodes.values(), *relations) for value in item.attrs.values()]
    assert not any("never to be copied" in text for text in texts)
    assert max(len(node.label) for node in nodes.values()) <= 80


def test_a_run_named_like_anothers_is_its_own_node(world: Any, stores: Any) -> None:
    world.structure(world.runs.one_tool(run="r1"), project="shop")
    world.structure(world.runs.one_tool(run="shop/r1"))
    for store in stores:
        Follower(world.ledger, store).catch_up()
        theirs, mine = (store.run_subgraph(run_key(*one)).nodes for one in (("shop", "r1"), ("default", "shop/r1")))
        assert len(theirs) == len(mine) > 3
        own = [{node.id for node in one if node.run is not None} for one in (theirs, mine)]
        assert own[0].isdisjoint(own[1])
    assert stores[0].digest() == stores[1].digest()


def test_nodes_without_a_run_say_their_project(world: Any) -> None:
    call = world.runs.recorded(0, [world.runs.said("user", "hello")], world.runs.said("assistant", "hi"))
    exchange = world.runs.exchange_of(call)
    homeless = world.add("exchange", replace(exchange, joins=replace(exchange.joins, run=None)), "shop")
    gap = world.add("gap", Gap(what="span", why="it was cut off"), "shop")
    housed = world.add("gap", Gap(what="span", why="it was cut off", run="r"), "shop")
    said = [project(one)[0][0] for one in (homeless, gap, housed)]
    assert [(node.run, node.attrs.get("project")) for node in said] == [
        (None, "shop"), (None, "shop"), ("shop/r", None),
    ]  # fmt: skip
