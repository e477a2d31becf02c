"""What clients and upstreams should not send: each has a defined record and message, and the relay stays byte-exact."""

import gzip
import http.client
import json
import random
import socket
import threading
import time
import zlib
from typing import Any

import psutil
import pytest

from auditor.capture.dialects import parse_exchange
from auditor.records.exchange import Exchange
from auditor.records.messages import Call, Text, ToolCall
from auditor.records.times import unix_ns
from auditor.records.wire import read

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SSE = [("Content-Type", "text/event-stream")]


def ask(port: int, body: bytes, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, body, {"Content-Type": "application/json"} | headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    except http.client.IncompleteRead as cut:
        return answer.status, cut.partial
    finally:
        connection.close()


def recorded(server: Any, count: int = 1) -> tuple[Exchange, Call, bytes]:
    """(newest exchange, the call in it, its response)."""
    stored = server.records(count)[-1]
    found = read(Exchange, dict(stored.record.body))
    request = server.ledger.payload(found.request)
    response = b"" if found.response is None else server.ledger.payload(found.response)
    return found, parse_exchange(stored.id, found, request, response), response


def text_of(call: Call) -> str:
    return "".join(part.text for one in call.outputs for part in one.parts if isinstance(part, Text))


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    row = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [row]}, ensure_ascii=False).encode() + b"\n\n"


WORDS = [chunk({"role": "assistant", "content": "gr"}), chunk({"content": "üß dich \U0001f600"}, "stop")]
WHOLE = b"".join(WORDS) + b"data: [DONE]\n\n"
BAD_STREAMS = {
    "no done": (b"".join(WORDS), "grüß dich \U0001f600", None),
    "no blank line at the end": (b"".join(WORDS)[:-2], "grüß dich \U0001f600", None),
    "crlf": (WHOLE.replace(b"\n", b"\r\n"), "grüß dich \U0001f600", None),
    "cr": (WHOLE.replace(b"\n", b"\r"), "grüß dich \U0001f600", None),
    "comments and pings": (
        b": keep\n\n" + WORDS[0] + b"event: ping\ndata: {}\n\n" + WORDS[1], "grüß dich \U0001f600", None,
    ),
    "an event that is no JSON": (WORDS[0] + b"data: {nope\n\n" + WORDS[1], "grüß dich \U0001f600", "is no JSON"),
    "an error after a 200": (WORDS[0] + b'data: {"error":{"message":"overloaded"}}\n\n', "gr", "overloaded"),
    "not SSE at all": (b"<html>\xff\x00</html>", "", None),
    "an event of other shape": (b"data: [1,2]\n\ndata: 7\n\n" + WHOLE, "grüß dich \U0001f600", None),
}


@pytest.mark.parametrize("split", [1, 7, 10**9])
@pytest.mark.parametrize("name", BAD_STREAMS)
def test_odd_streams(name: str, split: int, upstream: Any, reply: Any, server: Any) -> None:
    body, said, why = BAD_STREAMS[name]
    pieces = [body[start : start + split] for start in range(0, len(body), split)]
    upstream.script = [reply(headers=SSE, pieces=pieces, chunked=True)]
    assert ask(server.port, json.dumps(CHAT | {"stream": True}).encode()) == (200, body)
    found, call, response = recorded(server)
    assert (response, found.outcome) == (body, "complete")
    assert text_of(call) == said
    assert call.unparsed is None if why is None else why in str(call.unparsed)


def test_a_stream_that_is_cut_off_keeps_what_came(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(headers=SSE, pieces=[WORDS[0], WORDS[1][:20]], chunked=True, ending="break")]
    _, got = ask(server.port, json.dumps(CHAT).encode())
    found, call, response = recorded(server)
    assert response == got == WORDS[0] + WORDS[1][:20]
    assert found.outcome == "upstream_failed" and found.relayed == len(response)
    assert text_of(call).startswith("gr")


def test_three_megabytes_of_tool_arguments(upstream: Any, reply: Any, server: Any) -> None:
    arguments = json.dumps({"text": "".join(random.Random(1).choices("abc \\\"ü", k=3_000_000))})
    calls = [{"index": 0, "id": "call_1", "function": {"name": "write", "arguments": ""}}]
    stream = chunk({"tool_calls": calls})
    for start in range(0, len(arguments), 400_000):
        piece = arguments[start : start + 400_000]
        stream += chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    upstream.script = [reply(headers=SSE, pieces=[stream])]
    assert ask(server.port, json.dumps(CHAT).encode())[1] == stream
    found, call, response = recorded(server)
    assert response == stream
    (made,) = [part for part in call.outputs[0].parts if isinstance(part, ToolCall)]
    assert made.arguments == arguments
    assert found.times.first_tool is not None and found.times.first_content is None


