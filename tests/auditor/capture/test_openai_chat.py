"""Recorded OpenAI chat bytes -> calls: shapes seen on the wire, damaged bodies, and real cassettes."""

import gzip
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.dialects import openai_chat
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import Call, Message, Other, Reasoning, Text, ToolCall, ToolResult, place
from auditor.records.wire import read, write

SSE = {"content-type": "text/event-stream"}


def parse(record: str, request: bytes, response: bytes, response_headers: dict[str, str]) -> Call:
    exchange = Exchange(
        dialect="openai_chat", method="POST", path="/v1/chat/completions", upstream="openai", status=200,
        outcome="complete", request=None, response=None, request_headers={}, response_headers=response_headers,
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=len(response),
    )  # fmt: skip
    return openai_chat.parse(record, exchange, request, response)



def answered(message: dict[str, Any], **more: Any) -> Call:
    body = {"model": "m@main", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **more}]}
    return parse("r", b'{"model":"m","messages":[]}', json.dumps(body).encode(), {})


def asked(*messages: Any, **more: Any) -> Call:
    return parse("r", json.dumps({"model": "m", "messages": list(messages), **more}).encode(), b'{"choices":[]}', {})


def streamed(*chunks: Any, end: bool = True) -> Call:
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + ("data: [DONE]\n\n" if end else "")
    return parse("r", b'{"model":"m","messages":[]}', body.encode(), SSE)


def delta(index: int = 0, finish: str | None = None, logprobs: Any = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish, "logprobs": logprobs}]}


def test_messages_of_a_request() -> None:
    call = asked(
        {"role": "system", "content": "s"}, {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "look"},
                                                     {"type": "image_url", "image_url": {"url": "http://x"}}]},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "price", "arguments": '{"item":  "a"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "tool", "tool_call_id": "c1",
         "content": [{"type": "text", "text": "4"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": "5"}, {"role": "martian", "content": "x"}, "not an object",
        temperature=0.5, seed=2**60, tools=[{"type": "function", "function": {"name": "price"}}],
    )  # fmt: skip
    assert call.messages == (
        Message(role="system", parts=(Text(text="s"),)),
        Message(role="developer", parts=(Text(text="d"),)),
        Message(role="user", name="ann", parts=(
            Text(text="look"), Other(kind="image_url", data={"type": "image_url", "image_url": {"url": "http://x"}}))),
        Message(role="assistant", parts=(ToolCall(call_id="c1", name="price", arguments='{"item":  "a"}'),)),
        Message(role="tool", parts=(ToolResult(call_id="c1", name="price", text="3"),)),
        Message(role="tool", parts=(ToolResult(call_id="c1", name="price", text="4"),
                                    ToolResult(call_id="c1", name="price", text=""))),
        Message(role="assistant", parts=(ToolCall(call_id=None, name="old", arguments="{}"),)),
        Message(role="tool", parts=(ToolResult(call_id=None, name="old", text="5"),)),
        Message(role="other", parts=(Text(text="x"),)),
        Message(role="other", parts=(Other(kind="message", data="not an object"),)),
    )  # fmt: skip
    assert call.settings == {"temperature": 0.5, "seed": str(2**60)}
    assert call.tools == ({"type": "function", "function": {"name": "price"}},)
    assert (call.model, call.unparsed, call.record) == ("m", None, "r")


@pytest.mark.parametrize(("fields", "parts"), [
    ({"content": "a", "reasoning_content": "why"}, (Reasoning(text="why"), Text(text="a"))),
    ({"content": "a", "reasoning": "why", "reasoning_content": "why"}, (Reasoning(text="why"), Text(text="a"))),
    ({"reasoning": "ab", "reasoning_details": [
        {"type": "reasoning.text", "text": "ab", "signature": "s"}, {"type": "reasoning.encrypted", "data": "zz"}]},
     (Reasoning(text="ab", signature="s"), Reasoning(text="", signature="zz", redacted=True))),
    ({"thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"},
                          {"type": "redacted_thinking", "data": "q"}], "reasoning_content": "t"},
     (Reasoning(text="t", signature="s"), Reasoning(text="", signature="q", redacted=True))),
    ({"content": "", "refusal": "no"}, (Other(kind="refusal", data="no"),)),
    ({"content": "<think>x</think>y"},
     (Reasoning(text="x", extra={"inline": ["<think>", "</think>"]}), Text(text="y"))),
    ({"content": "\n<think>\nwhy?\n</think>\n\nyes"},
     (Reasoning(text="why?", extra={"inline": ["\n<think>\n", "\n</think>\n\n"]}), Text(text="yes"))),
    ({"content": "<think>\n\n</think>\n\nyes"},
     (Text(text="yes", extra={"inline": ["<think>\n\n</think>\n\n", ""]}),)),
    ({"content": "<think>cut of"}, (Reasoning(text="cut of", extra={"inline": ["<think>", ""]}),)),
    ({"content": "<think></think>"}, (Text(text="<think></think>"),)),
    ({"content": "I say <think>x</think>"}, (Text(text="I say <think>x</think>"),)),
    ({"content": "a", "annotations": [{"type": "url_citation"}], "audio": {"id": "au"}},
     (Text(text="a", extra={"annotations": [{"type": "url_citation"}], "audio": {"id": "au"}}),)),
    ({"content": None, "audio": {"id": "au", "transcript": "hi"}},
     (Other(kind="audio", data={"id": "au", "transcript": "hi"}),)),
    ({"tool_calls": [{"id": "", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]},
     (ToolCall(call_id=None, name="f", arguments='{"a":1}'),)),
    ({"tool_calls": [{"id": "k", "type": "custom", "custom": {"name": "g", "input": "raw"}}]},
     (ToolCall(call_id="k", name="g", arguments="raw", extra={"kind": "custom"}),)),
    ({"content": "a", "extra_content": {"x": 2**70}}, (Text(text="a", extra={"extra_content": {"x": str(2**70)}}),)),
])  # fmt: skip
def test_parts_of_an_answer(fields: dict[str, Any], parts: tuple[Any, ...]) -> None:
    assert answered({"role": "assistant", **fields}).outputs == (Message(role="assistant", parts=parts),)


