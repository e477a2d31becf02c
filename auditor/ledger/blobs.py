"""Payload bytes: compression, and the lossless split of a request into a skeleton and its messages.

A conversation resends all earlier messages with every call. Cut at the messages, the bytes before the first (head) and
behind the last (tail, often tool schemas) and every earlier message are stored once, so that storage grows with what
is new. The skeleton that holds head, separators and tail is the same for every call of one conversation.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from auditor.errors import LedgerBroken
from auditor.ledger.dictionary import TEXT

PLAIN, ZSTD, ZSTD_RECORD = 0, 1, 2
LEVEL = 3
RECORD_LEVEL = 1
"""With the dictionary a record is 1 % larger than at level 3, and a fifth cheaper."""
_SMALL = 96
"""Bytes below which compressing costs more than it saves."""
_local = threading.local()


def pack(data: bytes) -> tuple[int, bytes]:
    """(codec, stored bytes): zstd level 3 where that is smaller, else plain."""
    if len(data) < _SMALL:
        return PLAIN, data
    small = _tools().into.compress(data)
    return (ZSTD, small) if len(small) < len(data) else (PLAIN, data)


def pack_record(data: bytes) -> tuple[int, bytes]:
    """The same for the canonical bytes of a record, with what records have in common as a dictionary."""
    small = _tools().record_in.compress(data)
    return (ZSTD_RECORD, small) if len(small) < len(data) else (PLAIN, data)


def unpack(codec: int, data: bytes) -> bytes:
    """Inverse of pack; LedgerBroken when the stored bytes are damaged."""
    if codec == PLAIN:
        return data
    if codec not in (ZSTD, ZSTD_RECORD):
        raise LedgerBroken("codec", f"{codec} is not known", "restore the ledger from a backup")
    try:
        return (_tools().record_out if codec == ZSTD_RECORD else _tools().out).decompress(data)
    except zstandard.ZstdError as fault:
        raise LedgerBroken("data", f"cannot be decompressed: {fault}", "restore the ledger from a backup") from fault


class _Tools:
    """Compressors of one thread: they must not be shared."""

    def __init__(self) -> None:
        known = zstandard.ZstdCompressionDict(TEXT, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        self.into = zstandard.ZstdCompressor(level=LEVEL)
        self.out = zstandard.ZstdDecompressor()
        self.record_in = zstandard.ZstdCompressor(level=RECORD_LEVEL, dict_data=known)
        self.record_out = zstandard.ZstdDecompressor(dict_data=known)


def _tools() -> _Tools:
    found: _Tools | None = getattr(_local, "tools", None)
    if found is None:
        found = _local.tools = _Tools()
    return found


SKELETON_START = b'{"v":1,"head":"'


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """What is left of a body without its messages. `head` and `tail` are payload addresses.

    `gaps` are the bytes between message i and i+1; one element stands for "always this".
    """

    head: str
    tail: str
    gaps: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        gaps = [gap.decode("latin-1") for gap in self.gaps]
        return json.dumps({"v": 1, "head": self.head, "tail": self.tail, "gaps": gaps}, separators=(",", ":")).encode()

    @staticmethod
    def from_bytes(data: bytes) -> "Skeleton":
        try:
            form = json.loads(data)
            gaps = tuple(gap.encode("latin-1") for gap in form["gaps"])
            return Skeleton(head=form["head"], tail=form["tail"], gaps=gaps)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise LedgerBroken("skeleton", "is not one", "restore the ledger from a backup") from fault

    def join(self, head: bytes, messages: Sequence[bytes], tail: bytes) -> bytes:
        """The whole body again."""
        if len(self.gaps) == 1:
            return head + self.gaps[0].join(messages) + tail
        pieces = [head]
        for index, message in enumerate(messages):
            if index:
                pieces.append(self.gaps[index - 1])
            pieces.append(message)
        return b"".join([*pieces, tail])


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A body cut at its messages."""

    head: bytes
    messages: tuple[bytes, ...]
    gaps: tuple[bytes, ...]
    tail: bytes


def cut(data: bytes, spans: Sequence[tuple[int, int]]) -> Cut | None:
    """Cut `data` at ordered, disjoint byte ranges; None when `spans` are not such ranges or there are none."""
    place = 0
    for start, end in spans:
        if not place <= start <= end <= len(data):
            return None
        place = end
    if not spans:
        return None
    gaps = tuple(data[spans[i][1] : spans[i + 1][0]] for i in range(len(spans) - 1))
    same = (gaps[0],) if gaps and len(set(gaps)) == 1 else gaps
    return Cut(
        head=data[: spans[0][0]],
        messages=tuple(data[start:end] for start, end in spans),
        gaps=same or (b",",),
        tail=data[spans[-1][1] :],
    )
