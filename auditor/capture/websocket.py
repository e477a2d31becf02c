"""WebSocket calls (OpenAI Responses, Realtime): frames pass unchanged, each `response.create` is a call of its own.

A call's request and response are recorded as JSON text sequences (RFC 7464: RS, frame, LF). A binary frame has no place
in one and is recorded as `{"x-audit-binary": "<base64>"}`; on the wire it passes as it is.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from auditor.capture.exact import NotJson, parse_json
from auditor.capture.flight import Flight
from auditor.capture.headers import end_to_end
from auditor.capture.upstream import NoSocket
from auditor.capture.verbatim import verbatim
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
MOST_REFUSAL = 2**20
"""Bytes of the body of a refused handshake that are passed on and recorded; servers hold them in memory."""
_STATUSES = frozenset(HTTPStatus)


async def relay_websocket(proxy: "Proxy", scope: Scope, receive: Receive, send: Send) -> None:
    """One connection, from the client's handshake to its end."""
    await receive()  # websocket.connect
    flight, refusal = proxy.flight(scope, METHOD)
    socket = _Socket(proxy, scope, receive, send, flight)
    try:
        await _connect(proxy, scope, socket, flight, refusal)
    except _Gone:
        flight.outcome = "client_cancelled"
    finally:
        socket.end()


async def _connect(
    proxy: "Proxy", scope: Scope, socket: "_Socket", flight: Flight, refusal: Refused | None
) -> None:
    try:
        if refusal is not None:
            raise refusal
        target = proxy.target(scope, flight)
        sent = proxy.headers(scope, flight.admission, target.name)
        if flight.admission.fail_closed:
            await proxy.spool.settle()
    except (Refused, Unavailable) as fault:
        flight.outcome = "refused"
        await socket.deny(fault.status, str(fault))
        return
    flight.upstream = target.name
    assert proxy.sockets is not None, "startup() comes first"
    headers = verbatim(row for row in sent if not row[0].startswith(_HANDSHAKE))
    try:
        upstream = await socket.unless_gone(proxy.sockets.ws_connect(
            target.url, headers=headers, protocols=scope.get("subprotocols") or (), max_msg_size=0, autoclose=False,
        ))  # fmt: skip
    except NoSocket as fault:
        await socket.refuse(fault.response)
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        flight.outcome = "upstream_failed"
        await socket.deny(502, f"The upstream {target.name} cannot be reached: {fault}")
    else:
        await socket.run(upstream)


class _Gone(Exception):
    """The client cannot be sent anything any more."""


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
        self._early: MutableMapping[str, Any] | None = None
        """What came before there was a socket."""
        self._left: Outcome | None = None
        """What it means for an answer that is under way that somebody left, by who left first."""

    def end(self) -> None:
        """The call under way is over, as its outcome says."""
        self._flight.end()

    async def deny(self, status: int, text: str) -> None:
        """Refuse the handshake in words of ours."""
        body = text.encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        self._flight.answered(status, {"content-type": "text/plain"})
        self._flight.gave(body)
        await self._answer(status, headers, body)

    async def refuse(self, response: aiohttp.ClientResponse) -> None:
        """The upstream refused the handshake: its status, headers and body go on to the client."""
        flight = self._flight
        headers = end_to_end(response.raw_headers)
        flight.answered(response.status, self._proxy.vault.stored(headers))
        try:
            body, whole = await self.unless_gone(_body(response.content))
        finally:
            response.close()
        flight.gave(body)
        flight.outcome = "complete" if whole else "upstream_failed"
        if flight.admission.fail_closed:
            try:
                await self._proxy.spool.settle()
            except Unavailable as fault:
                flight.outcome = "refused"
                await self._answer(fault.status, [(b"content-type", b"text/plain")], str(fault).encode())
                return
        rows = [row for row in headers if row[0] != b"content-length" and not row[0].startswith(_HANDSHAKE)]
        await self._answer(response.status, [*rows, (b"content-length", str(len(body)).encode())], body)

    async def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """An answer of HTTP instead of a socket, where the server can give one."""
        if "websocket.http.response" in self._scope.get("extensions", {}):
            known = status if status in _STATUSES else 502  # servers know no words for the others
            await self._to_client({"type": "websocket.http.response.start", "status": known, "headers": headers})
            await self._to_client({"type": "websocket.http.response.body", "body": body})
        else:
            await self._to_client({"type": "websocket.close", "code": _TIMEOUT_CODE})

    async def unless_gone(self, work: Awaitable[Any]) -> Any:
        """Before there is a socket: the result of the work, which ends at once when the client leaves."""
        task, watcher = asyncio.ensure_future(work), asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
            if watcher.done() and watcher.result()["type"] == "websocket.disconnect":
                raise _Gone
            if watcher.done():
                self._early = watcher.result()
            return await task
        finally:
            for one in (task, watcher):
                one.cancel()
            await asyncio.gather(task, watcher, return_exceptions=True)

    async def _to_client(self, message: MutableMapping[str, Any]) -> None:
        """Send to the client; one that is gone has left, whoever notices it first."""
        try:
            await self._send(message)
        except (OSError, RuntimeError) as fault:  # servers say the latter once they know the connection as closed
            self._left = self._left or "client_cancelled"
            raise _Gone from fault

    async def run(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        raw = end_to_end(upstream._response.raw_headers)
        headers = [row for row in raw if not row[0].startswith(_HANDSHAKE)]
        self._status(headers)
        self._headers = headers
        try:
            accept = {"type": "websocket.accept", "subprotocol": upstream.protocol, "headers": headers}
            await self._to_client(accept)
        except _Gone:
            await upstream.close()
            raise
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

    async def _up(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        """Client to upstream, until the client leaves."""
        while True:
            message, self._early = self._early or await self._receive(), None
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
                await self._to_client({"type": "websocket.send", "text": message.data})
                self._finished = self._finished or _kind(message.data) in _LAST
            elif message.type is aiohttp.WSMsgType.BINARY:
                self._flight.gave(_binary(self._flight.masked(message.data, "response")))
                await self._kept()
                await self._to_client({"type": "websocket.send", "bytes": message.data})
        self._left = self._left or "upstream_failed"
        code = _sendable(upstream.close_code)
        await self._to_client({"type": "websocket.close", "code": code})

    async def _kept(self) -> None:
        """In a fail-closed project a frame is durable before it goes on; else a slow disk slows it a little."""
        if not self._flight.admission.fail_closed:
            self._proxy.spool.push()
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


async def _body(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    """(a body as far as it is passed on, whether that is all of it)."""
    body = b""
    try:
        while len(body) < MOST_REFUSAL and (more := await content.readany()):
            body += more
    except (aiohttp.ClientError, OSError):
        return body, False
    return body, content.at_eof()


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