def test_an_echo_keeps_its_id() -> None:
    output = answered({"role": "assistant", "content": "", "refusal": None, "annotations": [], "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}).outputs[0]  # fmt: skip
    echo = asked({"role": "assistant", "content": None, "tool_calls": [
        {"type": "function", "id": "c", "function": {"name": "f", "arguments": "{}"}}]}).messages[0]  # fmt: skip
    assert output == echo
    assert place([output])[0].id == place([echo])[0].id


@pytest.mark.parametrize("content", ["<think>\nwhy\n</think>\n\nyes", "<thinking>a</thinking>yes", "<think>half"])
def test_an_echo_of_inline_thinking_keeps_its_id(content: str) -> None:
    streams = [delta(content=letter) for letter in content]
    output = streamed(*streams).outputs[0]
    assert output == answered({"role": "assistant", "content": content}).outputs[0]
    echo = asked({"role": "assistant", "content": content}).messages[0]
    assert place([output])[0].id == place([echo])[0].id
    text = "".join("".join([(part.extra or {}).get("inline", ["", ""])[0], part.text, (part.extra or {}).get(
        "inline", ["", ""])[1]]) for part in output.parts if isinstance(part, (Text, Reasoning)))  # type: ignore[index]  # fmt: skip
    assert text == content


def test_fields_a_provider_adds_are_kept_and_counted() -> None:
    body = {"id": "c1", "model": "m", "prompt_filter_results": [{"prompt_index": 0}], "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "a", "mystery": 1, "tool_calls": [
            {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"s": "x"}},
        ]}, "finish_reason": "stop", "content_filter_results": {"hate": {"filtered": False}}}]}  # fmt: skip
    call = parse("r", b'{"model":"m","messages":[]}', json.dumps(body).encode(), {})
    assert call.response_id == "c1"
    assert call.outputs[0].parts == (
        Text(text="a", extra={
            "mystery": 1, "response": {"prompt_filter_results": [{"prompt_index": 0}]},
            "choice": {"content_filter_results": {"hate": {"filtered": False}}},
        }),
        ToolCall(call_id="t", name="f", arguments="{}", extra={"extra_content": {"s": "x"}}),
    )  # fmt: skip
    assert call.unknown == 2  # mystery and extra_content
    plain = answered({"role": "assistant", "content": "a", "tool_calls": body["choices"][0]["message"]["tool_calls"]})  # type: ignore[index]
    assert place(call.outputs)[0].id == place(plain.outputs)[0].id


