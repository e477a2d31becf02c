"""Secrets sent through a running server by every way in are found nowhere under its data folder."""

import base64
import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from aiohttp import ClientSession
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.ledger.open import open_ledger
from auditor.records.exchange import Exchange
from auditor.records.telemetry import TelemetryBatch
from auditor.records.wire import read

ROOT = Path(__file__).resolve().parents[2]
WORD = "CANARYcanary0123456789"
"""In every secret; nowhere else."""
SECRETS = {
    "keys": f"sk-proj-{WORD}abcdef",
    "aws": "AKIACANARYCANARY0123",
    "tokens": f"eyJ{WORD}.{WORD}payload.{WORD}sign",
    "pem": f"-----BEGIN PRIVATE KEY-----\\n{WORD}\\n-----END PRIVATE KEY-----",
    "email": f"{WORD}@example.org",
    "card": "4111 1111 1111 1111",
    "custom": f"BADGE-{WORD}",
}
NEEDLES = [b"CANARY", b"4111 1111", b"4111111111111111"]


@pytest.fixture
def server(tmp_path: Path, upstream: Any) -> Iterator[int]:
    """A whole server with all rules on; its port."""
    data = tmp_path / "data"
    environment = os.environ | {
        "AUDITOR_UPSTREAMS": f"openai={upstream.address}", "PYTHONPATH": str(ROOT), "AUDITOR_DATA": str(data),
    }  # fmt: skip
    rules = [part for rule in ("keys", "tokens", "email", "card") for part in ("--redact", rule)]
    command = [sys.executable, "-m", "auditor", "projects", "set", "default", *rules,
               "--pattern", r"badge=BADGE-\w{10,40}"]  # fmt: skip
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (data / "server.log").open("ab") as log:
        command = [sys.executable, "-m", "auditor", "serve", "--port", str(port), "--workers", "0"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                if call(port, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                assert process.poll() is None, (data / "server.log").read_text()
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def call(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException:
        return 0, b""
    finally:
        connection.close()


def settled(data: Path, count: int) -> list[Exchange]:
    ledger = open_ledger(f"sqlite:///{data / 'ledger.db'}")
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = list(ledger.records(kinds=["exchange"]))
            if len(found) >= count:
                break
            time.sleep(0.1)
        assert len(found) == count
        return [read(Exchange, dict(one.record.body)) for one in found]
    finally:
        ledger.close()


async def socket_call(port: int, text: str) -> None:
    async with ClientSession() as session:
        try:
            async with session.ws_connect(f"http://127.0.0.1:{port}/v1/responses?token=x&q={SECRETS['keys']}") as one:
                await one.send_str(json.dumps({"type": "response.create", "input": text}))
                await one.send_bytes(text.encode())
                await one.receive(timeout=5)
        except Exception as fault:  # the scripted upstream speaks no WebSocket: the handshake is refused
            assert "handshake" in type(fault).__name__.lower()


async def test_no_canary_reaches_the_disk(tmp_path: Path, upstream: Any, reply: Any, server: int) -> None:
    data, everything = tmp_path / "data", " , ".join(SECRETS.values())
    # in a body, and in the answer to it, which comes in pieces of three bytes
    spoken = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": everything}}]}).encode()
    pieces = [spoken[place : place + 3] for place in range(0, len(spoken), 3)]
    upstream.script = [reply(pieces=pieces, chunked=True, pause=0.0005)]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": everything}]}).encode()
    chat = "/v1/chat/completions"
    status, got = call(server, "POST", chat, body, content_type="application/json")
    assert (status, got) == (200, spoken)  # the client's bytes are its own
    assert upstream.received[-1].body == body
    # compressed both ways
    for name, pack in (("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.compress)):
        packed = pack(spoken)
        headers = (("Content-Type", "application/json"), ("Content-Encoding", name))
        upstream.script = [reply(headers=headers, pieces=[packed[:40], packed[40:]])]
        got = call(server, "POST", chat, pack(body), content_type="application/json", content_encoding=name)[1]
        assert got == packed
    # headers, path and query; an error text; a refused and a broken call
    upstream.script = [reply(status="401 Unauthorized", headers=(("X-Hint", SECRETS["keys"]),), pieces=[
        json.dumps({"error": {"message": f"Incorrect API key: {everything}"}}).encode()])]
    quoted = SECRETS["email"].replace("@", "%40")
    call(server, "POST", f"{chat}?note={SECRETS['keys']}&mail={quoted}", body,
         authorization=f"Bearer {SECRETS['keys']}", x_audit_run=f"run {SECRETS['keys']}",
         x_audit_tags=SECRETS["custom"], x_strange=SECRETS["aws"])  # fmt: skip
    upstream.script = [reply(ending="break", pieces=[spoken[:-9]])]
    call(server, "POST", chat, body)
    call(server, "GET", f"/v1/files/{SECRETS['keys']}/../{SECRETS['custom']}")
    await socket_call(server, everything)
    # telemetry, JSON and Protobuf, compressed too
    attribute = {"key": "gen_ai.prompt", "value": {"stringValue": everything}}
    hidden = {"key": "b", "value": {"bytesValue": base64.b64encode(everything.encode()).decode()}}
    span = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "kind": 1,
            "name": SECRETS["keys"], "attributes": [attribute, hidden], "status": {"message": everything},
            "events": [{"name": "e", "attributes": [attribute]}]}  # fmt: skip
    sent = json.dumps({"resourceSpans": [{"resource": {"attributes": [attribute]}, "scopeSpans": [{"spans": [span]}]}]})
    sent = sent.replace("sk-proj", "\\u0073k-proj")  # an escape hides nothing in telemetry
    assert call(server, "POST", "/v1/traces", sent.encode(), content_type="application/json")[0] == 200
    form = ExportTraceServiceRequest()
    one = form.resource_spans.add().scope_spans.add().spans.add(name=everything, trace_id=b"x" * 16, span_id=b"y" * 8)
    one.attributes.add(key="k").value.kvlist_value.values.add(key="i").value.string_value = everything
    one.attributes.add(key="b").value.bytes_value = everything.encode()
    packed = gzip.compress(form.SerializeToString())
    assert call(server, "POST", "/v1/traces", packed, content_type="application/x-protobuf",
                content_encoding="gzip")[0] == 200  # fmt: skip

    exchanges = settled(data, 8)
    first = exchanges[0]
    assert {one.rule for one in first.redacted} == {"keys", "tokens", "email", "card", "badge"}
    assert {one.where for one in first.redacted} == {"request", "response"}
    equal = {one.hash for one in first.redacted if one.where == "request"}
    assert equal == {one.hash for one in first.redacted if one.where == "response"}
    assert first.relayed == len(spoken)
    for packed_one in exchanges[1:4]:
        assert packed_one.redacted and packed_one.unparsed is None
        assert "content-encoding" not in packed_one.request_headers and "x-audit-decoded" in packed_one.response_headers
    ledger = open_ledger(f"sqlite:///{data / 'ledger.db'}")
    try:
        for kept in exchanges[:4]:
            assert kept.response is not None and kept.request is not None
            said = json.loads(ledger.payload(kept.response))["choices"][0]["message"]["content"]
            assert said.count("[redacted:") == len(SECRETS)
            assert json.loads(ledger.payload(kept.request))["messages"][0]["content"] == said
        batches = [read(TelemetryBatch, dict(one.record.body)) for one in ledger.records(kinds=["telemetry"])]
        assert [batch.spans for batch in batches] == [1, 1] and all(batch.redacted for batch in batches)
    finally:
        ledger.close()
    call(server, "GET", "/api/v1/health")
    files = [path for path in data.rglob("*") if path.is_file()]
    assert {"ledger.db", "follow.json", "server.log", "graph.db"} <= {path.name for path in files}
    found = {(path.name, needle) for path in files for needle in NEEDLES if needle in path.read_bytes()}
    encoded = base64.b64encode(WORD.encode())[:12]
    found |= {(path.name, encoded) for path in files if encoded in path.read_bytes()}
    assert found == set()
    assert_payloads_are_clean(data)


def assert_payloads_are_clean(data: Path) -> None:
    """Payloads lie compressed in the ledger, so bytes alone prove nothing about them."""
    from auditor.ledger.sqlite import SqliteLedger

    ledger = SqliteLedger(data / "ledger.db")
    try:
        for stored in ledger.records():
            assert b"CANARY" not in stored.record.canonical()
        with ledger._readers.use() as connection:
            addresses = [row[0].hex() for row in connection.execute("SELECT address FROM payloads")]
        assert addresses
        for address in addresses:
            assert not any(needle in ledger.payload(address) for needle in NEEDLES)
    finally:
        ledger.close()
