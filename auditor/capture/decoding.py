"""Content encodings undone piece by piece, for what must look into a body while it streams."""

import codecs
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import zstandard

from auditor.capture.encoding import MOST_ENCODINGS, NotDecoded

Step = Callable[[bytes], bytes]
_WINDOW = 2**27
_PIECE = 2**11
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BROTLI_PIECE = 2**16
_BEHIND = "something stands behind the end of the compressed bytes"
"""It would be stored as it came, and nobody would have looked at it."""
_TOO_LARGE = "the decoded body is too large to be looked into"
_MOST_AT_ONCE = 2**25
"""Bytes that one piece may become."""


def is_text(data: bytes) -> bool:
    """Whether bytes are text, which compressed ones never are for long. The last character may be cut in two."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return all(mark >= " " or mark in "\t\r\n" for mark in text)


class Broken(NotDecoded):
    """What follows cannot be decoded; `plain` came out before it."""

    def __init__(self, why: str, plain: bytes) -> None:
        super().__init__(why)
        self.plain = plain


class Decoder:
    """The encodings of one Content-Encoding value. Broken from `feed` when the bytes are not of that encoding.

    eager: all that the bytes so far can mean comes out at once; else it may wait inside for the end of a block.
    """

    def __init__(self, names: list[str], most: int) -> None:
        self._steps = [_STEPS[name]() for name in reversed(names)]
        self.eager = not any(name == "zstd" for name in names)
        self._zstd = self._steps[0] if len(names) == 1 and isinstance(self._steps[0], _Zstd) else None
        self._left = most

    @property
    def lag(self) -> int | None:
        """Where not eager, how many of the last bytes wait so; None where that is not known."""
        return None if self._zstd is None else self._zstd.waiting

    def feed(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        for start in range(0, len(data), _PIECE):  # a little at a time: one byte can mean 32 KiB
            piece = data[start : start + _PIECE]
            fault: Exception | None = None
            for step in self._steps:
                try:
                    piece = step(piece)
                except Broken as broken:
                    piece, fault = broken.plain, broken
                except (zlib.error, zstandard.ZstdError, brotli.error) as broken:
                    piece, fault = b"", broken
            self._left -= len(piece)
            if self._left < 0:
                raise Broken(_TOO_LARGE, b"")  # a bomb is not worth storing
            pieces.append(piece)
            if fault is not None:
                raise Broken(str(fault), b"".join(pieces)) from fault
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
            plain += _inflate(member, data, plain)
            data = member.unused_data
        return plain

    return step


def _deflate() -> Step:
    found = zlib.decompressobj()
    head: bytes | None = b""
    """The first byte alone: only the second one tells whether there is a zlib wrapper."""

    def step(data: bytes) -> bytes:
        nonlocal found, head
        if head is not None:
            data = head + data
            if len(data) < 2:
                head = data
                return b""
            head = None
            try:
                found.copy().decompress(data[:2])
            except zlib.error as fault:  # without its wrapper, as some servers send it
                if is_text(data):
                    raise Broken(str(fault), b"") from fault  # zlib would take a lot of it for deflate
                found = zlib.decompressobj(-zlib.MAX_WBITS)
        plain = _inflate(found, data, b"")
        if found.unused_data:
            raise Broken(_BEHIND, plain)
        return plain

    return step


def _inflate(found: "zlib._Decompress", data: bytes, before: bytes) -> bytes:
    """What comes out; Broken has all that came out before the fault, which zlib itself keeps to itself."""
    again = found.copy()
    try:
        return found.decompress(data)
    except zlib.error as fault:
        pieces = [before]
        with suppress(zlib.error):
            for place in range(len(data)):
                pieces.append(again.decompress(data[place : place + 1]))
        raise Broken(str(fault), b"".join(pieces)) from fault


class _Zstd:
    """Frames of zstd, one behind the other. `waiting` is how many of the last bytes belong to a block that has not
    ended yet, so that what they mean did not come out (RFC 8878, 3.1.1)."""

    def __init__(self) -> None:
        self._frame = _zstd_frame()
        self._head = b""
        """What came of the header, block header or checksum that is next."""
        self._next = self._frame_header
        self._content = 0
        """Bytes of the block's content that are still to come."""
        self._last = self._checked = False
        self.waiting = 0

    def __call__(self, data: bytes) -> bytes:
        fault, plain = self._follow(data), b""
        while data:
            if self._frame.eof:
                if fault is not None:
                    break
                self._frame = _zstd_frame()
            plain += self._frame.decompress(data)
            data = self._frame.unused_data
        if fault is not None:
            raise Broken(fault, plain)
        return plain

    def _follow(self, data: bytes) -> str | None:
        """Why what is there is no frame, if it is none."""
        place = 0
        while place < len(data):
            if self._content:
                size = min(self._content, len(data) - place)
                self._content -= size
                self.waiting += size
                place += size
                if not self._content:
                    self._block_ended()
                continue
            size = 3 - len(self._head) if self._next == self._block_header else 1
            piece = data[place : place + size]
            self._head += piece
            self.waiting += len(piece)
            place += len(piece)
            if self._next == self._frame_header and not _ZSTD_MAGIC.startswith(self._head[:4]):
                return "something else than a frame of zstd"  # also frames that readers skip: they hold anything
            if self._next():
                self._head = b""
        return None

    def _frame_header(self) -> bool:
        head = self._head
        if len(head) < 5:
            return False
        told = head[4]
        single = told >> 5 & 1
        size = 5 + (1 - single) + (0, 1, 2, 4)[told & 3] + (single, 2, 4, 8)[told >> 6]
        if len(head) < size:
            return False
        self._checked = bool(told & 4)
        self._next, self.waiting = self._block_header, 0
        return True

    def _block_header(self) -> bool:
        if len(self._head) < 3:
            return False
        told = int.from_bytes(self._head, "little")
        self._last = bool(told & 1)
        self._content = 1 if told >> 1 & 3 == 1 else told >> 3  # a block that repeats one byte has that byte
        if not self._content:
            self._block_ended()
        return True

    def _block_ended(self) -> None:
        self.waiting = 0
        if self._last:
            self._next = self._checksum if self._checked else self._frame_header

    def _checksum(self) -> bool:
        if len(self._head) < 4:
            return False
        self._next, self.waiting = self._frame_header, 0
        return True


def _zstd_frame() -> "zstandard.ZstdDecompressionObj":  # the name is known to its stubs alone
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


def _brotli() -> Step:
    stream = brotli.Decompressor()

    def step(data: bytes) -> bytes:
        if stream.is_finished():
            raise Broken(_BEHIND, b"")
        plain = bytearray(stream.process(data, output_buffer_limit=_BROTLI_PIECE))
        while not stream.can_accept_more_data() and not stream.is_finished():
            plain += stream.process(b"", output_buffer_limit=_BROTLI_PIECE)
            if len(plain) > _MOST_AT_ONCE:
                raise Broken(_TOO_LARGE, b"")
        return bytes(plain)

    return step


_STEPS: dict[str, Callable[[], Step]] = {
    "gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _Zstd, "br": _brotli,
}  # fmt: skip
