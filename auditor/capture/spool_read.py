"""The reading side of the spool: follows every owner's segments and gives the calls that have ended."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from auditor.capture.spool import BEGIN, END, GAP, MOST_FRAME, NOTE, REQUEST, RESPONSE, STATUS, frames, segment_name

READ_BYTES = 2**22
MOST_HELD = 2**18
"""Bytes of a call kept in memory until it ends; the rest is read from its file then."""
_DAMAGE = 2**62
"""Streams have small numbers; a damaged segment is one of its own."""
assert READ_BYTES > 2 * MOST_FRAME


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a frame's payload lies (segment, byte offset, bytes), and the payload itself while that is small."""

    segment: int
    offset: int
    length: int
    data: bytes | None = None


@dataclass(kw_only=True)
class Stream:
    """One call as far as the spool tells of it; bodies stay in the files until they are asked for."""

    owner: str
    number: int
    meta: dict[str, Any]
    gap: dict[str, Any] | None = None
    """Set where this is no call but something that was lost."""
    request: list[Piece] = field(default_factory=list)
    response: list[Piece] = field(default_factory=list)
    """Payload: time of the piece (u64, ns since 1970), then bytes."""
    status: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """`request_plain_from`, `response_plain_from`: how many stored bytes of a body are still compressed."""
    masked: list[Any] = field(default_factory=list)
    """[rule, where, hash, count] of what was masked, as far as it was told before the end."""
    end: dict[str, Any] | None = None
    """None for a call whose server died."""
    segments: set[int] = field(default_factory=set)
    size: int = 0
    """Bytes of both bodies."""


