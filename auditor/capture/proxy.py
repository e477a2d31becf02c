"""The recording proxy: a raw ASGI application under `/v1/*` and `/p/{project}/v1/*`, HTTP and WebSocket.

Bodies and end-to-end headers pass byte for byte in both directions, each read is sent on at once, and a copy goes to
the spool, which is all that recording costs a call. A client that goes away closes the upstream at once. Nothing that
goes wrong with recording reaches the user's call, unless its project asked for that (`fail_closed`).
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import aiohttp

from auditor.access.protocol import Admission, Gate, OpenGate
from auditor.capture import upstream
from auditor.capture.dialects import openai_chat
from auditor.capture.dialects.catalogue import by_route
from auditor.capture.flight import Flight, Unrecorded
from auditor.capture.headers import CREDENTIALS, end_to_end, open_vault, to_upstream
from auditor.capture.spool import SPOOL, Spool
from auditor.capture.websocket import relay_websocket
from auditor.errors import Refused, Unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HELD_BYTES = 2**20
"""Requests up to here are read before they are sent on; longer ones stream through."""
_ROUTE = re.compile(r"^(?:/p/(?P<project>[^/]+))?(?P<rest>/v1(?:/.*)?)$")
_PROJECT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Proxy:
    """`startup` before the first call, `shutdown` after the last; `handles` says which requests are its own.

    upstreams: name -> base address, the allow-list. data: folder for the spool and the fingerprint key. gate: who may
    come in. private: names of upstreams that may be at private addresses.
    """

    def __init__(
        self, upstreams: Mapping[str, str], data: Path, gate: Gate | None = None, private: Collection[str] = ()
    ) -> None:
        self.upstreams = upstream.Upstreams(upstreams)
        self._private = self.upstreams.hosts(private)
        self.vault = open_vault(data)
        self.gate: Gate = gate or OpenGate()
        self.spool = Spool(data / SPOOL)
        self.session: aiohttp.ClientSession | None = None
        self.sockets: aiohttp.ClientSession | None = None
        self.accepted: Counter[str] = Counter()
        """Calls per project since the start."""
        self._in_flight = 0

    async def startup(self) -> None:
        await self.spool.open()
        self.session = upstream.open_session(self._private)
        self.sockets = upstream.open_sockets(self.session)

    async def shutdown(self) -> None:
        """Close connections and finish writing."""
        for session in (self.sockets, self.session):
            if session is not None:
                await session.close()
        await self.spool.close()

    def handles(self, scope: Scope) -> bool:
        """Whether a request belongs here: HTTP or WebSocket under `/v1` or `/p/{project}/v1`."""
        return scope["type"] in ("http", "websocket") and _ROUTE.match(scope["path"]) is not None

    def trouble(self) -> list[str]:
        """Sentences for /healthz: what cannot be recorded at the moment."""
        return self.spool.trouble()

    def counts(self) -> dict[str, int]:
        """Figures for /healthz and /metrics."""
        return {"exchanges_accepted": self.accepted.total(), "exchanges_in_flight": self._in_flight,
                **self.spool.counts()}  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one request."""
        self._in_flight += 1
        try:
            if scope["type"] == "websocket":
                await relay_websocket(self, scope, receive, send)
            else:
                await _Relay(self, scope, receive, send).run()
        finally:
            self._in_flight -= 1

    def flight(
        self, scope: Scope, method: str, admitted: Admission | None = None
    ) -> "tuple[Flight, Refused | None]":
        """(a new call that has begun in the spool, why it is refused or None). A caller who is turned away at the door
        leaves nothing behind."""
        raw, route, project, wrong = _place(scope)
        headers = scope["headers"]
        refusal: Refused | None = wrong
        admission = admitted or Admission()
        turned_away = False
        if admitted is None:
            client, asked = scope.get("client"), project if wrong is None else None
            try:
                admission = self.gate.admit(headers, "ingest", project=asked, client=client[0] if client else None)
            except Refused as fault:
                refusal, turned_away = refusal or fault, True
        if not turned_away:
            self.accepted[admission.project] += 1
        joins = self.vault.joins(headers, admission.key)
        flight = Flight(
            spool=Unrecorded() if turned_away else self.spool, vault=self.vault, admission=admission,
            method=method, path=self.vault.path(raw), route=route,
            request_headers=self.vault.stored(headers), joins=joins, started=time.time_ns(),
        )  # fmt: skip
        flight.begin()
        return flight, refusal

    def target(self, scope: Scope, flight: Flight) -> upstream.Target:
        """Where a call goes; Refused when nowhere."""
        return self.upstreams.target(flight.method, flight.route, _place(scope)[0])

    def headers(self, scope: Scope, admission: Admission, name: str) -> list[tuple[bytes, bytes]]:
        """What an upstream is sent; a vaulted credential takes the place of the client's; Refused without one."""
        rows = to_upstream(scope["headers"])
        if admission.credentials is None:
            return rows
        credential = admission.credentials.get(name)
        if credential is None:
            fix = f"store one with: auditor keys vault {name} --project {admission.project}"
            raise Refused("credential", f"no provider key is vaulted for {name}", fix)
        return [row for row in rows if row[0] not in CREDENTIALS] + list(credential)


