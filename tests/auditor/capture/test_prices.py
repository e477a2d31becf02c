"""Tokens in one arithmetic, and costs that are exact or absent."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.conventions import observe
from auditor.capture.dialects import parse_exchange
from auditor.capture.dialects.catalogue import DIALECTS
from auditor.capture.prices import Prices, cost, read_prices
from auditor.capture.usage import tokens
from auditor.errors import BadInput
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import Cost, Usage
from auditor.records.telemetry import TelemetrySpan

CLAUDE = "anthropic_messages"

TOKENS: list[tuple[str, dict[str, Any], Usage | None]] = [
    ("openai_chat", {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                     "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                     "completion_tokens_details": {"reasoning_tokens": 3}},
     Usage(input=10, output=5, cache_read=4, reasoning=3)),
    ("openai_chat", {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8},
     Usage(input=10, output=5, cache_read=8)),
    ("openai_completions", {"prompt_tokens": 2, "completion_tokens": 1}, Usage(input=2, output=1)),
    ("openai_embeddings", {"prompt_tokens": 2, "total_tokens": 2}, Usage(input=2)),
    ("openai_responses", {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 2},
                          "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 29},
     Usage(input=20, output=9, cache_read=12, cache_write=2, reasoning=7)),
    (CLAUDE, {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
              "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
              "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}},
     Usage(input=123, output=7, cache_read=100, cache_write=20, reasoning=4)),
    (CLAUDE, {"input_tokens": 3, "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
              "output_tokens": 0}, Usage(input=6, output=0, cache_write=3)),
    (CLAUDE, {"output_tokens": 7}, Usage(output=7)),
    ("openai_chat", {"prompt_tokens": True, "completion_tokens": -1, "prompt_tokens_details": [1]}, None),
    ("openai_chat", {}, None),
    ("morse", {"prompt_tokens": 1}, None),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "usage", "wanted"), TOKENS)
def test_tokens(dialect: str, usage: dict[str, Any], wanted: Usage | None) -> None:
    assert tokens(dialect, usage) == wanted


def test_every_dialect_counts_its_tokens() -> None:
    figures = {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1}
    for dialect in DIALECTS:
        assert tokens(dialect.name, figures) is not None, dialect.name


SONNET = {"input_tokens": 100, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 10,
          "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
          "output_tokens": 7}  # fmt: skip
COSTS: list[tuple[str, str, dict[str, Any], str | None]] = [
    # 100 * 3 + 1000 * 0.3 + 6 * 3.75 + 4 * 6 + 7 * 15 = 751.5 millionths
    (CLAUDE, "claude-sonnet-4-5-20250929", SONNET, "0.0007515"),
    (CLAUDE, "claude-sonnet-4-5", SONNET | {"service_tier": "standard", "inference_geo": "global"}, "0.0007515"),
    (CLAUDE, "claude-sonnet-4-5", SONNET | {"service_tier": "batch"}, None),
    (CLAUDE, "claude-sonnet-4-5", SONNET | {"inference_geo": "us"}, None),
    # 200001 * 6 + 1 * 22.5: the whole call at the long rates
    (CLAUDE, "claude-sonnet-4-5", {"input_tokens": 200_001, "output_tokens": 1}, "1.2000285"),
    (CLAUDE, "claude-sonnet-4-5", {"input_tokens": 200_000, "output_tokens": 0}, "0.6"),
    (CLAUDE, "claude-opus-4-6", {"input_tokens": 200_001, "output_tokens": 1}, None),
    (CLAUDE, "claude-haiku-4-5", {"input_tokens": 0, "output_tokens": 0,
                                  "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 9}}, "0.03"),
    (CLAUDE, "claude-haiku-4-5", {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"new_requests": 1}}, None),
    # 10 * 1 + 1 * 5, and an advisor's 10 * 5 + 1 * 25
    (CLAUDE, "claude-haiku-4-5", {"input_tokens": 10, "output_tokens": 1, "iterations": [
        {"type": "message", "input_tokens": 10, "output_tokens": 1},
        {"type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 10, "output_tokens": 1}]}, "0.00009"),
    (CLAUDE, "claude-haiku-4-5", {"input_tokens": 10, "output_tokens": 1, "iterations": [
        {"type": "advisor_message", "model": "claude-unheard-of", "input_tokens": 10, "output_tokens": 1}]}, None),
    (CLAUDE, "claude-haiku-4-5", {"output_tokens": 1}, None),
    # 6 * 2.5 + 4 * 1.25 + 5 * 10
    ("openai_chat", "gpt-4o", {"prompt_tokens": 10, "completion_tokens": 5,
                               "prompt_tokens_details": {"cached_tokens": 4}}, "0.00007"),
    ("openai_chat", "gpt-4o-2024-08-06", {"prompt_tokens": 10, "completion_tokens": 0}, "0.000025"),
    ("openai_chat", "gpt-4o-2024-05-13", {"prompt_tokens": 10, "completion_tokens": 0}, "0.00005"),
    ("openai_chat", "gpt-4o-audio-preview", {"prompt_tokens": 10, "completion_tokens": 0}, None),
    ("openai_chat", "gpt-4o", {"prompt_tokens": 1, "completion_tokens": 0,
                               "prompt_tokens_details": {"cached_tokens": 4}}, None),
    ("openai_responses", "gpt-5-mini", {"input_tokens": 1_000_000, "output_tokens": 1_000_000}, "2.25"),
    ("openai_embeddings", "text-embedding-3-small", {"prompt_tokens": 1_000_000}, "0.02"),
    ("openai_chat", "planted/tool@main", {"prompt_tokens": 10, "completion_tokens": 0}, None),
    ("openai_chat", "gpt-4o", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "model", "usage", "usd"), COSTS)
def test_costs(dialect: str, model: str, usage: dict[str, Any], usd: str | None) -> None:
    found = cost(read_prices(), dialect, model, usage)
    assert (None if found is None else found.usd) == usd
    assert found is None or found.prices == read_prices().version


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50))
@settings(max_examples=100, deadline=None)
def test_a_cost_is_exact(fresh: int, read: int, output: int) -> None:
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read, "output_tokens": output}
    found = cost(read_prices(), CLAUDE, "claude-opus-4-5", usage)
    assert found is not None
    assert int(Decimal(found.usd) * 10_000_000) == fresh * 50 + read * 5 + output * 250


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "iterations", "model", "cached_tokens",
        "cache_creation", "ephemeral_1h_input_tokens", "server_tool_use", "web_search_requests", "service_tier",
        "prompt_tokens_details", "cache_creation_input_tokens", "inference_geo"]), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([
    "input_tokens", "output_tokens", "iterations", "cache_creation", "prompt_tokens", "service_tier", "server_tool_use",
]), ANY, max_size=6))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_usage_is_read_without_an_error(usage: dict[str, Any]) -> None:
    for dialect, model in (("openai_chat", "gpt-4o"), ("openai_responses", "o3"), (CLAUDE, "claude-sonnet-4-5")):
        found = cost(read_prices(), dialect, model, usage)
        assert found is None or Decimal(found.usd) >= 0
        tokens(dialect, usage)


def test_the_shipped_table_is_sound() -> None:
    prices = read_prices()
    assert len(prices.entries) > 30 and prices.source
    names = [entry.match for entry in prices.entries]
    assert len(set(names)) == len(names)
    for entry in prices.entries:
        assert prices.of(entry.match.split("*")[0].split("[")[0] or "") is not None or "[" in entry.match, entry.match
        assert entry.rates.cache_read <= entry.rates.input <= entry.rates.cache_write_1h


def test_a_table_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"version": "ours", "source": "contract", "currency": "USD", "models": [
        {"match": "planted/*", "input": "0.1", "output": 0.3}]}))  # fmt: skip
    prices = read_prices(path)
    found = cost(prices, "openai_chat", "planted/tool", {"prompt_tokens": 10, "completion_tokens": 10})
    assert found == Cost(usd="0.000004", prices="ours", model="planted/*")
    assert cost(prices, "openai_chat", "gpt-4o", {"prompt_tokens": 10, "completion_tokens": 10}) is None


BAD: list[tuple[Any, str]] = [
    ("{", "no JSON"), ({"models": {}}, "models"), ({"models": [], "currency": "EUR", "version": "1"}, "USD"),
    ({"models": [], "currency": "USD"}, "version"), ([7], "models.0"),
    ([{"match": "m", "output": "1"}], "models.0.input"),
    ([{"match": "m", "input": "1"}], "output"), ([{"match": "m", "input": "-1", "output": "1"}], "no price"),
    ([{"match": "m", "input": "NaN", "output": "1"}], "no price"),
    ([{"match": "m", "input": "1", "output": "1", "above": "many"}], "above"),
    ([{"match": "m", "input": "1", "output": "1", "above": 5, "long": 3}], "long"),
    ([{"match": "m", "input": "1", "output": "1", "requests": []}], "requests"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "said"), BAD)
def test_a_wrong_table_says_what_is_wrong(table: Any, said: str, tmp_path: Path) -> None:
    whole = {"version": "1", "currency": "USD", "models": table} if isinstance(table, list) else table
    path = tmp_path / "prices.json"
    path.write_text(whole if isinstance(whole, str) else json.dumps(whole))
    with pytest.raises(BadInput, match=said):
        read_prices(path)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_prices(tmp_path / "none.json")


def test_a_parsed_exchange_has_tokens_and_cost() -> None:
    exchange = Exchange(
        dialect="openai_chat", method="POST", path="/v1/chat/completions", upstream="openai", status=200,
        outcome="complete", request=None, response=None, request_headers={}, response_headers={},
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=0,
    )  # fmt: skip
    request = b'{"model":"gpt-4o","messages":[]}'
    response = b'{"choices":[],"usage":{"prompt_tokens":1000000,"completion_tokens":0}}'
    call = parse_exchange("r", exchange, request, response)
    assert call.tokens == Usage(input=1_000_000, output=0)
    assert call.cost == Cost(usd="2.5", prices=read_prices().version, model="gpt-4o")
    none = Prices(version="none", source="", entries=())
    assert parse_exchange("r", exchange, request, response, none).cost is None
    assert parse_exchange("r", exchange, request, b"").tokens is None


SPANS: list[tuple[dict[str, Any], str | None]] = [
    ({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}, "0.000075"),
    # 6 * 2.5 + 4 * 1.25 + 5 * 10
    ({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
      "gen_ai.usage.cache_read.input_tokens": 4}, "0.00007"),
    ({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
      "gen_ai.openai.response.service_tier": "flex"}, None),
    ({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10}, None),
    ({"gen_ai.request.model": "unheard", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}, None),
    # written to the cache, for how long is not told
    ({"gen_ai.request.model": "claude-haiku-4-5", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
      "gen_ai.usage.cache_creation.input_tokens": 4}, None),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "usd"), SPANS)
def test_a_call_that_only_a_span_tells_of_has_its_cost(attributes: dict[str, Any], usd: str | None) -> None:
    span = TelemetrySpan(
        trace_id="a" * 32, span_id="b" * 16, parent_span_id=None, name="chat", kind=3, started=None, ended=None,
        attributes={"gen_ai.operation.name": "chat", **attributes}, resource={}, scope="x", status="unset",
    )  # fmt: skip
    found = observe(span, prices=read_prices())
    assert found is not None and found.call is not None and found.call.tokens is not None
    assert (None if found.call.cost is None else found.call.cost.usd) == usd
