"""The recording proxy: a raw ASGI application under `/v1/*` and `/p/{project}/v1/*`.

Bodies and end-to-end headers pass byte for byte in both directions, each upstream read is sent on at once, and a copy
is recorded after the answer is out. A client that goes away closes the upstream at once. Nothing that goes wrong with
recording reaches the user's call.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from auditor.capture import upstream
from auditor.capture.dialects import openai_chat
from auditor.capture.dialects.catalogue import by_route
from auditor.capture.flight import Flight, Journal
from auditor.capture.headers import end_to_end, open_vault, to_upstream
from auditor.capture.recorder import Recorder
from auditor.errors import Refused
from auditor.ledger.protocol import Ledger
from auditor.models import ModelsTable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEAL_SECONDS = 1.0
_ROUTE = re.compile(r"^(?:/p/(?P<project>[^/]+))?(?P<rest>/v1(?:/.*)?)$")
_PROJECT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Proxy:
    """`startup` before the first call, `shutdown` after the last; `handles` says which requests are its own.

    upstreams: name -> base address, the allow-list. data: folder for the fingerprint key.
    """

    def __init__(self, ledger: Ledger, upstreams: Mapping[str, str], models: ModelsTable, data: Path) -> None:
        self._ledger = ledger
        self._upstreams = upstream.Upstreams(upstreams)
        self._vault = open_vault(data)
        self._recorder = Recorder(ledger, models)
        self._session: aiohttp.ClientSession | None = None
        self._healer: asyncio.Task[None] | None = None
        self._in_flight = 0

    async def startup(self) -> None:
        """Record what a crashed process left behind, then open the client."""
        try:
            await asyncio.to_thread(self._recorder.recover)
        except Exception as fault:  # old journals must not keep new calls from being served
            self._recorder.failed(fault)
        self._session = upstream.open_session()
        self._healer = asyncio.create_task(self._heal(), name="capture-healer")

    async def shutdown(self) -> None:
        """Close connections and finish recording."""
        if self._healer is not None:
            self._healer.cancel()
            with suppress(asyncio.CancelledError):
                await self._healer
        if self._session is not None:
            await self._session.close()
        await asyncio.to_thread(self._recorder.close)

    def handles(self, scope: Scope) -> bool:
        """Whether a request belongs here: HTTP under `/v1` or `/p/{project}/v1`."""
        return scope["type"] == "http" and _ROUTE.match(scope["path"]) is not None

    def trouble(self) -> list[str]:
        """Sentences for /healthz: what cannot be recorded at the moment."""
        return self._recorder.trouble()

    def counts(self) -> dict[str, int]:
        """Figures for /healthz and /metrics."""
        return self._recorder.counts() | {"exchanges_in_flight": self._in_flight}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one request."""
        flight = self._flight(scope)
        call = _Relay(self, scope, receive, send, flight)
        self._in_flight += 1
        try:
            await call.run()
        finally:
            self._in_flight -= 1
            self._recorder.record(flight)

    def _flight(self, scope: Scope) -> Flight:
        raw, route = _raw_path(scope)
        match = _ROUTE.match(route)
        project = (match and match["project"]) or "default"
        if match is not None and match["project"]:
            prefix = len(f"/p/{match['project']}")
            raw, route = raw[prefix:], route[prefix:]
        headers = scope["headers"]
        return Flight(
            project=project if _PROJECT.match(project) else "default", method=scope["method"],
            path=self._vault.path(raw), route=route, request_headers=self._vault.stored(headers),
            joins=self._vault.joins(headers), started=time.time_ns(),
        )  # fmt: skip

    async def _heal(self) -> None:
        """Look now and then whether gaps can be recorded at last."""
        while True:
            await asyncio.sleep(HEAL_SECONDS)
            if self._recorder.trouble():
                await asyncio.to_thread(self._recorder.heal)


def _raw_path(scope: Scope) -> tuple[str, str]:
    """(path and query as received, path as received)."""
    raw = scope.get("raw_path") or scope["path"].encode()
    route = raw.split(b"?", 1)[0].decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return (f"{route}?{query}" if query else route), route


class _Stopped(Exception):
    """The upstream ended badly after its answer had begun."""


