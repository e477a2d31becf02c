"""Header values sent byte for byte. The client library writes them as UTF-8; what is none is put in their place.

HTTP lets a header value hold any byte from 0x80 on (RFC 9110 5.5, obs-text), in whatever encoding its sender chose.
Such a value goes through the library as a word of our own; when the head of the request is written, the bytes take its
place.
"""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any

import aiohttp
from multidict import CIMultiDict

Header = tuple[bytes, bytes]


def verbatim(headers: Iterable[Header]) -> list[tuple[str, str]]:
    """Headers as a session with VerbatimRequest wants them: bytes that are not UTF-8 are lone surrogates (PEP 383)."""
    return [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in headers]


class VerbatimRequest(aiohttp.ClientRequest):  # type: ignore[misc, unused-ignore]
    """Sends what `verbatim` made of header values as the bytes they were."""

    headers: CIMultiDict[str]

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        words: dict[bytes, bytes] = {}
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in self.headers.items():
            try:
                value.encode()
            except UnicodeEncodeError:
                word = secrets.token_hex(16)
                words[word.encode()] = _plain(name, value.encode("utf-8", "surrogateescape"))
                value = word
            headers.add(name, value)
        if words:
            self.headers = headers
            _Head.put_before(conn.protocol, words)
        return await super().send(conn)


def _plain(name: str, value: bytes) -> bytes:
    """The value; ValueError where it would end its line."""
    if any(byte < 0x20 and byte != 0x09 for byte in value) or 0x7F in value:
        raise ValueError(f"the header {name} has a control character")
    return value


class _Head:
    """Stands for the transport of a connection until the head of one request has gone through it."""

    @staticmethod
    def put_before(protocol: Any, words: dict[bytes, bytes]) -> None:
        protocol.transport = _Head(protocol, protocol.transport, words)

    def __init__(self, protocol: Any, transport: asyncio.Transport, words: dict[bytes, bytes]) -> None:
        self._protocol = protocol
        self._transport = transport
        self._words = words

    def write(self, data: bytes) -> None:
        self._protocol.transport = self._transport
        head, end, body = bytes(data).partition(b"\r\n\r\n")
        for word, value in self._words.items():
            if b": " + word not in head:
                self._transport.abort()
                raise ValueError("a header could not be sent as it came")
            head = head.replace(b": " + word, b": " + value)
        self._transport.write(head + end + body)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