class OwnerReader:
    """Reads one owner's segments. `done` are the numbers of streams that are in the ledger already."""

    def __init__(self, folder: Path, done: set[int]) -> None:
        self.folder = folder
        self.name = folder.name
        self._done = done
        self._open: dict[int, Stream] = {}
        self._held: dict[int, set[int]] = {}
        """Segment -> streams that still need it."""
        numbers = sorted(int(path.stem) for path in folder.glob("*.spool"))
        self._segment = numbers[0] if numbers else 1
        self._offset = 0
        self._files: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        """Stream in the ledger -> the segment it began in; its mark is needed while that segment exists."""
        self.finished = False
        """The owner is dead and everything it left was given."""

    def read(self) -> Iterator[Stream]:
        """Everything that has ended since the last call; after the owner's death also what never will."""
        dead = not self.finished and _is_free(self.folder / "lock")
        while not self.finished:
            file = self._file(self._segment)
            data = os.pread(file, READ_BYTES, self._offset) if file is not None else b""
            last = self._offset
            for kind, number, offset, length in frames(data, self._offset):
                self._offset = offset + length
                payload = data[offset - last : offset - last + length]
                yield from self._frame(kind, number, Piece(self._segment, offset, length, payload))
            if self._offset > last:
                continue
            following = self._following()
            if following is not None:
                if len(data) > self._offset - last:
                    yield from self._damaged()
                self._segment, self._offset = following, 0
                continue
            if dead:
                self.finished = True
                left, self._open = list(self._open.values()), {}
                yield from left
            return

    def _following(self) -> int | None:
        """The next segment there is."""
        if (self.folder / segment_name(self._segment + 1)).exists():
            return self._segment + 1
        later = [number for path in self.folder.glob("*.spool") if (number := int(path.stem)) > self._segment]
        return min(later, default=None)

    def payload(self, piece: Piece) -> bytes:
        """The payload of a frame."""
        if piece.data is not None:
            return piece.data
        file = self._file(piece.segment)
        assert file is not None, "a held segment is not removed"
        return os.pread(file, piece.length, piece.offset)

    def behind(self) -> int:
        """Bytes that were not read yet."""
        total = 0
        for path in self.folder.glob("*.spool"):
            number = int(path.stem)
            if number >= self._segment:
                with suppress(FileNotFoundError):  # asked from another thread while it was removed
                    total += path.stat().st_size - (self._offset if number == self._segment else 0)
        return total

    def ended(self, streams: list[Stream]) -> list[int]:
        """These streams are in the ledger: remove segments nobody needs; gives numbers that need no mark any more."""
        for stream in streams:
            self._done.add(stream.number)
            self._begun[stream.number] = min(stream.segments)
            for segment in stream.segments:
                self._held[segment].discard(stream.number)
        lowest = self._segment
        for segment in sorted(self._held):
            if segment >= self._segment or self._held[segment]:
                lowest = segment
                break  # in order, so that one number says which marks are still needed
            del self._held[segment]
            if segment in self._files:
                os.close(self._files.pop(segment))
            (self.folder / segment_name(segment)).unlink(missing_ok=True)
        forgotten = [number for number, begun in self._begun.items() if begun < lowest]
        for number in forgotten:
            del self._begun[number]
            self._done.discard(number)
        return forgotten

    def holds(self) -> bool:
        """Whether something that was given is not in the ledger yet."""
        return any(self._held.values())

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files = {}

    def remove(self) -> None:
        """Forget a dead owner whose calls are all in the ledger."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _frame(self, kind: int, number: int, piece: Piece) -> Iterator[Stream]:
        payload = piece.data or b""
        held = self._held.setdefault(piece.segment, set())
        if number in self._done:
            if kind in (BEGIN, GAP):
                self._begun[number] = piece.segment
            return
        if kind == BEGIN:
            meta = _read(payload)
            gap = {"what": "a call", "why": "what the spool says of its beginning cannot be read"} if not meta else None
            self._open[number] = Stream(owner=self.name, number=number, meta=meta, gap=gap)
        elif kind == GAP:
            held.add(number)
            yield Stream(owner=self.name, number=number, meta={}, gap=_gap(_read(payload)), segments={piece.segment})
            return
        stream = self._open.get(number)
        if stream is None:
            return  # its beginning was removed because it is in the ledger
        stream.segments.add(piece.segment)
        held.add(number)
        if kind in (REQUEST, RESPONSE):
            stream.size += piece.length
            if stream.size > MOST_HELD:
                piece = Piece(piece.segment, piece.offset, piece.length)
        if kind == REQUEST:
            stream.request.append(piece)
        elif kind == RESPONSE:
            stream.response.append(piece)
        elif kind == STATUS:
            stream.status = _read(payload)
        elif kind == NOTE:
            said = _read(payload)
            stream.masked += said.pop("masked", [])
            stream.notes |= said
        elif kind == END:
            stream.end = _read(payload)
            del self._open[number]
            yield stream

    def _damaged(self) -> Iterator[Stream]:
        number = _DAMAGE + self._segment
        if number not in self._done:
            what = f"bytes {self._offset} to the end of spool segment {self.name}/{segment_name(self._segment)}"
            gap = {"what": what, "why": "a frame's checksum does not match; the file was damaged"}
            self._held.setdefault(self._segment, set()).add(number)
            yield Stream(owner=self.name, number=number, meta={}, gap=gap, segments={self._segment})

    def _file(self, segment: int) -> int | None:
        file = self._files.get(segment)
        if file is None:
            try:
                file = self._files[segment] = os.open(self.folder / segment_name(segment), os.O_RDONLY)
            except FileNotFoundError:
                return None
        return file


def _read(payload: bytes) -> dict[str, Any]:
    """What a frame says; one that cannot be read says nothing, and must not stop the calls behind it."""
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _gap(said: dict[str, Any]) -> dict[str, Any]:
    return {"what": "something", "why": "what the spool says of it cannot be read"} | said


def owners(root: Path) -> list[Path]:
    """Folders of server processes, living and dead."""
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".") if root.is_dir() else []


def _is_free(lock: Path) -> bool:
    """Whether the process that held a lock is gone."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