class _Relay:
    """One call: read the request, send it on, send the answer back, unless the client leaves first."""

    def __init__(self, proxy: Proxy, scope: Scope, receive: Receive, send: Send, flight: Flight) -> None:
        self._proxy = proxy
        self._scope = scope
        self._receive = receive
        self._send = send
        self._flight = flight
        self._journal = Journal(flight, proxy._ledger, proxy._recorder.failed)
        self._begun = False

    async def run(self) -> None:
        if not await self._read_request():
            self._flight.outcome = "client_cancelled"
            return
        self._journal.begin()
        relay = asyncio.ensure_future(self._relay())
        gone = asyncio.ensure_future(self._until_gone())
        try:
            await asyncio.wait((relay, gone), return_when=asyncio.FIRST_COMPLETED)
            if not relay.done():
                self._flight.outcome = "client_cancelled"
        finally:
            # Also on the way out of a server that is shutting down: both must be over before the flight is recorded.
            for task in (relay, gone):
                task.cancel()
            await asyncio.gather(relay, gone, return_exceptions=True)
            self._journal.end()
        if not relay.cancelled() and (fault := relay.exception()) is not None and not isinstance(fault, _Stopped):
            raise fault

    async def _read_request(self) -> bool:
        """Read the whole body; False when the client left before its end."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return False
            self._flight.request += message.get("body", b"")
            if not message.get("more_body", False):
                return True

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _relay(self) -> None:
        """Send the request on and the answer back, and say in the flight how it ended."""
        flight = self._flight
        try:
            target = self._target()
        except Refused as fault:
            flight.outcome = "refused"
            await self._own_answer(fault.status, fault.code, str(fault))
            return
        flight.upstream = target.name
        assert self._proxy._session is not None, "startup() comes first"
        headers = to_upstream(self._scope["headers"])
        body = bytes(flight.request) if flight.request or _has_body(self._scope["headers"]) else None
        response: aiohttp.ClientResponse | None = None
        try:
            response = await upstream.request(self._proxy._session, flight.method, target, headers, body)
            await self._answer(response)
            flight.outcome = "complete"
            response.release()
            response = None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            await self._failed(target, fault)
        finally:
            if response is not None:
                response.close()  # not released: the connection is cut, so that the upstream stops working at once

    def _target(self) -> upstream.Target:
        raw, _ = _raw_path(self._scope)
        match = _ROUTE.match(raw.split("?", 1)[0])
        if match is None:
            raise Refused("path", "is not under /v1", "send it to /v1/… or /p/{project}/v1/…")
        if match["project"]:
            if not _PROJECT.match(match["project"]):
                raise Refused("project", "is not a project name", "use letters, digits, dots, hyphens, underscores")
            raw = raw[len(f"/p/{match['project']}") :]
        return self._proxy._upstreams.target(self._flight.method, self._flight.route, raw)

    async def _answer(self, response: aiohttp.ClientResponse) -> None:
        flight = self._flight
        flight.headers_at = time.time_ns()
        flight.status = response.status
        headers = end_to_end(response.raw_headers)
        flight.response_headers = self._proxy._vault.stored(headers)
        await self._to_client({"type": "http.response.start", "status": response.status, "headers": headers})
        self._begun = True
        async for chunk in response.content.iter_any():
            if flight.first_byte is None:
                flight.first_byte = time.time_ns()
            await self._to_client({"type": "http.response.body", "body": chunk, "more_body": True})
            flight.response += chunk
            flight.relayed += len(chunk)
            self._journal.grew()
        flight.last_byte = time.time_ns()
        await self._to_client({"type": "http.response.body", "body": b"", "more_body": False})

    async def _to_client(self, message: MutableMapping[str, Any]) -> None:
        """Send to the client; a client that is gone ends the relay the way a disconnect does."""
        try:
            await self._send(message)
        except OSError as fault:
            self._flight.outcome = "client_cancelled"
            raise asyncio.CancelledError from fault

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
        dialect = by_route(flight.method, flight.route)
        error = dialect.error if dialect else openai_chat.error
        body = json.dumps(error(text, code)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        flight.status = status
        flight.response += body
        flight.response_headers = self._proxy._vault.stored(headers)
        await self._to_client({"type": "http.response.start", "status": status, "headers": headers})
        await self._to_client({"type": "http.response.body", "body": body, "more_body": False})
        flight.relayed += len(body)
        flight.last_byte = time.time_ns()


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether an empty request was sent as an empty body rather than as none."""
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)
