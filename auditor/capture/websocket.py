"""WebSocket calls (OpenAI Responses, Realtime): frames pass unchanged, each `response.create` is a call of its own.

A call's request and response are recorded as JSON text sequences (RFC 7464: RS, frame, LF). A binary frame has no place
in one and is recorded as `{"x-audit-binary": "<base64>"}`; on the wire it passes as it is.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import aiohttp

from auditor.capture.exact import NotJson, parse_json
from auditor.capture.flight import Flight
from auditor.capture.headers import end_to_end
from auditor.errors import Refused, Unavailable
from auditor.records.exchange import Outcome

if TYPE_CHECKING:
    from auditor.capture.proxy import Proxy

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHOD = "WEBSOCKET"
SEQUENCE = "application/json-seq"
_LAST = {"response.completed", "response.incomplete", "response.failed", "response.done", "error"}
_HANDSHAKE = b"sec-websocket-"
_TIMEOUT_CODE = 1011


async def relay_websocket(proxy: "Proxy", scope: Scope, receive: Receive, send: Send) -> None:
    """One connection, from the client's handshake to its end."""
    await receive()  # websocket.connect
    flight, refusal = proxy.flight(scope, METHOD)
    socket = _Socket(proxy, scope, receive, send, flight)
    try:
        if refusal is not None:
            raise refusal
        target = proxy.target(scope, flight)
        sent = proxy.headers(scope, flight.admission, target.name)
        if flight.admission.fail_closed:
            await proxy.spool.settle()
    except (Refused, Unavailable) as fault:
        flight.outcome = "refused"
        await socket.deny(fault.status, [], str(fault).encode())
        return
    flight.upstream = target.name
    assert proxy.session is not None, "startup() comes first"
    headers = [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in sent
        if not name.startswith(_HANDSHAKE)
    ]
    try:
        upstream = await proxy.session.ws_connect(
            target.url, headers=headers, protocols=scope.get("subprotocols") or (), max_msg_size=0, autoclose=False,
        )  # fmt: skip
    except aiohttp.WSServerHandshakeError as fault:
        flight.outcome = "complete"
        rows = [(n.encode("latin-1"), v.encode()) for n, v in (fault.headers.items() if fault.headers else ())]
        await socket.deny(fault.status, end_to_end(rows), b"")
        return
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        flight.outcome = "upstream_failed"
        await socket.deny(502, [], f"The upstream {target.name} cannot be reached: {fault}".encode())
        return
    await socket.run(upstream)


class _Socket:
    """A client's connection and the upstream's, with the call that is under way on them."""

    def __init__(self, proxy: "Proxy", scope: Scope, receive: Receive, send: Send, flight: Flight) -> None:
        self._proxy = proxy
        self._scope = scope
        self._receive = receive
        self._send = send
        self._flight = flight
        self._asked = False
        self._finished = False
        self._left: Outcome | None = None
        """What it means for an answer that is under way that somebody left, by who left first."""

    async def deny(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Refuse the handshake with a status of HTTP where the server can say one."""
        flight = self._flight
        flight.answered(status, {"content-type": "text/plain"})
        if body:
            flight.gave(body)
        flight.end()
        if "websocket.http.response" in self._scope.get("extensions", {}):
            own = {b"content-length", b"content-type"}
            rows = [row for row in headers if row[0] not in own and not row[0].startswith(_HANDSHAKE)]
            rows += [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
            await self._send({"type": "websocket.http.response.start", "status": status, "headers": rows})
            await self._send({"type": "websocket.http.response.body", "body": body})
        else:
            await self._send({"type": "websocket.close", "code": _TIMEOUT_CODE})

    async def run(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        raw = end_to_end(upstream._response.raw_headers)
        headers = [row for row in raw if not row[0].startswith(_HANDSHAKE)]
        self._status(headers)
        await self._send({"type": "websocket.accept", "subprotocol": upstream.protocol, "headers": headers})
        self._headers = headers
        up = asyncio.ensure_future(self._up(upstream))
        down = asyncio.ensure_future(self._down(upstream))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            broken = self._asked and not self._finished
            self._flight.outcome = (self._left or "upstream_failed") if broken else "complete"
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            await upstream.close()
            self._flight.end()

    async def _up(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        """Client to upstream, until the client leaves."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._left = self._left or "client_cancelled"
                await upstream.close(code=_sendable(message.get("code")))
                return
            text, data = message.get("text"), message.get("bytes")
            if text is not None:
                self._begin_call(text)
                self._flight.asked(_framed(text.encode("utf-8", "replace")))
                await self._kept()
                await upstream.send_str(text)
            elif data is not None:
                self._flight.asked(_binary(self._flight.masked(data, "request")))
                await self._kept()
                await upstream.send_bytes(data)

    async def _down(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        """Upstream to client, until the upstream closes."""
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._flight.gave(_framed(message.data.encode("utf-8", "replace")))
                await self._kept()
                await self._send({"type": "websocket.send", "text": message.data})
                self._finished = self._finished or _kind(message.data) in _LAST
            elif message.type is aiohttp.WSMsgType.BINARY:
                self._flight.gave(_binary(self._flight.masked(message.data, "response")))
                await self._kept()
                await self._send({"type": "websocket.send", "bytes": message.data})
        self._left = self._left or "upstream_failed"
        code = _sendable(upstream.close_code)
        await self._send({"type": "websocket.close", "code": code})

    async def _kept(self) -> None:
        """In a fail-closed project a frame is durable before it goes on; else a slow disk slows it a little."""
        if not self._flight.admission.fail_closed:
            await self._proxy.spool.room()
            return
        try:
            await self._proxy.spool.settle()
        except Unavailable:
            self._left = self._left or "refused"
            raise

    def _begin_call(self, text: str) -> None:
        """A `response.create` after a finished answer begins the next call."""
        if _kind(text) == "response.create":
            if self._asked and self._finished:
                self._flight.outcome = "complete"
                self._flight.end()
                name = self._flight.upstream
                self._flight, _ = self._proxy.flight(self._scope, METHOD, self._flight.admission)
                self._flight.upstream = name
                self._status(self._headers)
            self._asked, self._finished = True, False

    def _status(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._flight.answered(101, self._proxy.vault.stored(headers) | {"content-type": SEQUENCE})


def _kind(text: str) -> str | None:
    """The `type` of a frame; long frames of other kinds are not parsed."""
    if '"response.' not in text and '"error"' not in text:
        return None
    try:
        form = parse_json(text)
    except NotJson:
        return None
    kind = form.get("type") if isinstance(form, dict) else None
    return kind if isinstance(kind, str) else None


def _framed(frame: bytes) -> bytes:
    return b"\x1e" + frame + b"\n"


def _binary(data: bytes) -> bytes:
    return _framed(json.dumps({"x-audit-binary": base64.b64encode(data).decode()}).encode())


def _sendable(code: int | None) -> int:
    """A close code that may be sent; 1005 and 1006 only say that there was none."""
    return code if code is not None and code not in (1004, 1005, 1006, 1015) and 1000 <= code < 5000 else 1000
