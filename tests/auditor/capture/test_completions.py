"""Legacy text completions: prompts, batches, echoes, streams, damage."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.dialects import openai_completions
from auditor.capture.dialects.catalogue import by_route
from auditor.capture.stream import SseEvent
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import Call, Other, Text
from auditor.records.wire import write

SSE = {"content-type": "text/event-stream"}


def parse(sent: Any, answered: Any, headers: dict[str, str] | None = None) -> Call:
    request = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    response = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
    exchange = Exchange(
        dialect="openai_completions", method="POST", path="/v1/completions", upstream="openai", status=200,
        outcome="complete", request=None, response=None, request_headers={}, response_headers=headers or {},
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=0,
    )  # fmt: skip
    return openai_completions.parse("r", exchange, request, response)


def row(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": "stop", "logprobs": None, **more}


def test_the_route() -> None:
    dialect = by_route("POST", "/v1/completions")
    assert dialect is not None and dialect.name == "openai_completions"


def test_a_prompt_and_its_answers() -> None:
    sent = {"model": "m", "prompt": "Once", "n": 2, "max_tokens": 5, "suffix": "end"}
    call = parse(sent, {"id": "cmpl-1", "choices": [row("b", 1), row("a", 0)], "usage": {"total_tokens": 3}})
    assert [part for message in call.messages for part in message.parts] == [Text(text="Once")]
    assert [message.parts for message in call.outputs] == [(Text(text="a"),), (Text(text="b"),)]
    assert call.settings == {"n": 2, "max_tokens": 5, "suffix": "end"}
    assert (call.finish, call.usage, call.response_id) == (("stop", "stop"), {"total_tokens": 3}, "cmpl-1")
    assert call.unparsed is None


@pytest.mark.parametrize(("prompt", "parts"), [
    (["a", "b"], [Text(text="a"), Text(text="b")]),
    ([1, 2], [Other(kind="tokens", data=[1, 2])]),
    ([[1], [2]], [Other(kind="tokens", data=[1]), Other(kind="tokens", data=[2])]),
    (None, []), ("", [Text(text="")]), ([], [Other(kind="tokens", data=[])]),
])  # fmt: skip
def test_prompts(prompt: Any, parts: list[Any]) -> None:
    call = parse({"model": "m", "prompt": prompt}, {"choices": []})
    assert [part for message in call.messages for part in message.parts] == parts


def test_an_echoed_prompt_is_taken_off_with_its_logprobs() -> None:
    logprobs = {"tokens": ["On", "ce", " up"], "token_logprobs": [None, -1.0, -0.5], "text_offset": [0, 2, 4]}
    call = parse({"model": "m", "prompt": ["x", "Once"], "n": 1, "echo": True},
                 {"choices": [row("xy", 0), row("Once up", 1)]})  # fmt: skip
    assert [message.parts[0] for message in call.outputs] == [
        Text(text="y", extra={"echo": 1}), Text(text=" up", extra={"echo": 4}),
    ]  # fmt: skip
    call = parse({"model": "m", "prompt": "Once", "echo": True}, {"choices": [row("Once up", logprobs=logprobs)]})
    assert call.logprobs == (-0.5,)
    assert parse({"model": "m", "prompt": "Once"}, {"choices": [row(" up", logprobs={"token_logprobs": [-0.5, -1]})]}
                 ).logprobs == (-0.5, -1.0)  # fmt: skip


def test_a_stream() -> None:
    chunks: list[dict[str, Any]] = [
        {"id": "c", "choices": [{"index": 0, "text": piece, "finish_reason": None}]} for piece in ("a", "b", "")
    ]
    chunks += [{"choices": [{"index": 1, "text": "z", "finish_reason": "length"}]}, {"choices": [], "usage": {"x": 1}}]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"
    call = parse({"model": "m", "prompt": "p", "stream": True}, body, SSE)
    assert [message.parts for message in call.outputs] == [(Text(text="ab"),), (Text(text="z"),)]
    assert (call.finish, call.usage) == (("unknown", "length"), {"x": 1})
    moments = [openai_completions.moment(SseEvent(event="message", data=json.dumps(chunk))) for chunk in chunks]
    assert moments == ["content", "content", None, "content", None]


@pytest.mark.parametrize(("sent", "answered", "said"), [
    (b"{", {"choices": []}, "request is no JSON"), ({"model": "m"}, b"", "no response"),
    ({"model": "m"}, {"error": {"message": "busy"}}, "busy"), ({"model": "m"}, b"data: {\n\n", "no JSON"),
])  # fmt: skip
def test_damage_is_said(sent: Any, answered: Any, said: str) -> None:
    assert said in (parse(sent, answered).unparsed or "")


@pytest.mark.parametrize("number", [b"1e999", b"1" + b"0" * 400])
def test_numbers_that_are_none(number: bytes) -> None:
    body = b'{"choices":[{"index":' + number + b',"text":"a","logprobs":{"token_logprobs":[' + number + b"]}}]}"
    call = parse(b'{"prompt":"p"}', body)
    assert call.logprobs is None
    canonical_bytes(write(call))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["index", "text", "logprobs", "token_logprobs", "text_offset", "choices", "x"]),
                      inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JSON, JSON, JSON, st.booleans())
def test_no_shape_of_json_is_an_error(prompt: Any, choices: Any, n: Any, echo: bool) -> None:
    call = parse({"prompt": prompt, "n": n, "echo": echo, "model": "m"}, {"choices": choices, "usage": n, "id": n})
    canonical_bytes(write(call))
    body = f"data: {json.dumps({'choices': choices, 'error': n})}\n\n".encode()
    canonical_bytes(write(parse({"prompt": prompt, "echo": echo}, body, SSE)))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_are_an_error(request: bytes, response: bytes) -> None:
    canonical_bytes(write(parse(request, response)))
    canonical_bytes(write(parse(request, response, SSE)))
