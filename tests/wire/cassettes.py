"""Recorded HTTP exchanges (YAML cassettes): read, replayed by the scripted upstream, driven through a server, compared.

Cassettes hold decoded bodies: text as it was sent (streams), or the JSON it was parsed to, which is written again
compactly. So the bytes replayed here are those of the recording for streams, and equal JSON for the rest.
Used by test_cassettes.py and benchmarks/wire.py.
"""

import http.client
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "host"}
OURS = {"date", "server"}
"""Headers an HTTP server between the two may write itself."""
_DECODED = {"content-encoding"}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HOSTS = {"api.openai.com": "openai", "api.cerebras.ai": "openai", "api.anthropic.com": "anthropic"}
SPLITS = ("as recorded", "1-byte splits", "one block")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One exchange of a cassette. Headers are end-to-end ones, names as recorded."""

    name: str
    method: str
    path: str
    upstream: str
    sent: bytes
    sent_headers: list[tuple[str, str]]
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def is_stream(self) -> bool:
        return any(name.lower() == "content-type" and "event-stream" in value for name, value in self.headers)

    def pieces(self, split: str) -> list[bytes]:
        """The body cut as asked; `as recorded` is an event at a time, as servers send streams."""
        if split == "1-byte splits":
            return [self.body[at : at + 1] for at in range(len(self.body))]
        if split == "as recorded" and self.is_stream:
            return [piece for piece in re.split(rb"(?<=\n\n)", self.body) if piece]
        return [self.body]


@dataclass(frozen=True, kw_only=True)
class Skipped:
    name: str
    why: str


def read_cassettes(folder: Path) -> Iterator[Recorded | Skipped]:
    """Every exchange under `folder`, in order of path and time."""
    for path in sorted(folder.glob("*/*.yaml")):
        tape = yaml.load(path.read_text(), Loader=_LOADER)
        for number, one in enumerate(tape["interactions"]):
            yield _recorded(f"{path.parent.name}/{path.stem}#{number}", one["request"], one["response"])


def _recorded(name: str, request: dict[str, Any], response: dict[str, Any]) -> Recorded | Skipped:
    where = urlsplit(request["uri"])
    upstream, path = _HOSTS.get(where.hostname or ""), where.path
    if upstream is None and path.endswith("/chat/completions"):
        upstream, path = "openai", "/v1/chat/completions"  # another provider of the same dialect
    if upstream is None:
        return Skipped(name=name, why=f"{where.hostname} speaks no dialect of this server")
    reply = response.get("status") or {}
    return Recorded(
        name=name, method=request["method"], path=f"{path}?{where.query}" if where.query else path,
        upstream=upstream, sent=_body(request), sent_headers=_headers(request), status=int(reply.get("code", 200)),
        reason=str(reply.get("message") or "OK"), headers=_headers(response), body=_body(response),
    )  # fmt: skip


def _body(side: dict[str, Any]) -> bytes:
    if "parsed_body" in side:
        return json.dumps(side["parsed_body"], ensure_ascii=False, separators=(",", ":")).encode()
    body = side.get("body")
    text = body.get("string") if isinstance(body, dict) else body
    return text if isinstance(text, bytes) else (text or "").encode()


def _headers(side: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, str(value))
        for name, values in (side.get("headers") or {}).items()
        for value in (values if isinstance(values, list) else [values])
        if name.lower() not in HOP | OURS | _DECODED
    ]


def end_to_end(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers that must pass unchanged, names in lower case, in order of name (their order means nothing)."""
    return sorted((name.lower(), value) for name, value in rows if name.lower() not in HOP | OURS)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


def ask(port: int, recorded: Recorded, *, step: str | None = None, timeout: float = 60) -> Answer:
    """Send the recorded request, its very headers and bytes, and read the whole answer. `step` names the call to the
    server, which must keep that to itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.putrequest(recorded.method, recorded.path, skip_accept_encoding=True)
        for name, value in recorded.sent_headers:
            connection.putheader(name, value)
        if step is not None:
            connection.putheader("x-audit-step", step)
        if recorded.sent or recorded.method == "POST":
            connection.putheader("Content-Length", str(len(recorded.sent)))
        connection.endheaders(recorded.sent)
        answer = connection.getresponse()
        body = answer.read()
        return Answer(status=answer.status, reason=answer.reason, headers=end_to_end(answer.getheaders()), body=body)
    finally:
        connection.close()


def differences(recorded: Recorded, answer: Answer, received: Any) -> list[str]:
    """What did not pass unchanged, in words; `received` is what the upstream got."""
    wanted = end_to_end(recorded.headers)
    got = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in received.headers]
    line = f"{recorded.method} {recorded.path} HTTP/1.1"
    pairs = {
        "status": (answer.status, recorded.status),
        "response body": (answer.body, recorded.body),
        "response headers": (answer.headers, wanted),
        "request line": (received.line.decode("latin-1"), line),
        "request body": (received.body, recorded.sent),
        "request headers": (end_to_end(got), end_to_end(recorded.sent_headers)),
    }
    return [f"{what}: {_short(got)} is not {_short(want)}" for what, (got, want) in pairs.items() if got != want]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:90]} … {text[-90:]}"