def test_three_megabytes_of_arguments_in_small_pieces_take_no_copies() -> None:
    pieces = [delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}])]
    pieces += [delta(tool_calls=[{"index": 0, "function": {"arguments": "x" * 30}}])] * 100_000
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in pieces).encode()
    started = time.perf_counter()
    call = parse("r", b'{"model":"m","messages":[]}', body, SSE)
    assert call.outputs[0].parts == (ToolCall(call_id="a", name="f", arguments="x" * 3_000_000),)
    assert time.perf_counter() - started < 20


def test_a_stream_is_put_together() -> None:
    call = streamed(
        delta(role="assistant", content=""), delta(1, content="other"), delta(reasoning_content="th"),
        delta(reasoning_content="ink"), delta(content="he"), delta(content="llo"),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]),
        delta(tool_calls=[{"index": 1, "function": {"arguments": "[]"}}, {"index": 0, "function": {"arguments": "}"}}]),
        delta(finish="tool_calls"), delta(1, finish="length"), {"choices": [], "usage": {"total_tokens": 9}},
    )  # fmt: skip
    assert call.outputs[0].parts == (
        Reasoning(text="think"), Text(text="hello"), ToolCall(call_id="b", name="g", arguments="[]"),
        ToolCall(call_id="a", name="f", arguments="{}"),
    )  # fmt: skip
    assert call.outputs[1].parts == (Text(text="other"),)
    assert call.finish == ("tool_calls", "length")
    assert call.usage == {"total_tokens": 9}


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    call = streamed(
        delta(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{"}}]),
        delta(tool_calls=[{"function": {"arguments": "}"}}]),
        delta(tool_calls=[{"id": "b", "function": {"name": "g", "arguments": "{}"}}]), end=False,
    )  # fmt: skip
    assert call.outputs[0].parts == (
        ToolCall(call_id="a", name="f", arguments="{}"), ToolCall(call_id="b", name="g", arguments="{}"),
    )  # fmt: skip


def test_an_error_in_the_middle_keeps_what_came_before() -> None:
    call = streamed(delta(content="half"), {"error": {"message": "overloaded"}}, end=False)
    assert call.outputs[0].parts == (Text(text="half"),)
    assert call.unparsed is not None and "overloaded" in call.unparsed
    assert call.finish == ("unknown",)


def test_an_emoji_torn_between_chunks_is_whole() -> None:
    body = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n' \
           b'data: {"choices":[{"index":0,"delta":{"content":"\\ude42\\ud800"}}]}\n\n'  # fmt: skip
    call = parse("r", b'{"messages":[]}', body, SSE)
    assert call.outputs[0].parts == (Text(text="🙂\ufffd"),)
    canonical_bytes(write(call))


def test_log_probabilities() -> None:
    rows = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": 0}]}
    assert answered({"content": "ab"}, logprobs=rows).logprobs == (-0.5, 0.0)
    assert streamed(delta(content="a", logprobs={"content": rows["content"][:1]}),
                    delta(content="b", logprobs={"content": rows["content"][1:]})).logprobs == (-0.5, 0.0)  # fmt: skip
    assert answered({"content": "ab"}, logprobs={"content": [{"token": "a"}]}).logprobs is None
    assert answered({"content": "ab"}).logprobs is None


@pytest.mark.parametrize(("name", "pack"), [
    ("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda d: zlib.compress(d)[2:-4]),
    ("zstd", zstandard.compress), ("gzip, zstd", lambda d: zstandard.compress(gzip.compress(d))), ("identity", bytes),
    ("gzip", lambda d: gzip.compress(d[:10]) + gzip.compress(d[10:])),
])  # fmt: skip
def test_compressed_answers_are_read(name: str, pack: Any) -> None:
    body = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
    call = parse("r", b'{"messages":[]}', pack(body), {"content-encoding": name})
    assert call.outputs[0].parts == (Text(text="hi"),)


def test_a_compressed_stream_that_was_cut_off_gives_what_it_held() -> None:
    body = b"".join(b'data: {"choices":[{"index":0,"delta":{"content":"%d "}}]}\n\n' % n for n in range(2000))
    call = parse("r", b'{"messages":[]}', gzip.compress(body)[:-2000], {**SSE, "content-encoding": "gzip"})
    assert str(call.outputs[0].parts[0].text).startswith("0 1 2 3 ")  # type: ignore[union-attr]


@pytest.mark.parametrize(("request_body", "response_body", "headers", "why"), [
    (b"{", b"{}", {}, "request"), (b"[]", b"{}", {}, "request"), (b"{}", b"{}", {}, "messages"),
    (b'{"messages":[]}', b"", {}, "no response"), (b'{"messages":[]}', b"<html>", {}, "response"),
    (b'{"messages":[]}', b"[]", {}, "response"), (b'{"messages":[]}', b"no gzip", {"content-encoding": "gzip"}, "gzip"),
    (b'{"messages":[]}', b"x", {"content-encoding": "what"}, "what"), (b'{"messages":[NaN]}', b"{}", {}, "NaN"),
    (b'{"messages":[]}', b"data: {oops\n\n", SSE, "no JSON"),
    (b'{"messages":[]}', b'{"error":{"message":"bad key"}}', {}, "bad key"),
    (b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"{}", {}, "deep"),
    (b'{"messages":' + b"[" * 400 + b"]" * 400 + b"}", b"{}", {}, "deep"),
    (b'{"messages":[],"seed":' + b"9" * 5000 + b"}", b"{}", {}, "request"),
])  # fmt: skip
def test_damaged_bodies_say_why(request_body: bytes, response_body: bytes, headers: Any, why: str) -> None:
    call = parse("r", request_body, response_body, headers)
    assert call.unparsed is not None and why in call.unparsed
    assert call.outputs == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner:
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "role", "content", "tool_calls", "function", "name", "arguments", "index", "choices", "delta", "message", "id",
        "messages", "model", "usage", "logprobs", "reasoning_details", "text", "error", "finish_reason", "type",
    ]), inner, max_size=4), max_leaves=15,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(sent=JSON, rows=st.lists(JSON, max_size=4), as_stream=st.booleans())
