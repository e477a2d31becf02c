"""Bodies too long to be held in memory: kept whole, in pieces, and not read."""

from collections.abc import Callable, Iterator, Sequence

from auditor.capture.encoding import MOST_BYTES
from auditor.capture.spool_read import Piece, Stream
from auditor.ledger.protocol import Ledger
from auditor.records.exchange import Payload

MOST_BODY = MOST_BYTES
"""Bytes of one body, as it is stored, up to which it is held in memory and read; the same bound holds for what a
compressed body decodes to. The bytes of a longer one are stored all the same (`keep`)."""
PIECE_BYTES = 2**22
"""Least bytes of each stored piece but the last."""
TIME_BYTES = 8
"""Of a frame of the response, before the bytes of the body."""

Read = Callable[[Piece], bytes]
"""The payload of a frame of the spool."""


def keep(ledger: Ledger, frames: Sequence[Piece], read: Read, skip: int) -> Payload:
    """Store the body in these frames (without the first `skip` bytes of each); in memory is one piece at a time."""
    return ledger.put_pieces(_durable(ledger, _pieces(frames, read, skip)))


def request_size(stream: Stream) -> int:
    """Bytes of the stored request."""
    return sum(frame.length for frame in stream.request)


def response_size(stream: Stream) -> int:
    """Bytes of the stored response."""
    return sum(frame.length - TIME_BYTES for frame in stream.response)


def why(request: int, response: int, most: int, plain_from: dict[str, int]) -> str | None:
    """The sentence for a record: which of the bodies (their bytes) is longer than `most`; None where none is.

    plain_from: as in Stream.notes; the compressed beginning of a masked body stays compressed.
    """
    told = []
    for name, size in (("request", request), ("response", response)):
        if size > most:
            packed = plain_from.get(f"{name}_plain_from")
            more = f", the first {packed} of them still compressed" if packed else ""
            told.append(f"the {name} has {size} bytes{more}: kept in pieces and not read")
    return "; ".join(told) or None


def _pieces(frames: Sequence[Piece], read: Read, skip: int) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for frame in frames:
        held.append(read(frame)[skip:])
        size += len(held[-1])
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _durable(ledger: Ledger, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        ledger.append([])  # what is not durable yet is held in memory
