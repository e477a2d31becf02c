"""Bytes in, the same bytes out; what was relayed is what is recorded."""

import gzip
import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger.verify import verify
from auditor.models import ModelEntry, ModelsTable
from auditor.records.exchange import Exchange
from auditor.records.wire import read

HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}
CHAT = {
    "model": "planted/tool",
    "messages": [{"role": "user", "content": "Grüße  "}, {"role": "assistant", "content": "x"}],
}
ANSWER = b'{ "id":"1", "choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":null}'
SSE = ("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é…\"}}]}\r\n\r\n: ping\n\nevent: x\ndata: 1\n\n"
       "data: [DONE]").encode()  # fmt: skip


def call(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, list[Any], bytes]:
    """(status, end-to-end headers, body) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    data = answer.read()
    rows = [(name.lower(), value) for name, value in answer.getheaders() if name.lower() not in HOP]
    connection.close()
    return answer.status, rows, data


def exchange(server: Any, count: int = 1) -> Exchange:
    return read(Exchange, dict(server.records(count)[-1].record.body))


CASES = {
    "plain": {"pieces": [ANSWER]},
    "error": {"status": "429 Too Many Requests", "pieces": [b'{"error":{"message":"slow down"}}'],
              "headers": [("Content-Type", "application/json"), ("Retry-After-Ms", "120"), ("x-should-retry", "true"),
                          ("X-Ratelimit-Remaining-Tokens", "7"), ("X-Multi", "a"), ("X-Multi", "b")]},
    "server error, no json": {"status": "500 Internal Server Error", "pieces": [b"<html>\xff</html>"]},
    "gzip": {"pieces": [gzip.compress(ANSWER)],
             "headers": [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]},
    "gzip error": {"status": "400 Bad Request", "pieces": [gzip.compress(b'{"error":{}}')],
                   "headers": [("Content-Encoding", "gzip")]},
    "stream": {"pieces": [SSE], "chunked": True, "headers": [("Content-Type", "text/event-stream")]},
    "stream byte by byte": {"pieces": [SSE[i : i + 1] for i in range(len(SSE))], "chunked": True,
                            "headers": [("Content-Type", "text/event-stream; charset=utf-8"), ("X-Request-Id", "r1")]},
    "gzip stream": {"pieces": [gzip.compress(SSE)[i : i + 3] for i in range(0, len(gzip.compress(SSE)), 3)],
                    "chunked": True, "headers": [("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")]},
    "empty": {"pieces": [b""]},
    "no content": {"status": "204 No Content", "pieces": [], "headers": []},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_same_direct_and_through_the_proxy(name: str, upstream: Any, reply: Any, server: Any) -> None:
    case: dict[str, Any] = CASES[name]
    upstream.script = [reply(**case)]
    body = json.dumps(CHAT).encode()
    direct = call(upstream.port, "POST", "/v1/chat/completions", body, content_type="application/json")
    relayed = call(server.port, "POST", "/v1/chat/completions", body, content_type="application/json")
    assert relayed == direct
    found = exchange(server)
    whole = b"".join(case["pieces"])
    assert found.status == direct[0]
    assert found.outcome == "complete"
    assert found.relayed == len(whole)
    assert (server.ledger.payload(found.response) if found.response else b"") == whole == relayed[2]
    assert found.request is not None and found.request.messages == 2
    assert server.ledger.payload(found.request) == body
    assert found.model == "planted/tool"
    assert found.dialect == "openai_chat"


def test_a_request_reaches_the_upstream_as_it_was_sent(upstream: Any, server: Any) -> None:
    body = b'{"messages" :[ {"role":"user","content":"\\u00e9"}],  "model":"m","temperature":1.0,"x":1e3}\n'
    sent = {
        "Authorization": "Bearer sk-1", "Accept-Encoding": "br, gzip;q=0.5", "User-Agent": "OpenAI/Python 3",
        "X-Stainless-Retry-Count": "1", "OpenAI-Organization": "o", "Accept": "application/json",
        "Content-Type": "application/json; charset=utf-8", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "X-Audit-Run": "r1", "X-Audit-Key": "k", "X-Audit-Whatever": "w", "TE": "trailers", "Connection": "x-drop",
        "X-Drop": "1",
    }  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/v1/chat/completions?a=b%20c&d", body, sent)
    connection.getresponse().read()
    connection.close()
    request = upstream.received[0]
    assert request.line == b"POST /v1/chat/completions?a=b%20c&d HTTP/1.1"
    assert request.body == body
    got = {name.decode().lower(): value.decode() for name, value in request.headers}
    gone = {"x-audit-run", "x-audit-key", "x-audit-whatever", "te", "connection", "x-drop"}
    wanted = {name.lower(): value for name, value in sent.items() if name.lower() not in gone}
    assert {name: got.get(name) for name in wanted} == wanted
    assert set(got) - set(wanted) == {"host", "content-length"}
    assert got["host"] == f"127.0.0.1:{upstream.port}"


def test_joins_are_kept_as_received(upstream: Any, server: Any) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    sent = {"x_audit_run": "run 7", "x_audit_step": "s", "x_audit_tags": "a=1,b=2"}
    call(server.port, "POST", "/v1/chat/completions", json.dumps(CHAT).encode(), **sent,
         x_audit_purpose="counterfactual", traceparent=trace, authorization="Bearer sk-1")  # fmt: skip
    joins = exchange(server).joins
    assert (joins.run, joins.step, joins.tags, joins.purpose, joins.traceparent) == (
        "run 7", "s", "a=1,b=2", "counterfactual", trace,
    )  # fmt: skip
    call(server.port, "POST", "/v1/chat/completions", json.dumps(CHAT).encode(), x_api_key="sk-1")
    assert exchange(server, 2).joins.credential == joins.credential
    assert str(joins.credential).startswith("hmac-sha256:")


def test_a_streamed_piece_arrives_before_the_next_is_sent(upstream: Any, reply: Any, server: Any) -> None:
    gate = threading.Event()
    upstream.script = [reply(pieces=[b"data: 1\n\n", b"data: 2\n\n"], chunked=True, gate=gate,
                             headers=[("Content-Type", "text/event-stream")])]  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    answer = connection.getresponse()
    assert answer.read1() == b"data: 1\n\n"  # the upstream waits for us: nothing may be held back
    gate.set()
    assert answer.read() == b"data: 2\n\n"
    connection.close()


def test_other_routes_pass_through_untouched(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = lambda r: reply(pieces=[] if r.line.startswith(b"HEAD") else [r.line])
    for method, path in [
        ("GET", "/v1/models"), ("GET", "/v1/models/a%2Fb?x=%2F"), ("DELETE", "/v1/files/1"), ("PUT", "/v1/what/ever/"),
        ("PATCH", "/v1/x"), ("OPTIONS", "/v1/x"), ("POST", "/v1/rerank"), ("GET", "/v1"), ("GET", "/v1/traces"),
    ]:  # fmt: skip
        status, _, body = call(server.port, method, path)
        assert (status, body) == (200, f"{method} {path} HTTP/1.1".encode())
    found = [read(Exchange, dict(one.record.body)) for one in server.records(9)]
    assert {one.dialect for one in found} == {None}
    assert found[0].request is None
    status, _, body = call(server.port, "HEAD", "/v1/models")
    assert (status, body) == (200, b"")


def test_a_project_prefix_is_taken_off_and_recorded(upstream: Any, server: Any) -> None:
    call(server.port, "POST", "/p/team-1/v1/chat/completions?x=1", json.dumps(CHAT).encode())
    assert upstream.received[0].line == b"POST /v1/chat/completions?x=1 HTTP/1.1"
    stored = server.records(1)[0]
    assert stored.record.project == "team-1"
    assert stored.record.body["path"] == "/v1/chat/completions?x=1"


@pytest.mark.parametrize(("base", "line"), [
    ("/api", b"GET /api/v1/models HTTP/1.1"), ("/api/v1", b"GET /api/v1/models HTTP/1.1"),
    ("/v1/", b"GET /v1/models HTTP/1.1"), ("/", b"GET /v1/models HTTP/1.1"),
])  # fmt: skip
def test_a_base_address_may_have_a_path(upstream: Any, serve: Any, base: str, line: bytes) -> None:
    server = serve(upstreams={"openai": upstream.address + base})
    assert call(server.port, "GET", "/v1/models")[0] == 200
    assert upstream.received[0].line == line


@pytest.mark.parametrize("body", [b"{not json", b"", b"[1]", b'"x"', b"\xff\xfe", b'{"messages":{}}', b"{" * 5000])
def test_malformed_json_is_forwarded_and_recorded(upstream: Any, server: Any, body: bytes) -> None:
    assert call(server.port, "POST", "/v1/chat/completions", body)[0] == 200
    assert upstream.received[0].body == body
    found = exchange(server)
    assert found.unparsed is not None or body == b'{"messages":{}}'
    assert (server.ledger.payload(found.request) if found.request else b"") == body


def test_a_malformed_answer_is_passed_on_and_recorded(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(pieces=[b"{oops"])]
    assert call(server.port, "POST", "/v1/chat/completions", json.dumps(CHAT).encode())[2] == b"{oops"
    assert "response" in str(exchange(server).unparsed)


def test_the_declared_digest_is_stamped(upstream: Any, serve: Any, tmp_path: Path) -> None:
    entry = ModelEntry(name="planted/*", weights=tmp_path, digest="sha256:abc")
    server = serve(models=ModelsTable(entries=(entry,)))
    call(server.port, "POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    assert exchange(server).model_digest == "sha256:abc"
    call(server.port, "POST", "/v1/chat/completions", json.dumps({**CHAT, "model": "gpt"}).encode())
    assert exchange(server, 2).model_digest == "unknown"


def test_credentials_are_nowhere_on_disk(upstream: Any, reply: Any, server: Any) -> None:
    canary = "CANARY-3f9a"
    gate = threading.Event()
    upstream.script = [reply(pieces=[b"a", b"b"], chunked=True, gate=gate,
                             headers=[("Set-Cookie", f"s={canary}"), ("X-Api-Key", canary)])]  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    names = ["Authorization", "X-Api-Key", "Api-Key", "Cookie", "X-Audit-Key", "Proxy-Authorization", "X-Goog-Api-Key",
             "X-Amz-Security-Token", "OpenAI-Secret", "X-LiteLLM-Key", "X-OpenAI-Key", "X-Portkey-Virtual-Key",
             "X-Key", "X-Pass", "X-Session"]  # fmt: skip
    query = "&".join(f"{name}={canary}" for name in ("key", "access_token", "accessToken", "pwd", "jwt"))
    connection.request("POST", f"/v1/chat/completions?{query}&ok=1",
                       json.dumps(CHAT).encode(), {name: f"Bearer {canary}" for name in names})  # fmt: skip
    answer = connection.getresponse()
    assert f"s={canary}" in str(answer.getheader("set-cookie"))
    assert answer.read1() == b"a"
    time.sleep(0.15)  # long enough for the spool to be written
    _assert_absent(server, canary)
    gate.set()
    assert answer.read() == b"b"
    connection.close()
    found = exchange(server)
    assert canary in upstream.received[0].line.decode()
    assert found.path.startswith("/v1/chat/completions?key=hmac") and found.path.endswith("ok=1")
    assert found.request_headers["authorization"].startswith("hmac-sha256:")
    _assert_absent(server, canary)


def _assert_absent(server: Any, canary: str) -> None:
    for stored in server.ledger.records():
        assert canary not in stored.record.canonical().decode()
    connection = server.ledger.connect()
    dump = "\n".join(str(row) for table in ("payloads",)
                     for row in connection.execute(f"SELECT * FROM {table}"))  # fmt: skip
    connection.close()
    assert canary not in dump
    for path in server.data.rglob("*"):
        assert path.is_dir() or canary.encode() not in path.read_bytes(), path


def test_hundreds_of_calls_at_once_are_all_recorded(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = lambda r: reply(pieces=[r.body])
    failures: list[object] = []

    def work(worker: int) -> None:
        for number in range(15):
            body = json.dumps({**CHAT, "n": [worker, number]}).encode()
            if call(server.port, "POST", "/v1/chat/completions", body)[2] != body:
                failures.append((worker, number))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for stored in server.records(300, timeout=20):
        found = read(Exchange, dict(stored.record.body))
        assert found.request is not None and found.response is not None
        assert server.ledger.payload(found.request) == server.ledger.payload(found.response)
    assert verify(server.ledger).intact


# --- when something goes wrong


def test_an_upstream_that_is_down_is_said_in_the_dialects_own_words(serve: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = serve(upstreams={"openai": f"http://127.0.0.1:{port}"})
    status, _, body = call(server.port, "POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    assert status == 502
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "upstream_unreachable"
    assert str(port) in error["message"] and "AUDITOR_UPSTREAMS" in error["message"]
    found = exchange(server)
    assert (found.outcome, found.status, found.upstream) == ("upstream_failed", 502, "openai")


@pytest.mark.parametrize(("path", "upstreams"), [
    ("/v1/chat/completions", {}), ("/v1/../admin", None), ("/v1/%2e%2e/admin", None), ("/p/a b/v1/models", None),
])  # fmt: skip
def test_what_is_refused_never_leaves(upstream: Any, serve: Any, path: str, upstreams: Any) -> None:
    server = serve(upstreams=upstreams)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            f"POST {path.replace(' ', '%20')} HTTP/1.1\r\nhost: evil.example\r\n"
            "x-upstream: http://evil\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".encode()
        )
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 403")
    assert b'"code": "refused"' in answer
    assert upstream.received == []
    assert exchange(server).outcome == "refused"


def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(upstream: Any, reply: Any, server: Any) -> None:
    for chunked in (True, False):
        upstream.script = [reply(pieces=[b"data: 1\n\n", b"data: 2"], chunked=chunked, ending="break")]
        with pytest.raises(http.client.IncompleteRead) as caught:
            call(server.port, "POST", "/v1/chat/completions", json.dumps(CHAT).encode())
        assert caught.value.partial.startswith(b"data: 1") or chunked
    found = exchange(server, 2)
    assert found.outcome == "upstream_failed"
    assert server.ledger.payload(found.response) == b"data: 1\n\ndata: 2"


def test_the_client_leaves_before_the_headers(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(before=threading.Event())]
    _leave(server.port, b"")
    assert upstream.left.wait(3)
    found = exchange(server)
    assert (found.outcome, found.status, found.relayed, found.response) == ("client_cancelled", None, 0, None)
    assert found.times.upstream_headers is None


def test_the_client_leaves_before_the_first_byte(upstream: Any, reply: Any, server: Any) -> None:
    upstream.script = [reply(pieces=[], ending="hang")]
    _leave(server.port, b"HTTP/1.1 200")
    assert upstream.left.wait(3)
    found = exchange(server)
    assert (found.outcome, found.status, found.relayed) == ("client_cancelled", 200, 0)
    assert found.times.first_byte is None


@pytest.mark.parametrize("chunked", [True, False])
def test_the_client_leaves_in_the_middle(upstream: Any, reply: Any, server: Any, chunked: bool) -> None:
    upstream.script = [reply(pieces=[b"data: 1\n\n"], chunked=chunked, ending="hang")]
    _leave(server.port, b"data: 1\n\n")
    assert upstream.left.wait(3)
    found = exchange(server)
    assert (found.outcome, found.status, found.relayed) == ("client_cancelled", 200, 9)
    assert server.ledger.payload(found.response) == b"data: 1\n\n"
    assert found.times.last_byte is None


def _leave(port: int, after: bytes) -> None:
    """Send a call and hang up once `after` was received."""
    body = json.dumps(CHAT).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        seen = b""
        while after and after not in seen:
            seen += connection.recv(65536)
        time.sleep(0.1)


def test_the_client_leaves_while_it_sends(upstream: Any, server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"mod')
        time.sleep(0.1)
    found = exchange(server)
    assert (found.outcome, found.status) == ("client_cancelled", None)
    assert upstream.received == []


def test_header_values_pass_byte_for_byte_whatever_their_encoding(server: Any, upstream: Any, reply: Any) -> None:
    values = [b"gr\xfc\xdfe", "grüße".encode(), b"\xff", b"a\xed\xa0\x80b", b"x" * 5000 + b"\xe9", b"\x80 \x81", b"u"]
    upstream.script = [reply(headers=[("X-Back", value.decode("latin-1")) for value in values])]
    lines = b"".join(b"x-sent: %b\r\n" % value for value in values)
    for body in (b"", b"{}", b"x" * 3_000_000):  # none, held, streamed
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(b"POST /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%b"
                               b"content-length: %d\r\n\r\n%b" % (lines, len(body), body))  # fmt: skip
            answer = b""
            while more := connection.recv(65536):
                answer += more
        head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert [row[8:] for row in head if row.lower().startswith(b"x-back: ")] == values
        seen = upstream.received[-1]
        assert [value for name, value in seen.headers if name.lower() == b"x-sent"] == values and seen.body == body
    assert call(server.port, "POST", "/v1/files", b"{}")[0] == 200  # the connection is as good as before
    assert exchange(server, 4).outcome == "complete"