def test_no_shape_of_json_is_an_error(sent: object, rows: list[object], as_stream: bool) -> None:
    if as_stream:
        body = "".join(f"data: {json.dumps(row)}\n\n" for row in rows)
    else:
        body = json.dumps({"choices": rows})
    for request in (sent, {"messages": [sent], "tools": [sent], "model": sent}):
        call = parse("r", json.dumps(request).encode(), body.encode(), SSE if as_stream else {})
        canonical_bytes(write(call))
        place(call.messages + call.outputs)
        assert read(Call, json.loads(json.dumps(write(call)))) == call


# --- real recordings


def _cassettes(folder: Path) -> list[tuple[str, bytes, bytes, dict[str, str]]]:
    yaml = pytest.importorskip("yaml", reason="cassettes are YAML")
    found = []
    for path in sorted(folder.glob("*.yaml")):
        for number, one in enumerate(yaml.safe_load(path.read_text())["interactions"]):
            if not one["request"]["uri"].split("?")[0].endswith("/chat/completions"):
                continue
            sides = []
            for side in (one["request"], one["response"]):
                if "parsed_body" in side:
                    sides.append(json.dumps(side["parsed_body"]).encode())
                else:
                    text = side["body"]["string"]
                    sides.append(text if isinstance(text, bytes) else text.encode())
            headers = {name: values[0] for name, values in one["response"]["headers"].items()}
            headers.pop("content-encoding", None)  # the cassettes hold decoded bodies
            found.append((f"{path.name}#{number}", sides[0], sides[1], headers))
    return found


