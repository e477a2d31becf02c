"""WebSocket calls: the official client, frames untouched, one record per response, leaving early."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_socket

from auditor.capture.dialects import parse_exchange
from auditor.capture.ingest import Ingester
from auditor.capture.proxy import Proxy
from auditor.capture.spool import SPOOL
from auditor.ledger.sqlite import SqliteLedger
from auditor.models import ModelsTable
from auditor.records.exchange import Exchange
from auditor.records.messages import Text
from auditor.records.wire import read

PIECES = ["Hel", "lo ", "wörld \U0001f600"]


def answer(identity: str) -> list[dict[str, Any]]:
    """The events of one short response."""
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "".join(PIECES), "annotations": []}]}  # fmt: skip
    base = {"id": identity, "object": "response", "created_at": 1, "status": "in_progress", "model": "m", "output": [],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}  # fmt: skip
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "input_tokens_details": {"cached_tokens": 0},
             "output_tokens_details": {"reasoning_tokens": 0}}  # fmt: skip
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": base},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": [], "status": "open"}},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
         "part": {"type": "output_text", "text": "", "annotations": []}},
        *({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
           "delta": piece, "logprobs": []} for piece in PIECES),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**base, "status": "completed", "output": [item], "usage": usage}},
    ]  # fmt: skip
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


@pytest.fixture
def sockets() -> Iterator[Any]:
    """A scripted WebSocket upstream: `.received` frames and handshakes, `.script(connection, text)` answers one."""

    class Upstream:
        received: list[Any] = []
        paths: list[str] = []
        headers: list[dict[str, str]] = []
        left = threading.Event()
        script: Callable[[Any, str], None]

        def run(self, connection: Any) -> None:
            self.paths.append(connection.request.path)
            self.headers.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
            try:
                for frame in connection:
                    self.received.append(frame)
                    self.script(connection, frame)
            except ConnectionClosed:
                pass
            self.left.set()

    upstream = Upstream()
    upstream.received, upstream.paths, upstream.headers, upstream.left = [], [], [], threading.Event()
    count = iter(range(100))
    upstream.script = lambda connection, _: [
        connection.send(json.dumps(event)) for event in answer(f"resp_{next(count)}")
    ] and None
    server = serve_socket(upstream.run, "127.0.0.1", 0, max_size=None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    upstream.port = server.socket.getsockname()[1]  # type: ignore[attr-defined]
    yield upstream
    server.shutdown()
    thread.join(5)


@pytest.fixture
def wired(serve: Any, sockets: Any) -> Any:
    return serve(upstreams={"openai": f"http://127.0.0.1:{sockets.port}"})


def exchanges(server: Any, count: int) -> list[Exchange]:
    return [read(Exchange, dict(stored.record.body)) for stored in server.records(count)]


def frames(server: Any, exchange: Exchange, side: str) -> list[str]:
    payload = server.ledger.payload(getattr(exchange, side))
    assert payload.startswith(b"\x1e") and payload.endswith(b"\n")
    return [frame[:-1].decode() for frame in payload.split(b"\x1e")[1:]]


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
def test_the_official_client_and_two_responses_on_one_socket(wired: Any, sockets: Any) -> None:
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{wired.port}/v1", api_key="sk-canary",
                           default_headers={"x-audit-run": "ws"})  # fmt: skip
    texts = []
    with client.responses.connect() as connection:
        for word in ("one", "two"):
            connection.response.create(model="m", input=word)
            for event in connection:
                if event.type == "response.completed":
                    texts.append(event.response.output_text)
                    break
    assert texts == ["".join(PIECES)] * 2
    assert sockets.paths[0].split("?")[0] == "/v1/responses"
    assert sockets.headers[0]["authorization"] == "Bearer sk-canary" and "x-audit-run" not in sockets.headers[0]
    first, second = exchanges(wired, 2)
    assert (first.method, first.dialect) == ("WEBSOCKET", "openai_responses")
    assert (first.outcome, first.status) == ("complete", 101)
    assert first.joins.run == second.joins.run == "ws" and second.outcome == "complete"
    assert frames(wired, first, "request") + frames(wired, second, "request") == sockets.received
    assert [json.loads(frame) for frame in frames(wired, second, "response")] == answer("resp_1")
    assert "sk-canary" not in str(first.request_headers)
    call = parse_exchange("r", second, wired.ledger.payload(second.request), wired.ledger.payload(second.response))
    assert call.unparsed is None and call.response_id == "resp_1"
    assert [part.text for part in call.outputs[0].parts if isinstance(part, Text)] == ["".join(PIECES)]


def test_frames_of_any_kind_pass_untouched(wired: Any, sockets: Any) -> None:
    sockets.script = lambda connection, frame: connection.send(frame)
    sent: list[Any] = ["not json", "\x1e\n", "x" * 3_000_000, b"\x00\xff", ""]
    with connect(f"ws://127.0.0.1:{wired.port}/v1/realtime?model=m", max_size=None) as connection:
        for frame in sent:
            connection.send(frame)
            assert connection.recv() == frame
    assert sockets.received == sent and sockets.paths == ["/v1/realtime?model=m"]
    (found,) = exchanges(wired, 1)
    assert found.outcome == "complete" and found.dialect is None
    assert '{"x-audit-binary": "AP8="}' in wired.ledger.payload(found.response).decode()


def test_a_client_that_leaves_in_the_middle_closes_the_upstream(wired: Any, sockets: Any) -> None:
    sockets.script = lambda connection, _: connection.send(json.dumps(answer("resp_9")[0]))
    with connect(f"ws://127.0.0.1:{wired.port}/v1/responses") as connection:
        connection.send('{"type": "response.create", "model": "m", "input": "hi"}')
        connection.recv()
    assert sockets.left.wait(3)
    (found,) = exchanges(wired, 1)
    assert found.outcome == "client_cancelled"


def test_an_upstream_that_leaves_in_the_middle(wired: Any, sockets: Any) -> None:
    def leave(connection: Any, _: str) -> None:
        connection.send(json.dumps(answer("resp_9")[0]))
        connection.close(code=1011)

    sockets.script = leave
    with connect(f"ws://127.0.0.1:{wired.port}/v1/responses") as connection:
        connection.send('{"type": "response.create", "model": "m", "input": "hi"}')
        connection.recv()
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    (found,) = exchanges(wired, 1)
    assert found.outcome == "upstream_failed"


def test_a_refused_handshake(serve: Any, upstream: Any, reply: Any) -> None:
    body = b'{"error":{"message":"no such key","code":"invalid_api_key"}}'
    rows = [("x-request-id", "r1"), ("Content-Type", "application/json"), ("www-authenticate", "Bearer")]
    upstream.script = [reply(status="401 Unauthorized", headers=rows, pieces=[body[:10], body[10:]])]
    server = serve()
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.port}/v1/responses"):
        pass
    answer = refused.value.response
    assert (answer.status_code, answer.body) == (401, body)
    assert [answer.headers[name] for name, _ in rows] == [value for _, value in rows]
    (found,) = exchanges(server, 1)
    assert (found.outcome, found.status, found.relayed) == ("complete", 401, len(body))
    assert server.ledger.payload(found.response) == body
    assert found.response_headers["content-type"] == "application/json"
    parse_exchange("r", found, b"", body)  # which a socket's records usually are not


def test_a_refusal_that_servers_have_no_words_for(serve: Any, upstream: Any, reply: Any) -> None:
    upstream.script = [reply(status="529 Overloaded", pieces=[b"busy"])]
    server = serve()
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.port}/v1/responses"):
        pass
    assert (refused.value.response.status_code, refused.value.response.body) == (502, b"busy")
    assert exchanges(server, 1)[0].status == 529


def test_a_client_that_leaves_before_the_refusal_ends(serve: Any, upstream: Any, reply: Any) -> None:
    upstream.script = [reply(status="401 Unauthorized", pieces=[b"{"], ending="hang")]
    server = serve()
    with pytest.raises(TimeoutError), connect(f"ws://127.0.0.1:{server.port}/v1/responses", open_timeout=0.2):
        pass
    assert upstream.left.wait(3)
    assert exchanges(server, 1)[0].outcome == "client_cancelled"


@pytest.mark.parametrize("fault", [OSError("gone"), RuntimeError("after sending 'websocket.close'")])
@pytest.mark.parametrize("vanishes", ["websocket.accept", "websocket.send"])
async def test_a_client_that_vanishes_while_it_is_sent_something(
    sockets: Any, tmp_path: Path, fault: Exception, vanishes: str
) -> None:
    proxy = Proxy({"openai": f"http://127.0.0.1:{sockets.port}"}, tmp_path)
    await proxy.startup()
    scope = {"type": "websocket", "path": "/v1/responses", "raw_path": b"/v1/responses", "query_string": b"",
             "headers": [], "client": ("127.0.0.1", 1), "subprotocols": []}  # fmt: skip
    said = [{"type": "websocket.connect"}]
    create = {"type": "websocket.receive", "text": '{"type": "response.create", "model": "m", "input": "hi"}'}
    accepted = asyncio.Event()

    async def receive() -> Any:
        if said:
            return said.pop()
        await accepted.wait()
        if create:
            told = dict(create)
            create.clear()
            return told
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == vanishes:
            raise fault
        accepted.set()

    await asyncio.wait_for(proxy(scope, receive, send), 5)
    await proxy.shutdown()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    Ingester(ledger, ModelsTable(), tmp_path / SPOOL).step()
    (stored,) = ledger.records(kinds=["exchange"])
    assert read(Exchange, dict(stored.record.body)).outcome == "client_cancelled"
    ledger.close()


def test_an_upstream_that_is_down(serve: Any) -> None:
    server = serve(upstreams={"openai": "http://127.0.0.1:1"})
    with pytest.raises(InvalidStatus) as down, connect(f"ws://127.0.0.1:{server.port}/v1/responses"):
        pass
    assert down.value.response.status_code == 502
    assert exchanges(server, 1)[0].outcome == "upstream_failed"
