"""Content encodings of recorded bodies, undone on a copy. What was relayed stays compressed."""

import importlib
import zlib
from typing import Any

import zstandard

MOST_BYTES = 2**30
"""Bodies that grow beyond this are not decoded: a few kilobytes can be made to expand without end."""


class NotDecoded(Exception):
    """The body could not be decoded; the message says why."""


def decode(body: bytes, content_encoding: str | None, *, whole: bool = False) -> bytes:
    """Undo every encoding of a Content-Encoding value; NotDecoded says why that cannot be done.

    A body that was cut off gives what it held, or, where it must be `whole`, is refused.
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",") if name.strip()]
    for name in reversed(names):
        body = _decode_one(body, name, whole)
    return body


def _decode_one(body: bytes, name: str, whole: bool) -> bytes:
    try:
        if name == "identity":
            return body
        if name in ("gzip", "x-gzip"):
            plain, ended = _gzip(body)
        elif name == "deflate":
            plain, ended = _deflate(body)
        elif name == "zstd":
            plain, ended = _zstd(body)
        elif name == "br":
            plain, ended = _brotli(body), True
        else:
            raise NotDecoded(f"content-encoding {name} is not known")
    except (zlib.error, zstandard.ZstdError) as fault:
        raise NotDecoded(f"content-encoding {name}: {fault}") from fault
    if whole and not ended:
        raise NotDecoded(f"content-encoding {name}: the body is cut off")
    return plain


def _bounded(data: bytes | bytearray) -> bytes | bytearray:
    if len(data) > MOST_BYTES:
        raise NotDecoded("the decoded body is too large")
    return data


def _gzip(body: bytes) -> tuple[bytes, bool]:
    """(all members of a gzip body, whether the last one is complete)."""
    pieces: list[bytes] = []
    ended = False
    while body:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        pieces.append(member.decompress(body, MOST_BYTES))
        if member.unconsumed_tail:
            raise NotDecoded("the decoded body is too large")
        body, ended = member.unused_data, member.eof
    return b"".join(pieces), ended


def _deflate(body: bytes) -> tuple[bytes, bool]:
    """Deflate with its zlib wrapper, or without, as some servers send it."""
    try:
        wrapped = zlib.decompressobj()
        return wrapped.decompress(body, MOST_BYTES), wrapped.eof
    except zlib.error:
        bare = zlib.decompressobj(-zlib.MAX_WBITS)
        return bare.decompress(body, MOST_BYTES), bare.eof


def _zstd(body: bytes) -> tuple[bytes, bool]:
    """Read piece by piece, so that a body made to expand without end is noticed before it fills memory."""
    frame = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
    plain = bytearray()
    for start in range(0, len(body), 2**16):
        plain += frame.decompress(body[start : start + 2**16])
        _bounded(plain)
        if frame.eof:
            break
    return bytes(plain), frame.eof


def _brotli(body: bytes) -> bytes:
    """Brotli has no decoder in our dependencies; one that is installed is used."""
    for name in ("brotli", "brotlicffi"):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return bytes(_bounded(module.decompress(body)))
        except module.error as fault:
            raise NotDecoded(f"content-encoding br: {fault}") from fault
    raise NotDecoded("content-encoding br: install `brotli` to read it")
