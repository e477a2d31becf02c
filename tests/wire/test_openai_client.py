"""The official client sees through the proxy what it sees without it, and the parsed record says the same."""

import json
from typing import Any

import openai
import pytest

from auditor.capture.dialects import parse_exchange
from auditor.records.exchange import Exchange
from auditor.records.messages import Reasoning, Text, ToolCall
from auditor.records.wire import read

MESSAGES: Any = [{"role": "user", "content": "price?"}]


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    row = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m@main", "choices": [choice], **more}
    return f"data: {json.dumps(row)}\n\n".encode()


def tool(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"tool_calls": [{"index": index, **more, "function": {**name, "arguments": arguments}}]}


STREAM = [
    chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "let me "}),
    chunk({"reasoning_content": "look"}), chunk({"content": "Ich prüfe "}), chunk({"content": "das 🙂"}),
    chunk(tool(0, "", id="call_a", type="function", name="price")),
    chunk(tool(1, '{"x"', id="call_b", type="function", name="stock")),
    chunk(tool(0, '{"item": ')), chunk(tool(1, ": 2}")), chunk(tool(0, '"nail"}')), chunk({}, "tool_calls"),
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m@main","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n', b"data: [DONE]\n\n",
]  # fmt: skip


def ask(port: int, *, stream: bool) -> list[Any]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-test", max_retries=0) as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
        return [one.model_dump() for one in answer] if stream else [answer.model_dump()]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_gives_the_same_objects(upstream: Any, reply: Any, server: Any, size: int) -> None:
    whole = b"".join(STREAM)
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    upstream.script = [reply(pieces=pieces, chunked=True, headers=[("Content-Type", "text/event-stream")])]
    assert ask(server.port, stream=True) == ask(upstream.port, stream=True)
    stored = server.records(1)[0]
    found = read(Exchange, dict(stored.record.body))
    call = parse_exchange(stored.id, found, server.ledger.payload(found.request), server.ledger.payload(found.response))
    assert call.outputs[0].parts == (
        Reasoning(text="let me look"), Text(text="Ich prüfe das 🙂"),
        ToolCall(call_id="call_a", name="price", arguments='{"item": "nail"}'),
        ToolCall(call_id="call_b", name="stock", arguments='{"x": 2}'),
    )  # fmt: skip
    assert call.finish == ("tool_calls",)
    assert call.usage["total_tokens"] == 7
    assert call.model == "m"
    assert call.unparsed is None
    assert call.settings == {"stream": True}


def test_an_answer_without_streaming_gives_the_same_object(upstream: Any, reply: Any, server: Any) -> None:
    row = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "3"}, "logprobs": None}]}
    upstream.script = [reply(pieces=[json.dumps(row).encode()])]
    assert ask(server.port, stream=False) == ask(upstream.port, stream=False)


def test_an_error_gives_the_same_exception(upstream: Any, reply: Any, server: Any) -> None:
    error = b'{"error":{"message":"slow","type":"rate","param":null,"code":"rate_limit"}}'
    upstream.script = [reply(status="429 Too Many", pieces=[error])]
    seen = []
    for port in (upstream.port, server.port):
        with pytest.raises(openai.RateLimitError) as caught:
            ask(port, stream=False)
        seen.append((caught.value.body, caught.value.status_code, str(caught.value)))
    assert seen[0] == seen[1]


def test_our_own_error_is_one_the_client_understands(serve: Any) -> None:
    server = serve(upstreams={"openai": "http://127.0.0.1:1"})
    with pytest.raises(openai.InternalServerError) as caught:
        ask(server.port, stream=False)
    assert caught.value.code == "upstream_unreachable"
