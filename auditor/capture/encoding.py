"""Content encodings of recorded bodies, undone on a copy. What was relayed stays compressed."""

import importlib
import zlib
from typing import Any

import zstandard

MOST_BYTES = 2**30
"""Bodies that grow beyond this are not decoded: a few kilobytes can be made to expand without end."""


class NotDecoded(Exception):
    """The body could not be decoded; the message says why."""


def decode(body: bytes, content_encoding: str | None) -> bytes:
    """Undo every encoding of a Content-Encoding value. A cut-off body gives what it held; NotDecoded says why not."""
    names = [name.strip().lower() for name in (content_encoding or "").split(",") if name.strip()]
    for name in reversed(names):
        body = _decode_one(body, name)
    return body


def _decode_one(body: bytes, name: str) -> bytes:
    try:
        if name in ("identity", ""):
            return body
        if name in ("gzip", "x-gzip"):
            return _gzip(body)
        if name == "deflate":
            return _deflate(body)
        if name == "zstd":
            return _bounded(zstandard.ZstdDecompressor().decompressobj().decompress(body))
        if name == "br":
            return _brotli(body)
    except (zlib.error, zstandard.ZstdError) as fault:
        raise NotDecoded(f"content-encoding {name}: {fault}") from fault
    raise NotDecoded(f"content-encoding {name} is not known")


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise NotDecoded("the decoded body is too large")
    return data


def _gzip(body: bytes) -> bytes:
    """All members of a gzip body."""
    pieces: list[bytes] = []
    while body:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        pieces.append(member.decompress(body, MOST_BYTES))
        if member.unconsumed_tail:
            raise NotDecoded("the decoded body is too large")
        body = member.unused_data
    return b"".join(pieces)


def _deflate(body: bytes) -> bytes:
    """Deflate with its zlib wrapper, or without, as some servers send it."""
    try:
        return zlib.decompressobj().decompress(body, MOST_BYTES)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MOST_BYTES)


def _brotli(body: bytes) -> bytes:
    """Brotli has no decoder in our dependencies; one that is installed is used."""
    for name in ("brotli", "brotlicffi"):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return _bounded(bytes(module.decompress(body)))
        except module.error as fault:
            raise NotDecoded(f"content-encoding br: {fault}") from fault
    raise NotDecoded("content-encoding br: install `brotli` to read it")