def test_a_bomb_is_relayed_recorded_and_not_unpacked(upstream: Any, reply: Any, server: Any) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
    upstream.script = [reply(headers=headers, pieces=[bomb])]
    before = psutil.Process().memory_info().rss
    assert ask(server.port, json.dumps(CHAT).encode()) == (200, bomb)
    found, call, response = recorded(server)
    assert bomb.startswith(response), "what was looked into before it grew too large"
    (cut,) = found.redacted
    assert (cut.rule, cut.where) == ("not-recorded", "response") and "too large to be looked into" in cut.hash
    assert "too large to be looked into" in str(found.unparsed) and call.unparsed
    assert psutil.Process().memory_info().rss - before < 200e6


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "made-up"])
def test_a_body_that_is_not_what_its_encoding_says(encoding: str, upstream: Any, reply: Any, server: Any) -> None:
    body = b'{"choices":[]}'
    upstream.script = [
        reply(headers=[("Content-Type", "application/json"), ("Content-Encoding", encoding)], pieces=[body])
    ]
    assert ask(server.port, json.dumps(CHAT).encode()) == (200, body)
    found, _, response = recorded(server)
    assert response == body
    if encoding == "made-up":
        assert "the response is no JSON" in str(found.unparsed)
    else:  # it is text, was masked as text, and is read as text
        assert found.unparsed is None and found.response_headers["x-audit-decoded"] == encoding


def test_a_compressed_request_is_read(upstream: Any, server: Any) -> None:
    body = gzip.compress(json.dumps(CHAT).encode())
    ask(server.port, body, **{"Content-Encoding": "gzip"})
    assert upstream.received[0].body == body
    found, call, _ = recorded(server)
    assert found.model == "m" and found.unparsed is None
    assert call.messages[0].parts == (Text(text="hi"),)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_thirty_megabytes_streams_through(chunked: bool, upstream: Any, server: Any) -> None:
    text = "".join(random.Random(2).choices("abcdefgh", k=30_000_000))
    body = json.dumps(CHAT | {"messages": [{"role": "user", "content": text}]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    headers = {} if chunked else {"Content-Length": str(len(body))}
    connection.request("POST", "/v1/chat/completions", pieces, headers, encode_chunked=chunked)
    assert connection.getresponse().read() == b"{}"
    connection.close()
    assert upstream.received[0].body == body
    found, call, _ = recorded(server)
    assert server.ledger.payload(found.request) == body
    assert len(text_of(Call(record="r", model="m", messages=(), outputs=call.messages))) == 30_000_000


def test_an_endless_stream_costs_no_memory_and_ends_with_its_client(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(headers=SSE, pieces=[b": " + bytes(2**16) + b"\n"] * 1600, chunked=True, ending="hang")]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        body = json.dumps(CHAT).encode()
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
                           % (len(body), body))  # fmt: skip
        size, before = 0, psutil.Process().memory_info().rss
        while size < 100_000_000:
            size += len(connection.recv(2**20))
        assert psutil.Process().memory_info().rss - before < 60e6
    assert upstream.left.wait(5)
    found, _, response = recorded(server)
    assert found.outcome == "client_cancelled" and found.relayed == len(response) >= 99_000_000


def test_the_moments_of_a_stream(upstream: Any, reply: Any, server: Any) -> None:
    pieces = [chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({"content": "b"}),
              chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]})]  # fmt: skip
    upstream.script = [reply(headers=SSE, pieces=pieces, chunked=True, pause=0.08)]
    ask(server.port, json.dumps(CHAT).encode())
    times = recorded(server)[0].times
    moments = [times.started, times.upstream_headers, times.first_byte, times.first_content, times.first_tool,
               times.last_byte]  # fmt: skip
    stamps = [unix_ns(moment) for moment in moments if moment is not None]
    assert len(stamps) == 6 and stamps == sorted(stamps)
    assert stamps[3] - stamps[2] > 40_000_000 and stamps[4] - stamps[3] > 80_000_000


def test_a_retry_has_the_keys_to_be_found(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(status="429 Too Many Requests", headers=[("retry-after", "1")]), reply()]
    body = json.dumps(CHAT).encode()
    ask(server.port, body, **{"x-stainless-retry-count": "0", "Authorization": "Bearer sk-1"})
    ask(server.port, body, **{"x-stainless-retry-count": "1", "Authorization": "Bearer sk-1"})
    first, second = [read(Exchange, dict(one.record.body)).joins for one in server.records(2)]
    assert (first.retry, second.retry) == (0, 1)
    assert first.body == second.body is not None and first.credential == second.credential


def test_a_crowd_of_slow_streams_arrives_in_time(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(headers=SSE, pieces=[WORDS[0]] * 20, chunked=True, pause=0.02)]
    done: list[float] = []

    def one() -> None:
        start = time.monotonic()
        assert ask(server.port, json.dumps(CHAT).encode())[1] == WORDS[0] * 20
        done.append(time.monotonic() - start)

    crowd = [threading.Thread(target=one) for _ in range(30)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(done) == 30
    assert len(server.records(30)) == 30
