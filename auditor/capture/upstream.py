"""Where calls go: the allow-list of upstreams, and the HTTP client that speaks to them."""

import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from auditor.capture.dialects.catalogue import by_route, upstream_names
from auditor.capture.headers import Header
from auditor.capture.verbatim import VerbatimRequest, verbatim
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
            if "@" in address.partition("?")[0]:  # nobody would be sent it, and it is not to be shown
                fix = "let clients send it in a header, or vault it (auditor keys vault)"
                raise BadSetup("AUDITOR_UPSTREAMS", f"the address of {name} holds a user or a password", fix)
            url = URL(address)
            if url.scheme not in ("http", "https") or not url.host:
                raise BadSetup("AUDITOR_UPSTREAMS", f"{name} = {address!r} is no http address", "write http://host:port")
            if name not in upstream_names():
                fix = f"use {' or '.join(upstream_names())}: the name says which dialect's routes lead there"
                raise BadSetup("AUDITOR_UPSTREAMS", f"no route leads to an upstream called {name!r:.40}", fix)
            self._bases[name] = url

    def hosts(self, names: Collection[str]) -> frozenset[str]:
        """The hosts of these upstreams."""
        return frozenset(str(url.host) for name, url in self._bases.items() if name in names)

    def target(self, method: str, path: str, raw: str) -> Target:
        """Where `raw` (path and query as received) goes. Refused when nothing is configured or the path climbs."""
        if _DOTS.search(path):
            raise Refused("path", "has dot segments", "send the plain path")
        name = self._name(method, path)
        if name not in self._bases:
            raise Refused("upstream", f"none is configured for {path}", f"set AUDITOR_UPSTREAMS, e.g. {name}=https://…")
        base = self._bases[name]
        prefix = base.raw_path.rstrip("/")
        if prefix.endswith("/v1"):  # people write the address their client library wants
            prefix = prefix.removesuffix("/v1")
        return Target(name=name, url=URL(f"{base.origin()}{prefix}{raw}", encoded=True))

    def _name(self, method: str, path: str) -> str:
        """The upstream that a route needs; what no dialect knows goes to the only one there is."""
        dialect = by_route(method, path)
        wanted = dialect.upstream if dialect else "anthropic" if path.startswith("/v1/messages") else "openai"
        if wanted not in self._bases and len(self._bases) == 1 and dialect is None:
            return next(iter(self._bases))
        return wanted


_INTERNAL = ("localhost", "local", "internal", "lan", "svc", "test", "home.arpa")
_METADATA = frozenset(map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200")))
"""Where clouds hand out credentials to whoever asks from inside."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class GuardedResolver(AbstractResolver):  # type: ignore[misc, unused-ignore]
    """Resolves names of upstreams, and refuses those that turn out to be at an address that is not public.

    A name nobody outside can own (one label, `.internal`, `.local`…) was meant to be private by whoever configured it,
    and so were those in `private`; but no name may lead to a metadata or link-local address. Literal addresses never
    come here: they stand in the allow-list as they are.
    """

    def __init__(self, private: Collection[str] = (), inner: AbstractResolver | None = None) -> None:
        self._private = frozenset(private)
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self._inner is None:
            self._inner = aiohttp.ThreadedResolver()
        found: list[ResolveResult] = await self._inner.resolve(host, port, family)
        for row in found:
            why = refusal(row["host"], host in self._private or is_internal(host))
            if why is not None:
                raise OSError(None, f"{host} resolves to {row['host']}, {why}")
        return found

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()


def is_internal(host: str) -> bool:
    """Whether a host name can only mean something inside this network."""
    name = host.rstrip(".").lower()
    return "." not in name or any(name.endswith(f".{end}") for end in _INTERNAL)


def refusal(address: str, private: bool) -> str | None:
    """Why a resolved address may not be called, or None."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "which is no address"
    inner = _embedded(found)
    if inner in _METADATA or inner.is_link_local:
        return "a metadata or link-local address"
    if private and (inner.is_private or inner.is_loopback):
        return None
    if not inner.is_global or inner.is_multicast:
        return "which is not public; if that is meant, name the upstream in AUDITOR_PRIVATE_UPSTREAMS"
    return None


def _embedded(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    teredo = address.teredo
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def open_session(private: Collection[str] = ()) -> aiohttp.ClientSession:
    """A client that changes nothing: no decompression, no cookies, no redirects followed, no time limit on answers.

    private: hosts that may resolve to private addresses.
    """
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, resolver=GuardedResolver(private)),
        cookie_jar=aiohttp.DummyCookieJar(), request_class=VerbatimRequest,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None),
        skip_auto_headers=_AUTOMATIC,
        max_line_size=65536, max_field_size=65536, read_bufsize=2**18,
    )  # fmt: skip


class NoSocket(Exception):
    """The upstream answered a WebSocket's handshake with something else; `response` is to be read, and to be closed."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__(f"status {response.status}")
        self.response = response


async def _only_sockets(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status != 101:
        raise NoSocket(response)
    return response


def open_sockets(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """The same client for WebSockets: `ws_connect` raises NoSocket for an answer that is none, instead of dropping it.

    Close it before `session`, the connections of which it shares.
    """
    return aiohttp.ClientSession(
        auto_decompress=False, connector=session.connector, connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(), request_class=VerbatimRequest, timeout=session.timeout,
        skip_auto_headers=_AUTOMATIC, middlewares=(_only_sockets,), max_line_size=65536, max_field_size=65536,
    )  # fmt: skip


async def request(
    session: aiohttp.ClientSession, method: str, target: Target, headers: list[Header],
    body: bytes | AsyncIterator[bytes] | None,
) -> aiohttp.ClientResponse:
    """Send a request on and wait for the headers of its answer."""
    return await session.request(method, target.url, headers=verbatim(headers), data=body, allow_redirects=False)
