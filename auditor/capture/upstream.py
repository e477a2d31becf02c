"""Where calls go: the allow-list of upstreams, and the HTTP client that speaks to them."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from auditor.capture.dialects.catalogue import by_route
from auditor.capture.headers import Header
from auditor.errors import BadSetup, Refused

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 4.0
"""Unused connections are dropped before servers do it (uvicorn: 5 s): a POST on a closed one cannot be repeated."""
_DOTS = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, kw_only=True)
class Target:
    name: str
    url: URL


class Upstreams:
    """Named base addresses. Requests choose a path, never a host."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._bases: dict[str, URL] = {}
        for name, address in addresses.items():
            url = URL(address)
            if url.scheme not in ("http", "https") or not url.host:
                raise BadSetup("AUDITOR_UPSTREAMS", f"{name} = {address!r} is no http address", "write http://host:port")
            self._bases[name] = url

    def target(self, method: str, path: str, raw: str) -> Target:
        """Where `raw` (path and query as received) goes. Refused when nothing is configured or the path climbs."""
        if _DOTS.search(path):
            raise Refused("path", "has dot segments", "send the plain path")
        name = self._name(method, path)
        if name is None:
            raise Refused("upstream", f"none is configured for {path}", "set AUDITOR_UPSTREAMS, e.g. openai=http://…")
        base = self._bases[name]
        prefix = base.raw_path.rstrip("/")
        if prefix.endswith("/v1"):  # people write the address their client library wants
            prefix = prefix.removesuffix("/v1")
        return Target(name=name, url=URL(f"{base.origin()}{prefix}{raw}", encoded=True))

    def _name(self, method: str, path: str) -> str | None:
        dialect = by_route(method, path)
        wanted = dialect.upstream if dialect else "anthropic" if path.startswith("/v1/messages") else "openai"
        if wanted in self._bases:
            return wanted
        return next(iter(self._bases)) if len(self._bases) == 1 and dialect is None else None


def open_session() -> aiohttp.ClientSession:
    """A client that changes nothing: no decompression, no cookies, no redirects followed, no time limit on answers."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None),
        skip_auto_headers=_AUTOMATIC,
        max_line_size=65536, max_field_size=65536, read_bufsize=2**18,
    )  # fmt: skip


async def request(
    session: aiohttp.ClientSession, method: str, target: Target, headers: list[Header],
    body: bytes | AsyncIterator[bytes] | None,
) -> aiohttp.ClientResponse:
    """Send a request on and wait for the headers of its answer."""
    rows = [(name.decode("latin-1"), _value(value)) for name, value in headers]
    return await session.request(method, target.url, headers=rows, data=body, allow_redirects=False)


def _value(value: bytes) -> str:
    """A header value as the client library wants it: it writes UTF-8, which gives the received bytes again."""
    return value.decode("utf-8", "replace")
