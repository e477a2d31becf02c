"""Recorded Anthropic Messages bytes -> calls: every kind of block, streams, echoes, damaged bodies."""

import gzip
import json
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.dialects import anthropic_messages, parse_exchange
from auditor.capture.dialects.anthropic_stream import assemble
from auditor.capture.dialects.catalogue import by_route
from auditor.capture.stream import SseDecoder, SseEvent
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import (
    COUNT_ONLY,
    Call,
    Message,
    Other,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    message_id,
    place,
)  # fmt: skip
from auditor.records.wire import read, write
from auditor.structure.build import build
from auditor.structure.inputs import recorded_call
from auditor.structure.threads import group

SSE = {"content-type": "text/event-stream; charset=utf-8"}
ASK = b'{"model":"claude","max_tokens":9,"messages":[]}'


def exchange(headers: dict[str, str], path: str = "/v1/messages") -> Exchange:
    return Exchange(
        dialect="anthropic_messages", method="POST", path=path, upstream="anthropic", status=200,
        outcome="complete", request=None, response=None, request_headers={}, response_headers=headers,
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=0,
    )  # fmt: skip


def parse(request: bytes, response: bytes, headers: dict[str, str] | None = None, path: str = "/v1/messages") -> Call:
    return anthropic_messages.parse("r", exchange(headers or {}, path), request, response)


def asked(*messages: Any, **more: Any) -> Call:
    return parse(json.dumps({"model": "m", "max_tokens": 9, "messages": list(messages), **more}).encode(), b"{}")


def answered(*blocks: Any, **more: Any) -> Call:
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(blocks),
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 2},
            **more}  # fmt: skip
    return parse(ASK, json.dumps(body).encode())


def parts_of(*blocks: Any) -> tuple[Part, ...]:
    return asked({"role": "assistant", "content": list(blocks)}).messages[0].parts


def stream_bytes(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events).encode()


def streamed(*events: dict[str, Any]) -> Call:
    return parse(ASK, stream_bytes(*events), SSE)