def error_body(method: str, route: str, text: str, code: str) -> bytes:
    """An error of ours in the dialect's envelope."""
    dialect = by_route(method, route)
    return json.dumps((dialect.error if dialect else openai_chat.error)(text, code)).encode()


def _place(scope: Scope) -> tuple[str, str, str | None, Refused | None]:
    """(path and query without project prefix, path alone, project of the prefix, why it is refused)."""
    raw = (scope.get("raw_path") or scope["path"].encode()).split(b"?", 1)[0].decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    match = _ROUTE.match(raw)
    if match is None:
        return raw, raw, None, Refused("path", "is not under /v1", "send it to /v1/… or /p/{project}/v1/…")
    project, rest = match["project"], match["rest"]
    wrong = None
    if project is not None and not _PROJECT.match(project):
        wrong = Refused("project", "is not a project name", "use letters, digits, dots, hyphens, underscores")
    return (f"{rest}?{query}" if query else rest), rest, project, wrong


class _Stopped(Exception):
    """The upstream ended badly after its answer had begun."""


class _Relay:
    """One call: read the request, send it on, send the answer back, unless the client leaves first."""

    def __init__(self, proxy: Proxy, scope: Scope, receive: Receive, send: Send) -> None:
        self._proxy = proxy
        self._scope = scope
        self._receive = receive
        self._send = send
        self._flight, self._refusal = proxy.flight(scope, scope["method"])
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._begun = False
        self._gone = False
        self._over = False

    async def run(self) -> None:
        flight, self._task = self._flight, asyncio.current_task()
        try:
            body = await self._read_request()
            if body is None:
                flight.outcome = "client_cancelled"
                return
            await self._relay(body)
        except _Stopped:
            pass  # left unfinished, which the server turns into a broken connection
        except asyncio.CancelledError:
            if not self._gone or self._task is None:
                raise  # the server is shutting down
            flight.outcome = "client_cancelled"
            self._task.uncancel()
        finally:
            self._over = True
            if self._watcher is not None:
                self._watcher.cancel()
            flight.end()

    async def _read_request(self) -> bytes | AsyncIterator[bytes] | None:
        """The whole body, or an iterator over a long one; None when the client left before its end."""
        held = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            chunk: bytes = message.get("body", b"")
            last = not message.get("more_body", False)
            if chunk or last:
                self._flight.asked(chunk, last=last)
            held = held + chunk if held else chunk
            if last:
                self._watcher = asyncio.ensure_future(self._until_gone())
                return held
            if len(held) > HELD_BYTES:
                return self._rest(held)

    async def _rest(self, held: bytes) -> AsyncIterator[bytes]:
        """A long request, piece by piece."""
        yield held
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._leave()
                raise ConnectionResetError("the client left while it sent its request")
            chunk, last = message.get("body", b""), not message.get("more_body", False)
            if chunk or last:
                self._flight.asked(chunk, last=last)
                await self._proxy.spool.room()
            if chunk:
                yield chunk
            if last:
                self._watcher = asyncio.ensure_future(self._until_gone())
                return

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        """The client is gone: stop whatever is being done for it."""
        if not self._over and self._task is not None:
            self._gone = True
            self._task.cancel()

    async def _relay(self, body: bytes | AsyncIterator[bytes]) -> None:
        """Send the request on and the answer back, and say in the flight how it ended."""
        flight, proxy = self._flight, self._proxy
        try:
            if self._refusal is not None:
                raise self._refusal
            target = proxy.target(self._scope, flight)
            headers = proxy.headers(self._scope, flight.admission, target.name)
            if flight.admission.fail_closed:
                await self._kept()
        except (Refused, Unavailable) as fault:
            flight.outcome = "refused"
            await self._own_answer(fault.status, fault.code, str(fault))
            return
        flight.upstream = target.name
        assert proxy.session is not None, "startup() comes first"
        data = body if body or _has_body(self._scope["headers"]) else None
        response: aiohttp.ClientResponse | None = None
        try:
            response = await upstream.request(proxy.session, flight.method, target, headers, data)
            await self._answer(response)
            flight.outcome = "complete"
            response.release()
            response = None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            await self._failed(target, fault)
        finally:
            if response is not None:
                response.close()  # not released: the connection is cut, so that the upstream stops working at once

    async def _kept(self) -> None:
        """In a fail-closed project the request is durable before it leaves."""
        try:
            await self._proxy.spool.settle()
        except Unavailable as fault:
            problem = f"is required by this project and fails: {fault.problem}"
            raise Unavailable("recording", problem, fault.fix) from fault

    async def _answer(self, response: aiohttp.ClientResponse) -> None:
        flight, content, spool = self._flight, response.content, self._proxy.spool
        headers = end_to_end(response.raw_headers)
        flight.answered(response.status, self._proxy.vault.stored(headers))
        await self._to_client({"type": "http.response.start", "status": response.status, "headers": headers})
        self._begun = True
        closed = flight.admission.fail_closed
        while True:
            chunk = await content.readany()
            more = not content.at_eof()
            if chunk:
                flight.gave(chunk)
                if closed:
                    await self._still_kept()
                else:
                    spool.push()
                    if spool.crowded:
                        await spool.room()
            await self._to_client({"type": "http.response.body", "body": chunk, "more_body": more})
            if not more:
                return

    async def _still_kept(self) -> None:
        """In a fail-closed project every byte is durable before the client gets it; else the answer breaks off."""
        try:
            await self._proxy.spool.settle()
        except Unavailable as fault:
            self._flight.outcome = "refused"
            raise _Stopped from fault

    async def _to_client(self, message: MutableMapping[str, Any]) -> None:
        """Send to the client; a client that is gone ends the relay the way a disconnect does."""
        try:
            await self._send(message)
        except OSError as fault:
            self._leave()
            raise _Stopped from fault

    async def _failed(self, target: upstream.Target, fault: Exception) -> None:
        """The upstream could not be reached, or broke off."""
        self._flight.outcome = "upstream_failed"
        if self._begun:
            # The answer has begun: it is left unfinished, so that the client sees the break instead of a clean end.
            raise _Stopped from fault
        reason = str(fault) or type(fault).__name__
        text = f"The upstream {target.name} at {target.url.origin()} cannot be reached: {reason}. "
        text += "Start it, or correct its address in AUDITOR_UPSTREAMS."
        await self._own_answer(502, "upstream_unreachable", text)

    async def _own_answer(self, status: int, code: str, text: str) -> None:
        """An answer of ours in the dialect's error envelope."""
        flight = self._flight
        body = error_body(flight.method, flight.route, text, code)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        flight.answered(status, {name.decode(): value.decode() for name, value in headers})
        flight.gave(body)
        await self._to_client({"type": "http.response.start", "status": status, "headers": headers})
        await self._to_client({"type": "http.response.body", "body": body, "more_body": False})


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether an empty request was sent as an empty body rather than as none."""
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)