def test_real_recordings_are_read_completely(shared_data: Path) -> None:
    cassettes = _cassettes(shared_data / "wire" / "openai")
    assert len(cassettes) > 25
    calls = 0
    for name, request, response, headers in cassettes:
        call = parse(name, request, response, headers)
        sent = json.loads(request)
        assert call.model == sent["model"], name
        assert len(call.messages) == len(sent["messages"]), name
        for raw, message in zip(sent["messages"], call.messages, strict=True):
            _same(name, raw, message)
        if response.lstrip().startswith(b"{"):
            answer = json.loads(response)
            assert len(call.outputs) == len(answer.get("choices") or []), name
            for choice, output in zip(answer.get("choices") or [], call.outputs, strict=True):
                _same(name, choice["message"], output)
                calls += sum(isinstance(part, ToolCall) for part in output.parts)
        canonical_bytes(write(call))
    assert calls >= 5


def _same(name: str, raw: dict[str, Any], message: Message) -> None:
    """Texts and tool calls of a message equal those of its JSON."""
    content = raw.get("content")
    texts = [content] if isinstance(content, str) else [one["text"] for one in content or [] if one["type"] == "text"]
    said: list[str] = []
    thought = ""
    for part in message.parts:
        inline = [] if isinstance(part, Other) else (part.extra or {}).get("inline") or []
        if isinstance(part, Reasoning) and inline:
            thought += inline[0] + part.text + inline[1]
        elif isinstance(part, (Text, ToolResult)):
            said.append(thought + "".join(inline[:1]) + part.text)
            thought = ""
    assert said + [thought] * bool(thought) == [text for text in texts if text], name
    wanted = [(one.get("id") or None, one["function"]["name"], one["function"]["arguments"])
              for one in raw.get("tool_calls") or []]  # fmt: skip
    calls = [(part.call_id, part.name, part.arguments) for part in message.parts if isinstance(part, ToolCall)]
    assert calls == wanted, name


def test_a_real_stream_gives_its_words(shared_data: Path) -> None:
    path = "test_openai_moderation_stream.yaml"
    [(_, request, response, headers)] = [
        one for one in _cassettes(shared_data / "wire" / "openai") if one[0].startswith(path)
    ]
    call = parse(path, request, response, headers)
    pieces = [json.loads(line[6:]) for line in response.decode().splitlines() if line.startswith("data: {")]
    text = "".join(row["choices"][0]["delta"].get("content") or "" for row in pieces if row["choices"])
    assert [part.text for part in call.outputs[0].parts if isinstance(part, Text)] == [text]
    assert text
    assert call.response_id == pieces[0]["id"]
    (held,) = [part.extra for part in call.outputs[0].parts if isinstance(part, Text)]
    assert held is not None and "moderation" in held["response"]  # type: ignore[operator]
    assert call.usage["total_tokens"] == pieces[-1]["usage"]["total_tokens"] if pieces[-1].get("usage") else call.usage