def start(**more: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
               "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 1}, **more}  # fmt: skip
    return {"type": "message_start", "message": message}


def block(index: int, opened: dict[str, Any], *deltas: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield {"type": "content_block_start", "index": index, "content_block": opened}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", **more: Any) -> list[dict[str, Any]]:
    return [{"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
             "usage": {"output_tokens": 7}, **more}, {"type": "message_stop"}]  # fmt: skip


def test_a_request_with_every_kind_of_message() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    call = asked(
        {"role": "user", "content": "Grüße"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "toolu_1", "name": "price", "input": {"item": "lamp", "n": 2**60}},
            {"type": "tool_use", "id": "toolu_2", "name": "stock", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "4"},
            {"type": "text", "text": "and"},
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "cache_control": {"type": "ephemeral"},
             "content": [{"type": "text", "text": "a"}, image, {"type": "text", "text": "b"}]},
            {"type": "tool_result", "tool_use_id": "toolu_9"}]},
        {"role": "martian", "content": "x", "extra": 1}, "no object",
        system=[{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        tools=[{"name": "price", "description": "d", "input_schema": {"type": "object"}, "strict": True},
               {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}, 7],
        temperature=0.5, thinking={"type": "enabled", "budget_tokens": 2**60},
    )  # fmt: skip
    marked = {"cache_control": {"type": "ephemeral"}}
    assert call.messages == (
        Message(role="system", parts=(Text(text="be kind", extra=marked),)),
        Message(role="user", parts=(Text(text="Grüße"),)),
        Message(role="assistant", parts=(
            Reasoning(text="hm", signature="S"), Text(text="I look"),
            ToolCall(call_id="toolu_1", name="price", arguments='{"item":"lamp","n":1152921504606846976}'),
            ToolCall(call_id="toolu_2", name="stock", arguments="{}"))),
        Message(role="user", parts=(
            ToolResult(call_id="toolu_2", name="stock", text="4"), Text(text="and"),
            ToolResult(call_id="toolu_1", name="price", text="a", is_error=True, extra=marked),
            ToolResult(call_id="toolu_1", name="price", text="b", is_error=True, extra=marked),
            Other(kind="image", data=image), ToolResult(call_id="toolu_9", name=None, text=""))),
        Message(role="other", parts=(Text(text="x"), Other(kind="extra", data=1))),
        Message(role="other", parts=(Other(kind="message", data="no object"),)),
    )  # fmt: skip
    assert call.tools == (
        {"strict": True, "type": "function",
         "function": {"name": "price", "description": "d", "parameters": {"type": "object"}}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
    )  # fmt: skip
    assert call.settings == {
        "max_tokens": 9, "temperature": 0.5, "thinking": {"type": "enabled", "budget_tokens": str(2**60)}
    }
    assert call.unknown == 3


BLOCKS: dict[str, tuple[dict[str, Any], tuple[Part, ...], int]] = {
    "text with citations": (
        {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "q"}]},
        (Text(text="a", extra={"citations": [{"type": "char_location", "cited_text": "q"}]}),), 0),
    "text with a field nobody knows": (
        {"type": "text", "text": "a", "mood": "good", "citations": None}, (Text(text="a", extra={"mood": "good"}),), 1),
    "thinking not displayed": (
        {"type": "thinking", "thinking": "", "signature": "S"}, (Reasoning(text="", signature="S"),), 0),
    "thinking unsigned": ({"type": "thinking", "thinking": "t", "signature": ""}, (Reasoning(text="t"),), 0),
    "redacted thinking": (
        {"type": "redacted_thinking", "data": "D"}, (Reasoning(text="", signature="D", redacted=True),), 0),
    "redacted thinking without data": (
        {"type": "redacted_thinking"}, (Other(kind="redacted_thinking", data={"type": "redacted_thinking"}),), 1),
    "tool use with its caller": (
        {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 1, "a": 1.0}, "caller": {"type": "direct"}},
        (ToolCall(call_id="t", name="f", arguments='{"b":1,"a":1.0}', extra={"caller": {"type": "direct"}}),), 0),
    "server tool use": (
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        (ToolCall(call_id="s", name="web_search", arguments='{"query":"q"}', extra={"server": "web_search"}),), 0),
    "server tool result": (
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u", "type": "web_search_result"}]},
        (ToolResult(call_id="s", name=None, text='[{"type":"web_search_result","url":"u"}]', extra={
            "type": "web_search_tool_result", "content": [{"url": "u", "type": "web_search_result"}]}),), 0),
    "server tool error": (
        {"type": "web_fetch_tool_result", "tool_use_id": "s",
         "content": {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}},
        (ToolResult(call_id="s", name=None, is_error=True,
                    text='{"error_code":"unavailable","type":"web_fetch_tool_result_error"}', extra={
                        "type": "web_fetch_tool_result",
                        "content": {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}}),), 0),
    "MCP call": (
        {"type": "mcp_tool_use", "id": "m", "name": "ask", "input": {}, "server_name": "wiki"},
        (ToolCall(call_id="m", name="ask", arguments="{}", extra={"server_name": "wiki", "server": "mcp"}),), 0),
    "MCP result": (
        {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": [{"type": "text", "text": "x"}]},
        (ToolResult(call_id="m", name=None, text="x", is_error=False, extra={"type": "mcp_tool_result"}),), 0),
    "tool use without a name": (
        {"type": "tool_use", "id": "t"}, (Other(kind="tool_use", data={"type": "tool_use", "id": "t"}),), 1),
    **{
        kind: ({"type": kind, "payload": ["kept", 2**60]},
               (Other(kind=kind, data={"type": kind, "payload": ["kept", str(2**60)]}),), 1)
        for kind in ("image", "document", "container_upload", "compaction", "fallback", "search_result", "not_invented")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block(name: str) -> None:
    raw, parts, unknown = BLOCKS[name]
    assert parts_of(raw) == parts
    call = answered(raw)
    assert call.outputs == (Message(role="assistant", parts=parts),)
    assert call.unknown == unknown
    assert (call.finish, call.response_id, call.unparsed) == (("end_turn",), "msg_1", None)


def test_a_result_is_named_after_the_call_it_answers() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "bash_code_execution", "input": {"command": "ls"}}
    parts = parts_of(use, {"type": "bash_code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "a"}})
    assert isinstance(parts[1], ToolResult) and parts[1].name == "bash_code_execution"


def test_what_an_answer_says_beside_its_blocks_is_kept_and_moves_nothing() -> None:
    plain = answered({"type": "text", "text": "a"})
    call = answered({"type": "text", "text": "a"}, container={"id": "c"}, novelty=[1], stop_sequence="END")
    about = {"container": {"id": "c"}, "novelty": [1], "stop_sequence": "END"}
    assert call.outputs[0].parts == (Text(text="a", extra={"message": about}),)
    assert call.unknown == 1
    assert message_id(call.outputs[0], None) == message_id(plain.outputs[0], None)
    empty = answered(container={"id": "c"})
    assert empty.outputs[0].parts == (Text(text="", extra={"message": {"container": {"id": "c"}}}),)
    assert message_id(empty.outputs[0], None) == message_id(answered().outputs[0], None)


def test_streamed_blocks_are_put_together() -> None:
    call = streamed(
        start(), {"type": "ping"},
        *block(0, {"type": "thinking", "thinking": "", "signature": ""},
               {"type": "thinking_delta", "thinking": "let me "}, {"type": "thinking_delta", "thinking": "see"},
               {"type": "signature_delta", "signature": "SIG"}),
        *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Ich prüfe "},
               {"type": "citations_delta", "citation": {"cited_text": "q"}}, {"type": "text_delta", "text": "🙂"}),
        *block(2, {"type": "tool_use", "id": "t1", "name": "price", "input": {}},
               {"type": "input_json_delta", "partial_json": ""},
               {"type": "input_json_delta", "partial_json": '{"item": '},
               {"type": "input_json_delta", "partial_json": '"lamp"}'}),
        *block(3, {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
               {"type": "input_json_delta", "partial_json": ""}),
        *block(4, {"type": "compaction", "content": None},
               {"type": "compaction_delta", "content": "so far", "encrypted_content": None}),
        *block(5, {"type": "holo", "a": 1}, {"type": "holo_delta", "b": 2}),
        *end("tool_use"),
    )  # fmt: skip
    assert call.outputs[0].parts == (
        Reasoning(text="let me see", signature="SIG"),
        Text(text="Ich prüfe 🙂", extra={"citations": [{"cited_text": "q"}]}),
        ToolCall(call_id="t1", name="price", arguments='{"item": "lamp"}', extra={"form": "object"}),
        ToolCall(call_id="t2", name="now", arguments="{}"),
        Other(kind="compaction", data={"type": "compaction", "content": "so far"}),
        Other(kind="holo", data={"type": "holo", "a": 1, "deltas": [{"type": "holo_delta", "b": 2}]}),
    )
    assert call.usage == {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 7}
    assert (call.finish, call.response_id, call.unparsed, call.unknown) == (("tool_use",), "msg_1", None, 2)


def test_a_stream_that_breaks_keeps_what_it_said() -> None:
    said = list(block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "half"}))
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    call = streamed(start(), *said[:2], overloaded)
    assert call.outputs[0].parts == (Text(text="half"),)
    assert call.finish == ("unknown",)
    assert call.unparsed == "the upstream answered with an error (overloaded_error): Overloaded"
    assert streamed(overloaded).outputs == ()
    cut = parse(ASK, stream_bytes(start(), *said, *end())[:-30], SSE)
    assert cut.outputs[0].parts[0] == Text(text="half")


def test_estimates_beside_thinking_are_added_up() -> None:
    deltas = [{"type": "thinking_delta", "thinking": "", "estimated_tokens": count} for count in (50, None, 100)]
    signed = {"type": "signature_delta", "signature": "S"}
    call = streamed(start(), *block(0, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signed), *end())
    assert call.outputs[0].parts == (Reasoning(text="", signature="S", extra={"estimated_tokens": 150}),)
    assert call.unknown == 0


def test_odd_streams() -> None:
    lone = {"type": "content_block_delta", "index": 4, "delta": {"type": "text_delta", "text": "no start"}}
    assert streamed(start(), lone).outputs[0].parts == (Text(text="no start"),)
    twice = streamed(start(), *block(0, {"type": "text", "text": "a"}), *block(0, {"type": "text", "text": "b"}))
    assert twice.outputs[0].parts == (Text(text="a"), Text(text="b"))
    odd = streamed(start(), *block(0, {"type": "text", "text": "a"}), {"type": "aside", "x": "kept"}, *end())
    assert odd.outputs[0].parts == (Text(text="a", extra={"message": {"events": [{"type": "aside", "x": "kept"}]}}),)
    assert odd.unknown == 1
    stray = {"type": "input_json_delta", "partial_json": "7"}
    wrong = streamed(start(), *block(0, {"type": "text", "text": "a"}, stray))
    assert wrong.outputs[0].parts == (Text(text="a", extra={"partial_json": "7"}),)


def sdk_message(body: bytes) -> Any:
    """What the official client accumulates from a stream."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=SSE, content=body))
    with httpx2.Client(transport=transport) as http:
        client = anthropic.Anthropic(api_key="none", base_url="http://sdk.test", http_client=http, max_retries=0)
        with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}]) as stream:
            return stream.get_final_message()


def sdk_request(messages: Any) -> bytes:
    """The bytes the official client sends for these messages."""
    seen: list[bytes] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.read())
        return httpx2.Response(200, json={"content": []})

    with httpx2.Client(transport=httpx2.MockTransport(keep)) as http:
        client = anthropic.Anthropic(api_key="none", base_url="http://sdk.test", http_client=http, max_retries=0)
        client.messages.create(model="m", max_tokens=9, messages=messages)
    return seen[0]


def test_an_answer_the_official_client_sends_back_is_the_same_message() -> None:
    body = stream_bytes(
        start(),
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "hm"},
               {"type": "signature_delta", "signature": "SIG"}),
        *block(1, {"type": "redacted_thinking", "data": "hidden"}),
        *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "zwei 🙂"},
               {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "q"}}),
        *block(3, {"type": "text", "text": ""}),
        *block(4, {"type": "tool_use", "id": "toolu_a", "name": "price", "input": {}, "caller": {"type": "direct"}},
               {"type": "input_json_delta", "partial_json": '{ "item": "L\\u00e4mp\\ud83d\\ude42",'},
               {"type": "input_json_delta", "partial_json": ' "n": [1, 2.50, -0, 1e3, null] }'}),
        *block(5, {"type": "tool_use", "id": "toolu_b", "name": "stock", "input": {}},
               {"type": "input_json_delta", "partial_json": ""}),
        *block(6, {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [
            {"type": "web_search_result", "url": "u", "title": "t", "page_age": None, "encrypted_content": "E"}]}),
        *end("tool_use"),
    )  # fmt: skip
    given = parse(sdk_request([{"role": "user", "content": "?"}]), body, SSE)
    tool = given.outputs[0].parts[3]
    assert isinstance(tool, ToolCall)
    assert tool.arguments == '{ "item": "L\\u00e4mp\\ud83d\\ude42", "n": [1, 2.50, -0, 1e3, null] }'
    results = [{"type": "tool_result", "tool_use_id": name, "content": "1"} for name in ("toolu_a", "toolu_b")]
    echo = parse(sdk_request([{"role": "user", "content": "?"},
                              {"role": "assistant", "content": sdk_message(body).content},
                              {"role": "user", "content": results}]), b"{}")  # fmt: skip
    first = place(given.messages)
    own = place(given.outputs, first[-1].id)[0]
    again = place(echo.messages)
    assert again[1].id == own.id
    assert len(again[1].message.parts) == len(own.message.parts), "spans count parts"
    assert [part.name for part in again[2].message.parts if isinstance(part, ToolResult)] == ["price", "stock"]


def test_a_tool_loop_is_one_run_and_a_count_none_of_its_steps() -> None:
    question = {"role": "user", "content": "?"}
    use = {"type": "tool_use", "id": "toolu_a", "name": "price", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": '{"item":  "x"}'}
    body = stream_bytes(start(), *block(0, use, delta), *end())
    said = {"role": "assistant", "content": sdk_message(body).content}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_a", "content": "3"}]}
    sent = [sdk_request([question]), sdk_request([question, said, result]), sdk_request([question, said, result])]
    paths = ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages"]
    bodies = [body, b'{"input_tokens":5}', stream_bytes(start(), *block(0, {"type": "text", "text": "3"}), *end())]
    calls = [
        recorded_call(at, f"r{at}", "default", parse(request, answer, {}, path), exchange({}, path))
        for at, (request, answer, path) in enumerate(zip(sent, bodies, paths, strict=True))
    ]  # fmt: skip
    threads = group(calls)
    assert [(thread.rule, thread.grade) for thread in threads if len(thread.calls) > 1] == [
        ("first_exchange+echoed_output", "recorded")
    ]
    structure = build(threads[0], lambda data: "0" * 64, 1)
    assert len(structure.calls) == 2
    assert "count" not in " ".join(step.label for step in structure.steps)


def test_other_arguments_are_another_message() -> None:
    def said(arguments: str) -> str:
        call = ToolCall(call_id="t", name="f", arguments=arguments, extra={"form": "object"})
        return message_id(Message(role="assistant", parts=(call,)), None)

    assert said('{"a": 1}') == said('{"a":1}') == message_id(parts_message({"a": 1}), None)
    assert len({said('{"a":1}'), said('{"a":2}'), said('{"a":"1"}'), said('{"a":1'), said("[" * 100_000)}) == 5


def parts_message(arguments: Any) -> Message:
    parts = parts_of({"type": "tool_use", "id": "t", "name": "f", "input": arguments})
    return Message(role="assistant", parts=parts)


def test_counting_tokens_is_no_model_call() -> None:
    path = "/v1/messages/count_tokens?beta=true"
    dialect = by_route("POST", "/v1/messages/count_tokens")
    assert dialect is not None and dialect.name == "anthropic_messages"
    assert by_route("POST", "/v1/messages/batches") is None
    request = b'{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"hi"}]}'
    call = parse_exchange("r", exchange({}, path), request, b'{"input_tokens":671}')
    assert (call.about, call.outputs, call.finish, call.usage) == (COUNT_ONLY, (), (), {"input_tokens": 671})
    assert call.tokens is not None and call.tokens.input == 671 and call.cost is None
    assert call.messages[0].parts == (Text(text="hi"),)


def test_errors_and_damaged_bodies() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"q"}'
    assert parse(ASK, body).unparsed == "the upstream answered with an error (rate_limit_error): slow down"
    assert parse(ASK, b"").unparsed == "there is no response"
    assert "no JSON" in str(parse(b"\xff", b"{}").unparsed)
    assert parse(b"[]", b"{}").unparsed == "the request is no JSON object"
    assert parse(b"{}", b"{}").unparsed == "the request has no list of messages"
    assert parse(ASK, b"<html>").unparsed == "the response is no JSON: Expecting value at character 0"
    assert parse(ASK, b"[1]").unparsed == "the response is no JSON object"
    assert "no JSON" in str(parse(ASK, b"data: {oops\n\n", SSE).unparsed)
    packed = gzip.compress(stream_bytes(start(), *block(0, {"type": "text", "text": "zip"}), *end()))
    assert parse(ASK, packed, SSE | {"content-encoding": "gzip"}).outputs[0].parts == (Text(text="zip"),)
    assert "cannot be read" in str(parse(ASK, b"no gzip at all", {"content-encoding": "gzip"}).unparsed)


def test_our_own_errors_are_in_the_dialect_s_envelope() -> None:
    assert anthropic_messages.error("no", "overloaded_error") == {
        "type": "error", "error": {"type": "overloaded_error", "message": "no"}
    }  # fmt: skip
    own = anthropic_messages.error("no", "upstream_unreachable")
    assert own == {"type": "error", "error": {"type": "api_error", "message": "no", "code": "upstream_unreachable"}}


MOMENTS = [
    ({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}, "content"),
    ({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}}, None),
    ({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "a"}}, "content"),
    ({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "a"}}, None),
    ({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}, "tool"),
    ({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "f"}}, "tool"),
    ({"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}}, "tool"),
    ({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, None),
    ({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}, "content"),
    ({"type": "message_start", "message": {"content": []}}, None), ({"type": "ping"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("event", "moment"), MOMENTS)
def test_moments(event: dict[str, Any], moment: str | None) -> None:
    assert anthropic_messages.moment(SseEvent(event=event["type"], data=json.dumps(event))) == moment
    assert anthropic_messages.moment(SseEvent(event=event["type"], data=json.dumps(event)[:-1])) is None


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
    | st.sampled_from(["text", "tool_use", "tool_result", "thinking", "x_tool_result", "\ud800", "user", "assistant"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "text", "id", "name", "input", "content", "tool_use_id", "thinking", "signature",
                         "data", "role", "citations", "is_error", "usage", "index", "delta", "partial_json", "error",
                         "form"])
        | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
NAMES = st.sampled_from([
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop", "ping", "error", "novelty",
])  # fmt: skip
DELTAS = st.fixed_dictionaries({"type": st.sampled_from([
    "text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "compaction_delta", "new",
])}, optional={name: ANY_JSON for name in ("text", "thinking", "partial_json", "signature", "citation")})  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"type": NAMES},
    optional={"index": st.integers(0, 2) | ANY_JSON, "delta": DELTAS | ANY_JSON, "content_block": ANY_JSON,
              "message": ANY_JSON, "usage": ANY_JSON, "error": ANY_JSON},
)  # fmt: skip


def stands(call: Call) -> None:
    """Whatever was parsed can be recorded, read back and given ids."""
    canonical_bytes(write(call))
    assert read(Call, write(call)) == call
    place((*call.messages, *call.outputs))


@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_without_an_error(request: bytes, response: bytes, is_stream: bool) -> None:
    stands(parse(request, response, SSE if is_stream else {}))


@given(ANY_JSON, ANY_JSON, ANY_JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_without_an_error(content: Any, answer: Any, system: Any) -> None:
    messages = [{"role": "assistant", "content": content}, {"role": "user", "content": [content]}, content]
    request = json.dumps({"model": content, "messages": messages, "system": system, "tools": content}).encode()
    stands(parse(request, json.dumps(answer).encode()))
    stands(parse(request, json.dumps({"content": answer, "usage": system, "id": content}).encode()))


@given(st.lists(EVENTS, max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_events_are_read_without_an_error(events: list[dict[str, Any]]) -> None:
    call = streamed(*events)
    stands(call)
    count = sum(event["type"] == "content_block_start" for event in events)
    assert len(call.outputs) <= 1
    assert not call.outputs or len(call.outputs[0].parts) <= 25 * (len(events) + count + 1)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
@settings(max_examples=60, deadline=None)
def test_any_chunking_is_the_same_answer(sizes: list[int], newline: bytes) -> None:
    body = stream_bytes(
        start(), *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Ich prüfe 🙂"}),
        *block(1, {"type": "tool_use", "id": "t", "name": "f", "input": {}},
               {"type": "input_json_delta", "partial_json": '{"a": "é'},
               {"type": "input_json_delta", "partial_json": '"}'}),
        *end(),
    )  # fmt: skip
    whole = body.replace(b"\\u00e9", "é".encode()).replace(b"\n", newline)
    decoder, found, at, turn = SseDecoder(), [], 0, 0
    while at < len(whole):
        size = sizes[turn % len(sizes)]
        found += decoder.feed(whole[at : at + size])
        at, turn = at + size, turn + 1
    found += decoder.close()
    assert assemble(found) == assemble(SseDecoder().feed(whole + newline))
    assert parse(ASK, whole, SSE) == parse(ASK, body, SSE)
