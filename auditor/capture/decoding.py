"""Content encodings undone piece by piece, for what must look into a body while it streams."""

import zlib
from collections.abc import Callable

import brotli
import zstandard

from auditor.capture.encoding import MOST_ENCODINGS, NotDecoded

Step = Callable[[bytes], bytes]
_WINDOW = 2**27
_PIECE = 2**11
_ZSTD_LAG = 2**17 + 2**10
"""A block of zstd has at most 128 KiB, compressed too; and a little for headers."""
_BROTLI_PIECE = 2**16
_MOST_AT_ONCE = 2**25
"""Bytes that one piece may become."""


class Decoder:
    """The encodings of one Content-Encoding value. NotDecoded from `feed` when the bytes are not of that encoding.

    lag: where not eager, how many of the last bytes may wait so; None where that is not known.
    eager: all that the bytes so far can mean comes out at once; else it may wait inside for the end of a block.
    """

    def __init__(self, names: list[str], most: int) -> None:
        self._steps = [_STEPS[name]() for name in reversed(names)]
        self.eager = not any(name == "zstd" for name in names)
        self.lag = _ZSTD_LAG if names == ["zstd"] else None
        self._left = most

    def feed(self, data: bytes) -> bytes:
        pieces = []
        for start in range(0, len(data), _PIECE):  # a little at a time: one byte can mean 32 KiB
            piece = data[start : start + _PIECE]
            try:
                for step in self._steps:
                    piece = step(piece)
            except (zlib.error, zstandard.ZstdError, brotli.error) as fault:
                raise NotDecoded(str(fault)) from fault
            self._left -= len(piece)
            if self._left < 0:
                raise NotDecoded("the decoded body is too large to be looked into")
            pieces.append(piece)
        return b"".join(pieces)


def open_decoder(content_encoding: str | None, most: int) -> Decoder | None:
    """None where nothing has to be undone, or where it is not known how."""
    names = [name.strip().lower() for name in (content_encoding or "").split(",") if name.strip()]
    names = [name for name in names if name != "identity"]
    if not names or len(names) > MOST_ENCODINGS or any(name not in _STEPS for name in names):
        return None
    return Decoder(names, most)


def _gzip() -> Step:
    member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def step(data: bytes) -> bytes:
        nonlocal member
        plain = b""
        while data:
            if member.eof:
                member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            plain += member.decompress(data)
            data = member.unused_data
        return plain

    return step


def _deflate() -> Step:
    found = zlib.decompressobj()
    begun = False

    def step(data: bytes) -> bytes:
        nonlocal found, begun
        if begun:
            return found.decompress(data)
        try:
            plain = found.decompress(data)
        except zlib.error:  # without its zlib wrapper, as some servers send it
            found = zlib.decompressobj(-zlib.MAX_WBITS)
            plain = found.decompress(data)
        begun = True
        return plain

    return step


def _zstd() -> Step:
    frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    return lambda data: b"" if frame.eof else frame.decompress(data)


def _brotli() -> Step:
    stream = brotli.Decompressor()

    def step(data: bytes) -> bytes:
        if stream.is_finished():
            return b""
        plain = bytearray(stream.process(data, output_buffer_limit=_BROTLI_PIECE))
        while not stream.can_accept_more_data() and not stream.is_finished():
            plain += stream.process(b"", output_buffer_limit=_BROTLI_PIECE)
            if len(plain) > _MOST_AT_ONCE:
                raise NotDecoded("the decoded body is too large to be looked into")
        return bytes(plain)

    return step


_STEPS: dict[str, Callable[[], Step]] = {
    "gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd, "br": _brotli,
}  # fmt: skip
