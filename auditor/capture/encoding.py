"""Content encodings of recorded bodies, undone on a copy. What was relayed stays compressed."""

import zlib

import brotli  # type: ignore[import-untyped]
import zstandard

MOST_BYTES = 2**26
"""Bodies that grow beyond this are not decoded: a few kilobytes can be made to expand without end."""

MOST_ENCODINGS = 4
"""Encodings one Content-Encoding value may stack."""
_PIECE = 2**16
_ZSTD_PIECE = 2**10


class NotDecoded(Exception):
    """The body could not be decoded; the message says why."""


class TooLarge(NotDecoded):
    """The decoded body would be larger than allowed."""


def decode(body: bytes, content_encoding: str | None, *, whole: bool = False, most: int = MOST_BYTES) -> bytes:
    """Undo every encoding of a Content-Encoding value; NotDecoded says why that cannot be done.

    A body that was cut off gives what it held, or, where it must be `whole`, is refused. TooLarge as soon as more than
    `most` bytes come out, before they fill memory.
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",") if name.strip()]
    if len(names) > MOST_ENCODINGS:
        raise NotDecoded(f"content-encoding names {len(names)} encodings")
    for name in reversed(names):
        body = _decode_one(body, name, whole, most)
    return body


def _decode_one(body: bytes, name: str, whole: bool, most: int) -> bytes:
    try:
        if name == "identity":
            return body
        if name in ("gzip", "x-gzip"):
            plain, ended = _gzip(body, most)
        elif name == "deflate":
            plain, ended = _deflate(body, most)
        elif name == "zstd":
            plain, ended = _zstd(body, most)
        elif name == "br":
            plain, ended = _brotli(body, most)
        else:
            raise NotDecoded(f"content-encoding {name} is not known")
    except (zlib.error, zstandard.ZstdError, brotli.error) as fault:
        raise NotDecoded(f"content-encoding {name}: {fault}") from fault
    if whole and not ended:
        raise NotDecoded(f"content-encoding {name}: the body is cut off")
    return plain


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the decoded body has more than {most} bytes")


def _gzip(body: bytes, most: int) -> tuple[bytes, bool]:
    """(all members of a gzip body, whether the last one is complete)."""
    pieces: list[bytes] = []
    left, ended = most, False
    while body:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        piece = member.decompress(body, left + 1)
        left -= len(piece)
        if left < 0:
            raise _too_large(most)
        if piece:
            pieces.append(piece)
        body, ended = member.unused_data, member.eof
    return b"".join(pieces), ended


def _deflate(body: bytes, most: int) -> tuple[bytes, bool]:
    """Deflate with its zlib wrapper, or without, as some servers send it."""
    found = zlib.decompressobj()
    try:
        plain = found.decompress(body, most + 1)
    except zlib.error:
        found = zlib.decompressobj(-zlib.MAX_WBITS)
        plain = found.decompress(body, most + 1)
    if len(plain) > most:
        raise _too_large(most)
    return plain, found.eof


def _zstd(body: bytes, most: int) -> tuple[bytes, bool]:
    """(all frames of a zstd body, whether the last one is complete); a little at a time: one byte can mean 32 KiB."""
    plain = bytearray()
    frame = None
    for start in range(0, len(body), _ZSTD_PIECE):
        data = body[start : start + _ZSTD_PIECE]
        while data:
            if frame is None or frame.eof:
                frame = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
            plain += frame.decompress(data)
            if len(plain) > most:
                raise _too_large(most)
            data = frame.unused_data
    return bytes(plain), frame is not None and frame.eof


def _brotli(body: bytes, most: int) -> tuple[bytes, bool]:
    """A piece of output at a time."""
    stream = brotli.Decompressor()
    plain = bytearray(stream.process(body, output_buffer_limit=_PIECE))
    while not stream.is_finished():
        more = stream.process(b"", output_buffer_limit=_PIECE)
        if not more and stream.can_accept_more_data():
            break
        plain += more
        if len(plain) > most:
            raise _too_large(most)
    return bytes(plain), stream.is_finished()
