"""Embeddings: inputs are kept, vectors only described, the same in numbers and in base64."""

import base64
import json
import struct
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.dialects import openai_embeddings
from auditor.capture.dialects.catalogue import by_route
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import Call, Other, Text
from auditor.records.wire import write

ROWS = [[0.5, -1.25, 3.0], [1.0, 2.0, 4.0]]


def parse(request: bytes, response: bytes) -> Call:
    exchange = Exchange(
        dialect="openai_embeddings", method="POST", path="/v1/embeddings", upstream="openai", status=200,
        outcome="complete", request=None, response=None, request_headers={}, response_headers={},
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=0,
    )  # fmt: skip
    return openai_embeddings.parse("r", exchange, request, response)


def answer(encoding: str, rows: list[list[float]] = ROWS) -> bytes:
    def form(row: list[float]) -> Any:
        return row if encoding == "float" else base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()

    data = [{"object": "embedding", "index": index, "embedding": form(row)} for index, row in enumerate(rows)]
    return json.dumps({"object": "list", "data": data[::-1], "model": "e", "usage": {"prompt_tokens": 4}}).encode()


def test_the_route() -> None:
    dialect = by_route("POST", "/v1/embeddings")
    assert dialect is not None and dialect.name == "openai_embeddings"


def test_vectors_are_described_and_never_kept() -> None:
    said = {}
    for encoding in ("float", "base64"):
        call = parse(b'{"model":"e","input":["a","b"],"encoding_format":"x"}', answer(encoding))
        assert [part for message in call.messages for part in message.parts] == [Text(text="a"), Text(text="b")]
        assert (call.outputs, call.finish, call.unparsed) == ((), (), None)
        assert call.settings == {"encoding_format": "x"}
        vectors = call.usage["vectors"]
        assert isinstance(vectors, dict)
        assert {key: vectors[key] for key in ("count", "dimension", "encoding", "dtype")} == {
            "count": 2, "dimension": 3, "encoding": encoding, "dtype": "float32",
        }  # fmt: skip
        assert b"1.25" not in canonical_bytes(write(call))
        said[encoding] = vectors["sha256"]
    assert said["float"] == said["base64"] is not None
    other = parse(b"{}", answer("float", ROWS[::-1])).usage["vectors"]
    assert isinstance(other, dict) and other["sha256"] != said["float"]


def test_what_the_official_client_sends_and_decodes() -> None:
    """It asks for base64 by itself and gives its caller numbers."""
    sent: list[bytes] = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, content=answer("base64"), headers={"content-type": "application/json"})

    with httpx2.Client(transport=httpx2.MockTransport(reply)) as http:
        client = openai.OpenAI(api_key="none", base_url="http://sdk.test/v1", http_client=http, max_retries=0)
        found = client.embeddings.create(model="e", input=["a", "b"])
    call = parse(sent[0], answer("base64"))
    assert call.settings["encoding_format"] == "base64"
    vectors = call.usage["vectors"]
    assert isinstance(vectors, dict)
    assert (vectors["count"], vectors["dimension"]) == (len(found.data), len(found.data[0].embedding))


@pytest.mark.parametrize(("sent", "parts"), [
    ("a", [Text(text="a")]), ([1, 2], [Other(kind="tokens", data=[1, 2])]),
    ([[1], [2]], [Other(kind="tokens", data=[1]), Other(kind="tokens", data=[2])]), (None, []),
])  # fmt: skip
def test_inputs(sent: Any, parts: list[Any]) -> None:
    call = parse(json.dumps({"input": sent}).encode(), answer("float"))
    assert [part for message in call.messages for part in message.parts] == parts


@pytest.mark.parametrize(("embedding", "dimension"), [
    ([1e300], None), (["x"], None), ("!!", None), ("AAA=", None), (None, None), ([], 0), ([[1]], None), ([True], 1),
])  # fmt: skip
def test_vectors_that_are_none(embedding: Any, dimension: int | None) -> None:
    vectors = parse(b"{}", json.dumps({"data": [{"embedding": embedding}, 5]}).encode()).usage["vectors"]
    assert isinstance(vectors, dict)
    assert (vectors["count"], vectors["dimension"]) == (1, dimension)


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["data", "embedding", "index", "input", "usage", "error", "model"]), inner),
    max_leaves=12))  # fmt: skip
def test_no_shape_of_json_is_an_error(value: Any) -> None:
    body = json.dumps(value).encode()
    canonical_bytes(write(parse(body, body)))
