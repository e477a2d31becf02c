"""What calls used, cost and took, as the audit API and the command tell it."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.cli import cli
from auditor.views.scoped import ProjectHealth
from auditor.views.totals import Totals, sentences, totals

SLASHES = quote("demo/tool-user/0001", safe="")


def get(client: TestClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def priced(world: Any, world_module: Any) -> Any:
    world_module.priced_run(world)
    return world


def test_a_run_sums_what_is_known_and_counts_what_is_not(client: TestClient, priced: Any) -> None:
    expected = {
        "calls": 5, "input": 1210, "output": 350, "cache_read": 1000, "cache_write": None, "reasoning": 300,
        "without_tokens": 3, "without_output": 2, "cost": "0.000000000000000123", "without_price": 1,
        "prices": ["list-2026-11"],
    }  # fmt: skip
    row = next(row for row in get(client, "/runs?limit=1")["items"] if row["run"] == "priced")
    assert row["usage"] == get(client, "/runs/priced")["usage"] == expected


def test_a_run_without_usage_has_no_sum_and_no_zero(client: TestClient) -> None:
    usage = get(client, f"/runs/{SLASHES}")["usage"]
    assert (usage["input"], usage["cost"], usage["without_tokens"]) == (None, None, usage["calls"])
    assert usage["calls"] > 0


def test_every_call_says_how_it_went(client: TestClient, priced: Any) -> None:
    failed, retry, unpriced, cancelled, crashed = get(client, "/runs/priced/calls")["items"]
    assert [failed["status"], failed["outcome"], failed["total_ms"], failed["first_content_ms"]] == [
        429, "complete", 80.0, None,
    ]  # fmt: skip
    assert retry["retry_of"] == failed["id"]
    assert (retry["first_content_ms"], retry["total_ms"]) == (412.5, 3250.0)
    assert retry["cost"] == {"usd": "0.000000000000000123", "prices": "list-2026-11", "model": "gpt-4o*"}
    assert retry["tokens"]["reasoning"] == 300
    assert retry["step"] == priced.steps["retry"]
    assert retry["redactions"] == [
        {"rule": "keys", "where": "request", "count": 3, "values": 2},
        {"rule": "email", "where": "response", "count": 4, "values": 1},
    ]
    assert "11" * 32 not in json.dumps(retry), "hashes of masked values are not for lists"
    assert (unpriced["no_cost"], unpriced["continues"]) == ("no price", retry["id"])
    assert (cancelled["outcome"], cancelled["no_cost"]) == ("client_cancelled", "not given")
    assert cancelled["total_ms"] is None
    assert (crashed["outcome"], crashed["status"]) == ("crashed", None)


def test_calls_come_in_pages_and_keep_their_numbers(client: TestClient, priced: Any) -> None:
    page = get(client, "/runs/priced/calls?limit=2")
    rest = get(client, f"/runs/priced/calls?limit=9&cursor={page['next']}")
    assert [call["number"] for call in page["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert rest["next"] is None


def test_a_call_whose_record_is_gone_says_so_and_hides_nothing_else(client: TestClient) -> None:
    calls = get(client, f"/runs/{SLASHES}/calls")["items"]
    assert all(call["missing"] and call["times"] is None and call["no_cost"] == "not given" for call in calls)


def test_the_new_answers_are_documented(client: TestClient) -> None:
    document = get_document(client)
    assert "/v1/runs/{run}/calls" in document["paths"]
    forms = document["components"]["schemas"]
    assert {"tokens", "cost", "times", "redactions", "outcome"} <= set(forms["CallView"]["properties"])
    assert "usage" in forms["RunRow"]["properties"]


def get_document(client: TestClient) -> Any:
    return client.get("/api/openapi.json").json()


def test_a_key_of_one_project_sees_its_own_watermarks(world: Any) -> None:
    mine = ProjectHealth(world.health, "default", lambda: {"queued": 1})
    assert [one.project for one in mine.watermarks()] == ["default"]
    others = ProjectHealth(world.health, "other", lambda: {"queued": 0})
    assert others.watermarks() == []
    told, nothing = mine.view(), others.view()
    assert told["recorded"] == {"accepted": 9, "durable": 8, "projected": 7, "runs": 3, "evidence_attached": 2}
    assert (told["jobs"], nothing["jobs"], nothing["recorded"]) == ({"queued": 1}, {"queued": 0}, {})
    assert told["trouble"] == world.health.trouble and told["workers"]["alive"] == 1


@given(st.lists(st.decimals(0, 10**6, places=18), max_size=40))
@settings(deadline=None)
def test_sums_of_costs_are_exact(prices: list[Decimal]) -> None:
    calls = [{"tokens": {"input": 1}, "cost": {"usd": f"{price:f}", "prices": "p"}} for price in prices]
    found = totals(calls).cost
    assert found is None if not prices else Decimal(found or "") == sum(prices, Decimal(0))
    assert found is None or "e" not in found.lower()


@pytest.mark.parametrize("usd", ["NaN", "Infinity", "1e999999999", "", "x", None, 3, "9" * 5000])
def test_a_cost_that_is_none_counts_as_missing(usd: Any) -> None:
    found = totals([{"tokens": {"input": 5}, "cost": {"usd": usd, "prices": "p"}}])
    assert (found.cost, found.without_price, found.input) == (None, 1, 5)


def test_structures_of_older_versions_have_no_tokens() -> None:
    assert totals([{"id": "a", "outputs": ["m"]}]) == Totals(calls=1, without_tokens=1)


def test_the_command_prints_tokens_and_cost(tmp_path: Path, world_module: Any) -> None:
    built = world_module.World(tmp_path)
    world_module.priced_run(built)
    built.ledger.close()
    store = ["--data", str(tmp_path), "--ledger", f"sqlite:///{tmp_path / 'ledger.db'}"]
    told = CliRunner().invoke(cli, ["show", "priced", *store], catch_exceptions=False).output
    flat = " ".join(told.split())
    assert "tokens: 1,210 in, 350 out (of these 1,000 read from cache, 300 reasoning)" in flat
    assert "3 of 5 calls gave no usage, 2 of them without any output" in flat
    assert "cost: $0.000000000000000123 by prices list-2026-11; no price for 1 of 5 calls" in flat
    as_json = json.loads(CliRunner().invoke(cli, ["show", "priced", "--json", *store], catch_exceptions=False).output)
    assert as_json["usage"]["cost"] == "0.000000000000000123"
    assert as_json["structure"]["calls"][1]["tokens"]["input"] == 1200
    (row,) = json.loads(CliRunner().invoke(cli, ["show", "--json", *store], catch_exceptions=False).output)["runs"]
    assert row["usage"]["input"] == 1210


def test_nothing_known_is_said_in_words() -> None:
    assert sentences(Totals(calls=1, without_tokens=1)) == [
        "tokens: not given; 1 of 1 call gave no usage", "cost: not given",
    ]  # fmt: skip
