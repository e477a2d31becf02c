"""Recorded traffic through the proxy: the same bytes out, and the call that the official SDK makes of them.

A short slice of `make bench NAME=wire`, which does every exchange in every split.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.capture.dialects import parse_exchange
from auditor.records.exchange import Exchange
from auditor.records.messages import COUNT_ONLY, Call, Message, Other, Reasoning, Text, ToolCall, ToolResult
from auditor.records.wire import read


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cassettes, accumulated = _load("cassettes"), _load("accumulated")
Received = sys.modules["scripted_upstream"].Received  # loaded by conftest
Relayed = list[tuple[Any, Exchange, Call]]


@pytest.fixture
def relayed(
    shared_data: Path, serve: Callable[..., Any], upstream: Any, reply: Any
) -> Callable[[str, str, int], Relayed]:
    """(folder, split, most) -> what was recorded of that many exchanges, each checked on its way."""

    def drive(folder: str, split: str, most: int) -> Relayed:
        server = serve(upstreams={"openai": upstream.address, "anthropic": upstream.address})
        everything = cassettes.read_cassettes(shared_data / "wire")
        tapes = [one for one in everything if isinstance(one, cassettes.Recorded) and one.name.startswith(f"{folder}/")]
        assert len(tapes) > 20
        if most < len(tapes):  # a handful: streams first, for they are what can be split
            tapes = sorted(tapes, key=lambda one: (not one.is_stream, len(one.body)))[:most]
        for number, one in enumerate(tapes):
            chunked = one.is_stream or split == "1-byte splits"
            upstream.script = [reply(status=f"{one.status} {one.reason}", headers=one.headers,
                                     pieces=one.pieces(split), chunked=chunked)]  # fmt: skip
            answer = cassettes.ask(server.port, one, step=str(number))
            assert cassettes.differences(one, answer, upstream.received[-1]) == [], one.name
        assert len(upstream.received) == len(tapes)
        found: Relayed = []
        for stored in server.records(len(tapes), timeout=10):
            exchange = read(Exchange, dict(stored.record.body))
            one = tapes[int(exchange.joins.step or -1)]
            request = server.ledger.payload(exchange.request) if exchange.request else b""
            response = server.ledger.payload(exchange.response) if exchange.response else b""
            assert (request, response, exchange.relayed) == (one.sent, one.body, len(one.body)), one.name
            found.append((one, exchange, parse_exchange(stored.id, exchange, request, response)))
        return found

    return drive


@pytest.mark.parametrize(
    ("folder", "split", "most"),
    [("anthropic", "as recorded", 1000), ("openai", "one block", 1000), ("openai_responses", "as recorded", 1000),
     ("anthropic", "1-byte splits", 6), ("openai", "1-byte splits", 3), ("openai_responses", "1-byte splits", 3)],
)  # fmt: skip
def test_recorded_traffic(folder: str, split: str, most: int, relayed: Callable[[str, str, int], Relayed]) -> None:
    compared = 0
    for one, exchange, call in relayed(folder, split, most):
        if exchange.dialect is None or call.about == COUNT_ONLY:
            continue
        sdk = accumulated.by_sdk(exchange.dialect, one.body, one.headers, one.status, one.is_stream)
        assert sdk is not None, one.name
        assert accumulated.compare(exchange.dialect, call, sdk) == [], one.name
        compared += 1
    assert compared >= min(most, 20)


SAID = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "S"},
        {"type": "text", "text": "see", "citations": [{"type": "page_location", "cited_text": "quoted"}]},
        {"type": "tool_use", "id": "t", "name": "price", "input": {"item": "lamp"}},
        {"type": "web_search_tool_result", "tool_use_id": "w", "content": [{"type": "web_search_result", "url": "u"}]},
        {"type": "fallback", "from": {"model": "strong"}},
    ],
    "usage": {"input_tokens": 3, "output_tokens": 4},
}  # fmt: skip
PARTS = (
    Reasoning(text="hm", signature="S"),
    Text(text="see", extra={"citations": [{"type": "page_location", "cited_text": "quoted"}]}),
    ToolCall(call_id="t", name="price", arguments='{"item":"lamp"}'),
    ToolResult(call_id="w", name=None, text="", extra={"content": [{"type": "web_search_result", "url": "u"}]}),
    Other(kind="fallback", data={"type": "fallback", "from": {"model": "strong"}}),
)
CALL = Call(
    record="r", model="m", messages=(), outputs=(Message(role="assistant", parts=PARTS),), finish=("tool_use",),
    usage={"input_tokens": 3, "output_tokens": 4}, response_id="msg_1",
)  # fmt: skip


@pytest.mark.parametrize("gone", [None, "finish", "usage", "response_id", *range(len(PARTS))])
def test_the_comparison_sees_what_is_missing(gone: str | int | None) -> None:
    body, headers = json.dumps(SAID).encode(), [("content-type", "application/json")]
    sdk = accumulated.by_sdk("anthropic_messages", body, headers, 200, False)
    call = CALL
    if isinstance(gone, int):
        parts = PARTS[:gone] + PARTS[gone + 1 :]
        call = replace(CALL, outputs=(Message(role="assistant", parts=parts),))
    elif gone is not None:
        call = replace(CALL, **{gone: {"finish": ("stop",), "usage": {"input_tokens": 3}, "response_id": "x"}[gone]})
    assert bool(accumulated.compare("anthropic_messages", call, sdk)) == (gone is not None)


@pytest.mark.parametrize("changed", [None, "status", "body", "headers", "request line", "sent", "sent headers"])
def test_the_comparison_of_bytes_sees_what_changed(changed: str | None) -> None:
    one = cassettes.Recorded(
        name="n", method="POST", path="/v1/messages?beta=true", upstream="anthropic", sent=b"{}",
        sent_headers=[("X-Api-Key", "k")], status=200, reason="OK", headers=[("Content-Type", "text/plain")], body=b"a",
    )  # fmt: skip
    answer = cassettes.Answer(
        status=500 if changed == "status" else 200, reason="OK", body=b"b" if changed == "body" else b"a",
        headers=[("content-type", "text/html" if changed == "headers" else "text/plain")],
    )  # fmt: skip
    received = Received(
        line=b"POST /v1/messages HTTP/1.1" if changed == "request line" else b"POST /v1/messages?beta=true HTTP/1.1",
        headers=[(b"x-api-key", b"k"), *([(b"x-audit-run", b"r")] if changed == "sent headers" else [])],
        body=b"{ }" if changed == "sent" else b"{}",
    )  # fmt: skip
    assert len(cassettes.differences(one, answer, received)) == (changed is not None)
