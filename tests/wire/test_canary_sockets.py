"""Secrets in WebSocket frames, both ways, whole and in pieces, are found nowhere under the data folder."""

import base64
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_socket

from auditor.access.protocol import Admission, Header, Right
from auditor.records.exchange import Exchange
from auditor.records.wire import read

WORD = "CANARYcanary0123456789"
"""In every secret; nowhere else."""
SECRETS = {
    "keys": f"sk-proj-{WORD}abcdef",
    "aws": "AKIACANARYCANARY0123",
    "tokens": f"eyJ{WORD}.{WORD}payload.{WORD}sign",
    "email": f"{WORD}@example.org",
    "card": "4111 1111 1111 1111",
    "custom": f"BADGE-{WORD}",
}
EVERYTHING = " , ".join(SECRETS.values())
ENCODED = [base64.b64encode(b"x" * ahead + WORD.encode())[4:24] for ahead in (1, 2, 3)]
NEEDLES = [b"CANARY", b"canary0123", b"4111 1111", *ENCODED]
RULES = ("keys", "tokens", "email", "card")


class Strict:
    """A gate that lets everybody in, with every rule on."""

    def admit(self, headers: Sequence[Header], right: Right, *, project: str | None, client: str | None) -> Admission:
        return Admission(redaction=RULES, patterns=(("badge", r"BADGE-\w{10,40}"),))


@pytest.fixture
def upstream_port() -> Iterator[int]:
    """A WebSocket upstream that sends every frame back in the pieces it came in, and a last one when told to."""

    def run(connection: Any) -> None:
        try:
            while True:
                pieces = list(connection.recv_streaming())
                connection.send(iter(pieces) if len(pieces) > 1 else pieces[0])
                if "response.create" in str(pieces[0]):
                    connection.send(json.dumps({"type": "response.completed", "response": {"id": EVERYTHING}}))
        except ConnectionClosed:
            pass

    server = serve_socket(run, "127.0.0.1", 0, max_size=None, compression=None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.socket.getsockname()[1]
    server.shutdown()
    thread.join(5)


@pytest.fixture
def wired(serve: Any, upstream_port: int) -> Any:
    return serve(upstreams={"openai": f"http://127.0.0.1:{upstream_port}"}, gate=Strict())


def assert_clean(server: Any) -> None:
    """Neither the files nor what lies compressed in the ledger hold a secret."""
    for stored in server.ledger.records():
        assert not any(needle in stored.record.canonical() for needle in NEEDLES), stored.record.kind
    with server.ledger._readers.use() as connection:
        addresses = [row[0].hex() for row in connection.execute("SELECT address FROM payloads")]
    assert addresses
    for address in addresses:
        payload = server.ledger.payload(address)
        assert not any(needle in payload for needle in NEEDLES), payload[:300]
        for packed in re.findall(rb'"x-audit-binary": ?"([^"]*)"', payload):
            assert not any(needle in base64.b64decode(packed) for needle in NEEDLES)
    files = [path for path in Path(server.data).rglob("*") if path.is_file()]
    assert {"ledger.db"} <= {path.name for path in files}
    assert not [path.name for path in files if any(needle in path.read_bytes() for needle in NEEDLES)]


def talk(server: Any, frames: Sequence[Any], path: str = "/v1/realtime?model=m") -> None:
    """Send frames (a list is one frame in pieces); each comes back as it was."""
    address = f"ws://127.0.0.1:{server.port}{path}"
    with connect(address, max_size=None, compression=None) as connection:
        for frame in frames:
            connection.send(iter(frame) if isinstance(frame, list) else frame)
            joined = type(frame[0])().join(frame) if isinstance(frame, list) else frame
            assert connection.recv() == joined, "the client's bytes are its own"


CUTS = {
    "text": [EVERYTHING],
    "json": [json.dumps({"type": "conversation.item.create", "item": {"text": EVERYTHING}})],
    "binary": [EVERYTHING.encode()],
    "text in pieces": [[EVERYTHING[place : place + 3] for place in range(0, len(EVERYTHING), 3)]],
    "binary in pieces": [[EVERYTHING.encode()[place : place + 5] for place in range(0, len(EVERYTHING), 5)]],
    "one behind the other": list(SECRETS.values()) * 2,
    "at the end of a frame": [f"hello {SECRETS['keys']}", SECRETS["aws"], "bye"],
}


@pytest.mark.parametrize("name", CUTS)
def test_frames_are_masked_both_ways(wired: Any, name: str) -> None:
    talk(wired, CUTS[name])
    (stored,) = wired.records(1)
    found = read(Exchange, dict(stored.record.body))
    assert {one.where for one in found.redacted} == {"request", "response"}
    rules = {"text": 5, "json": 5, "binary": 5, "text in pieces": 5, "binary in pieces": 5, "one behind the other": 5}
    assert len({one.rule for one in found.redacted}) == rules.get(name, 1)
    sent = {one.hash for one in found.redacted if one.where == "request"}
    assert sent == {one.hash for one in found.redacted if one.where == "response"}, "equal values are seen to be equal"
    assert_clean(wired)


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_secret_that_is_spread_over_frames_is_not_whole_on_disk(wired: Any, kind: type) -> None:
    """A frame is a text of its own: pieces of a secret may be stored, but no frame border joins them to one."""
    secret = SECRETS["keys"]
    frames = [secret[place : place + 8] for place in range(0, len(secret), 8)]
    talk(wired, frames if kind is str else [frame.encode() for frame in frames])
    (stored,) = wired.records(1)
    found = read(Exchange, dict(stored.record.body))
    for side in (found.request, found.response):
        payload = wired.ledger.payload(side)
        assert secret.encode() not in payload
        assert payload.count(b"\x1e") == len(frames), "every frame is kept as one"


def test_each_call_on_one_socket_is_masked(wired: Any) -> None:
    create = json.dumps({"type": "response.create", "model": "m", "input": EVERYTHING})
    address = f"ws://127.0.0.1:{wired.port}/v1/responses?api_key={SECRETS['keys']}&note={SECRETS['custom']}"
    headers = {"x-audit-run": f"run {SECRETS['aws']}", "authorization": f"Bearer {SECRETS['keys']}"}
    with connect(address, additional_headers=headers, max_size=None) as connection:
        for _ in range(2):
            connection.send(create)
            assert connection.recv() == create
            assert json.loads(connection.recv())["response"]["id"] == EVERYTHING
    found = [read(Exchange, dict(stored.record.body)) for stored in wired.records(2)]
    assert all(one.outcome == "complete" and one.redacted for one in found)
    assert {one.where for one in found[1].redacted} >= {"request", "response"}
    assert_clean(wired)


def test_a_socket_that_breaks_off_in_the_middle_of_a_frame(wired: Any) -> None:
    with connect(f"ws://127.0.0.1:{wired.port}/v1/realtime", max_size=None, compression=None) as connection:
        connection.send(f"first {SECRETS['keys']}")
        connection.recv()

        def half() -> Iterator[str]:
            yield f"second {SECRETS['keys'][:20]}"
            connection.socket.close()
            raise ConnectionResetError

        with pytest.raises((ConnectionResetError, ConnectionClosed, OSError)):
            connection.send(half())
    (stored,) = wired.records(1)
    found = read(Exchange, dict(stored.record.body))
    assert found.request is not None and b"second" not in wired.ledger.payload(found.request), "half a frame is none"
    assert b"first [redacted:keys:" in wired.ledger.payload(found.request)
    assert_clean(wired)
