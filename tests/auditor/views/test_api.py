"""The audit API over a real ledger and graph: answers, filters, pages, commands."""

from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from auditor.evidence.catalogue import METHODS
from auditor.records.evidence import REASONS

LAMP = quote("demo/tool-user/0001", safe="")


def get(client: TestClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def test_runs_are_listed_newest_first_with_current_verdicts(client: TestClient) -> None:
    page = get(client, "/runs?limit=2")
    assert [row["run"] for row in page["items"]] == ["demo/tool-user/0001", "hostile/<b>&\"' run"]
    assert page["items"][0]["verdicts"] == {
        "relied_on": 1, "decorative": 1, "contradicted": 1, "undetermined": 1, "untested": 1,
    }  # fmt: skip
    assert page["items"][0]["fidelity"]["argmax_agreement"] == 1.0
    assert page["items"][0]["fidelity"]["max_logprob_gap"] is None


def test_pages_join_into_the_whole_list_and_stay_stable_while_runs_arrive(
    client: TestClient, world: Any, world_module: Any
) -> None:
    first = get(client, "/runs?limit=10")
    world_module.small_run(world, 900)
    seen, cursor = [row["run"] for row in first["items"]], first["next"]
    while cursor:
        page = get(client, f"/runs?limit=10&cursor={cursor}")
        seen += [row["run"] for row in page["items"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 28
    assert "small-900" not in seen
    assert get(client, "/runs?limit=1")["items"][0]["run"] == "small-900"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=lamp", 1), ("q=SMALL-00", 10), ("model=gpt-4o", 1), ("agent=react", 1), ("verdict=untested", 1),
        ("verdict=relied_on&agent=chain", 6), ("q=nothing-like-it", 0),
    ],
)  # fmt: skip
def test_filters_narrow_the_list(client: TestClient, query: str, expected: int) -> None:
    assert len(get(client, f"/runs?limit=100&{query}")["items"]) == expected


def test_facets_name_what_can_be_filtered(client: TestClient) -> None:
    facets = get(client, "/facets")
    assert facets["runs"] == 28
    assert "gpt-4o" in facets["models"]
    assert facets["verdicts"]["undetermined"] == len(REASONS) + 1 + 6


@pytest.mark.parametrize("name", ["demo%2Ftool-user%2F0001", "demo/tool-user/0001"])
@pytest.mark.parametrize(
    "part", ["", "/steps", "/messages", "/claims", "/verdicts", "/findings", "/shape", "/jobs", "/why"]
)
def test_run_ids_with_slashes_work_encoded_and_raw(client: TestClient, name: str, part: str) -> None:
    assert get(client, f"/runs/{name}{part}")


def test_a_run_whose_id_ends_like_a_route_is_reached_when_encoded(
    client: TestClient, world: Any, world_module: Any
) -> None:
    placed = world_module.place([world_module.Message(role="user", parts=(world_module.Text(text="x"),))])
    world.structure("odd/steps", placed, [], [], calls=(), title="odd")
    assert get(client, "/runs/odd%2Fsteps")["title"] == "odd"
    assert get(client, "/runs/odd/steps", 404)["field"] == "run"


def test_a_run_says_what_is_missing_and_where_it_ended(client: TestClient, world: Any) -> None:
    run = get(client, f"/runs/{LAMP}")
    assert [gap["gap"]["what"] for gap in run["known_gaps"]] == [
        "The second call's span never arrived over OTLP.", "one OTLP batch was refused",
    ]  # fmt: skip
    assert run["outcome"] == world.steps["final"]
    assert run["evidence"] == {"intervention": 1, "attribution": 2, "provenance": 1, "feature": 1, "influence": 1}
    assert run["failed_findings"] == 1


def test_steps_have_depth_excerpt_and_claims(client: TestClient) -> None:
    steps = get(client, f"/runs/{LAMP}/steps")["items"]
    assert [step["depth"] for step in steps] == [0, 1, 2, 3, 4, 5, 6]
    assert steps[0]["excerpt"] == "How much is one lamp – in € please?"
    assert len(steps[-1]["claims"]) == 4


def test_a_long_run_comes_in_pages(client: TestClient) -> None:
    seen, cursor = [], ""
    while True:
        page = get(client, f"/runs/long/steps?limit=300{cursor}")
        seen += [step["step"]["order"] for step in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == list(range(700))


def test_messages_keep_their_parts_and_can_be_those_of_one_call(client: TestClient) -> None:
    everything = get(client, f"/runs/{LAMP}/messages")["items"]
    assert [message["role"] for message in everything] == ["system", "user", "assistant", "tool", "assistant"]
    assert everything[2]["parts"][1] == {
        "type": "tool_call", "call_id": "c1", "name": "lookup_price", "arguments": '{"item": "lamp"}', "extra": None,
    }  # fmt: skip
    first_call = get(client, f"/runs/{LAMP}/steps")["items"][1]["step"]["call"]
    assert len(get(client, f"/runs/{LAMP}/messages?call={first_call}")["items"]) == 3
    assert get(client, f"/messages/{everything[3]['id']}")["parts"][0]["text"].startswith('{"item"')


def test_a_message_whose_bytes_are_gone_says_so_and_hides_nothing_else(
    client: TestClient, world: Any, world_module: Any
) -> None:
    placed = world_module.place(
        [world_module.Message(role=role, parts=(world_module.Text(text=role),)) for role in ("user", "assistant")]
    )
    value = world_module.base_structure(world, "torn", placed, [], [])
    torn = world_module.replace(value.messages[0], payload="f" * 64)
    world.add("structure", world_module.replace(value, messages=(torn, value.messages[1])))
    messages = get(client, "/runs/torn/messages")["items"]
    assert messages[0]["parts"] is None
    assert messages[0]["missing"]
    assert messages[1]["parts"][0]["text"] == "assistant"


def test_the_current_verdict_is_the_latest_and_history_is_kept(client: TestClient, world: Any) -> None:
    claim = get(client, f"/claims/{world.claims['relied']}")
    assert claim["current"]["verdict"]["verdict"] == "relied_on"
    assert [item["verdict"]["verdict"] for item in claim["history"]] == ["undetermined", "relied_on"]
    assert claim["source_texts"] == ["37.5"]
    assert claim["target_text"] == "37.5"
    world.verdict(claim["run"], claim["claim"]["id"], "undetermined", reason="weights_changed")
    assert get(client, f"/claims/{world.claims['relied']}")["current"]["verdict"]["reason"] == "weights_changed"


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_reaches_the_reader(client: TestClient, world: Any, reason: str) -> None:
    claim = get(client, f"/claims/{world.claims[reason]}")
    assert claim["current"]["verdict"]["reason"] == reason
    assert claim["current"]["verdict"]["effect"]["value"] is None
    evidence = get(client, f"/claims/{world.claims[reason]}/evidence")["items"]
    assert [item["evidence"]["reason"] for item in evidence] == [reason]


def test_evidence_of_every_kind_says_what_it_may_prove(client: TestClient, world: Any) -> None:
    items = get(client, f"/claims/{world.claims['relied']}/evidence")["items"]
    kinds = {item["evidence"]["kind"]: item["may"] for item in items}
    assert set(kinds) == {"intervention", "attribution", "provenance", "feature", "influence"}
    assert kinds["provenance"] == "Shows what was read, never what was relied on."
    attention = next(item["evidence"] for item in items if item["evidence"]["kind"] == "provenance")
    assert attention["note"] == "read, not relied on"


def test_every_draw_of_an_arm_can_be_read(client: TestClient, world: Any) -> None:
    record = world.evidence["ablation"]
    draws = get(client, f"/evidence/{record}/arms/0/effects")["items"]
    assert len(draws) == 32
    assert draws[0]["replacement"] == "17.00"
    assert get(client, f"/evidence/{record}/arms/5/effects")["items"] == []
    assert get(client, f"/evidence/{record}/arms/9/effects", 404)["field"] == "arm"


def test_why_tells_the_grades_apart_and_reads_as_sentences(client: TestClient, world: Any) -> None:
    why = get(client, f"/steps/{world.steps['final']}/why")
    assert why["counts"] == {"causal": 2, "recorded": 6, "inferred": 2, "read": 1, "stated": 1}
    texts = [item["text"] for item in why["sentences"]]
    assert texts[0] == (
        'Changing tool result “{"item": "lamp", "price": 37.5, …}” moved answer “one lamp costs 37.5 €”: '
        "8.53 [8.11, 8.95] nats (ablation@1, swap)."
    )
    assert "hardly moved" in texts[1]
    assert any("read, not relied on" in text for text in texts)
    assert any("The agent says" in text and "verdict: relied on" in text for text in texts)
    assert any("ranked, not tested" in text for text in texts)
    assert [item["grade"] for item in why["chain"]] == ["causal", "recorded", "recorded", "recorded", "recorded"]
    thought = next(node for node in why["nodes"] if node["id"] == world.steps["thought"])
    assert thought["support"] == "recorded", "a measured nothing is no causal support"


def test_why_follows_only_the_grades_asked_for(client: TestClient, world: Any) -> None:
    why = get(client, f"/steps/{world.steps['final']}/why?grades=causal&min_effect=1")
    assert {item["grade"] for item in why["relations"]} == {"causal"}
    assert len(why["nodes"]) == 2


def test_the_outcome_of_a_run_is_asked_the_same_way(client: TestClient, world: Any) -> None:
    assert get(client, f"/runs/{LAMP}/why")["start"] == world.steps["final"]


def test_a_step_the_graph_has_not_seen_yet_is_unavailable_not_unknown(client: TestClient) -> None:
    problem = get(client, "/runs/long/why", 503)
    assert problem["code"] == "unavailable"
    assert "behind" in problem["detail"]


def test_neighbourhood_of_a_node(client: TestClient, world: Any) -> None:
    near = get(client, f"/graph/{world.steps['final']}/neighbourhood?hops=1")
    assert world.steps["result"] in {node["id"] for node in near["nodes"]}
    assert get(client, "/graph/feature:1:412/neighbourhood")["nodes"]
    assert get(client, "/graph/none/neighbourhood", 404)["field"] == "node"


def test_an_audit_is_accepted_once_and_its_jobs_are_shown(client: TestClient, world: Any) -> None:
    order = {"methods": ["ablation"], "options": {"replicates": 16}}
    first = client.post(f"/api/v1/runs/{LAMP}/audits", json=order)
    again = client.post(f"/api/v1/runs/{LAMP}/audits", json=order)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert world.audits.orders[0] == ("demo/tool-user/0001", ["ablation"], {"replicates": 16})
    jobs = get(client, f"/runs/{LAMP}/jobs")
    assert jobs["active"]
    assert jobs["jobs"][0]["done"] == 12


def test_an_audit_without_a_body_means_everything(client: TestClient, world: Any) -> None:
    assert client.post(f"/api/v1/runs/{LAMP}/audits").status_code == 202
    assert world.audits.orders == [("demo/tool-user/0001", None, {})]


def test_methods_ledger_records_and_verification(client: TestClient, world: Any) -> None:
    methods = get(client, "/methods")["items"]
    assert {method["name"] for method in methods} <= set(METHODS)
    assert methods and all(method["blind_spots"] for method in methods)
    head = get(client, "/ledger")
    assert head["records"] == world.ledger.head().position + 1
    record = get(client, f"/records/{world.evidence['ablation']}")
    assert record["record"]["kind"] == "evidence"
    verified = client.post("/api/v1/ledger/verification").json()
    assert verified["intact"] is True
    assert verified["records"] == head["records"]


def test_recording_trouble_is_shown(client: TestClient, world: Any) -> None:
    world.health.trouble = ["the disk is full"]
    assert get(client, "/health")["trouble"] == ["the disk is full"]
