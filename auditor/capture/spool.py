"""The spool: what the proxy sees, in append-only files that are durable within a stated lag.

Frames are written as soon as the event loop comes round, and what a client is about to get before it gets it (`push`),
so that a killed process loses nothing that was received. They are synced in groups a few milliseconds later, so that a
machine that loses power loses no more than the stated lag. The system keeps a write in memory and answers at once;
while the disk is seen to be slow, writes go through a thread instead, so that no call waits for it.

The proxy only adds frames; the ingester (another process) reads them behind it and makes ledger records. So the hot
path neither parses nor waits for a database, a ledger that is down costs nothing but delay, and a killed server leaves
behind what its clients had been sent. One folder per server process holds numbered segments and a lock that the system
releases when the process dies.

A frame is `length u32 | CRC-32 u32 | kind u8 | stream u64 | payload`, little endian; the checksum covers everything
behind it. Frames of different streams (calls) interleave.
"""

import asyncio
import fcntl
import logging
import os
import secrets
import struct
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from auditor.errors import Unavailable

LOG = logging.getLogger("auditor.capture")

SPOOL = "spool"
"""Its folder in the data folder."""
SYNC_SECONDS = 0.01
"""Written bytes wait at most this long for the next sync; with the sync itself it stays below the lag of 50 ms."""
SEGMENT_BYTES = 2**26
MOST_WAITING = 2**26
"""Bytes kept in memory while the disk refuses; beyond, calls go on unrecorded and become gaps."""
CROWDED = 2**24
"""Bytes waiting for a slow disk beyond which long bodies are asked to slow down."""
RETRY_SECONDS = 0.5
FRAME_BYTES = 2**18
"""Largest payload of a frame of body bytes; longer ones are cut."""
MOST_FRAME = 2**20
"""Largest payload of any frame; what is said of a call (headers, masks) and does not fit makes it a gap."""
ROOM_SECONDS = 0.25
"""A body waits at most this long for a slow disk, piece by piece; then the call goes on and memory holds the bytes."""
SLOW_SECONDS = 0.05
"""A sync under way for longer shows that the disk is slow: writes could block then, and leave the event loop."""
HUNG_SECONDS = 5.0
"""A write under way for longer is said in /healthz."""
MOST_GAPS = 1000

BEGIN, REQUEST, STATUS, RESPONSE, END, GAP, NOTE = 1, 2, 3, 4, 5, 6, 7
_HEAD = struct.Struct("<IIBQ")
_BODY = struct.Struct("<BQ")


class Spool:
    """The writing side, used from one event loop. `open` first, `close` last."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._pieces: list[bytes] = []
        self._added = 0
        self._written = 0
        self._durable = 0
        self._flushing: asyncio.Handle | None = None
        self._writing = 0.0
        """Loop time at which the write under way in the thread began, 0 when there is none."""
        self._retired: list[int] = []
        self._syncing = 0.0
        """Loop time at which the sync under way began, 0 when there is none."""
        self._timer: asyncio.TimerHandle | None = None
        self._next = 1
        self._gaps: deque[bytes] = deque()
        self._dropped = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._fault: str | None = None
        self._file = -1
        self._lock = -1
        self._segment = 0
        self._size = 0

    async def open(self) -> None:
        """Take a folder of our own; OSError when there can be none."""
        self._loop = asyncio.get_running_loop()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="spool-sync")
        early = self._root / f".{secrets.token_hex(8)}"
        early.mkdir(parents=True, mode=0o700)
        # Locked before it gets its name: nobody may find it unlocked and take us for dead.
        self._lock = os.open(early / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = early.rename(self._root / early.name[1:])
        self._rotate()

    @property
    def _waiting(self) -> int:
        return self._added - self._durable

    def begin(self, meta: bytes) -> int:
        """A new stream; its number, or 0 when it cannot be kept: it is a gap then."""
        stream = self._next
        self._next += 1
        return stream if self.add(BEGIN, stream, meta) else 0

    def add(self, kind: int, stream: int, payload: bytes) -> bool:
        """Append to a stream. False when memory is full because the disk refuses: the stream is then a gap."""
        if len(payload) > FRAME_BYTES and kind not in (REQUEST, RESPONSE):
            if len(payload) > MOST_FRAME:
                return False
        elif len(payload) > FRAME_BYTES:
            cuts = range(0, len(payload), FRAME_BYTES)
            return all([self.add(kind, stream, payload[cut : cut + FRAME_BYTES]) for cut in cuts])
        # How a call ended is small and worth more than its bytes.
        if self._added - self._written > MOST_WAITING and kind != END:
            return False
        body = _BODY.pack(kind, stream)
        self._pieces.append(_HEAD.pack(len(payload), crc32(payload, crc32(body)), kind, stream))
        self._pieces.append(payload)
        self._added += _HEAD.size + len(payload)
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)
        return True

    def push(self) -> None:
        """Write what was added before going on, unless the disk is slow or refuses."""
        if self._fault is None:
            self._flush()

    @property
    def crowded(self) -> bool:
        """Whether the disk is slower than what comes; a disk that refuses is another matter (`trouble`)."""
        return self._waiting > CROWDED and self._fault is None

    async def room(self) -> None:
        """Wait a moment until the disk has caught up, or refuses: losing bytes is worse than a slower body."""
        deadline = self._loop.time() + ROOM_SECONDS
        while self.crowded and self._loop.time() < deadline:
            await asyncio.sleep(SYNC_SECONDS / 2)

    def lose(self, gap: bytes) -> None:
        """A call that could not be kept; it becomes a gap record as soon as there is room (`gap` is its JSON)."""
        if len(self._gaps) < MOST_GAPS:
            self._gaps.append(gap)
        else:
            self._dropped += 1

    async def settle(self) -> None:
        """Wait until everything added so far is durable; Unavailable when the disk refuses."""
        self._flush()
        if self._fault is not None:
            raise Unavailable("spool", self._fault, "make room on the disk")
        if self._durable >= self._added:
            return
        future = self._loop.create_future()
        self._waiters.append((self._added, future))
        if not self._syncing and not self._writing:
            self._sync()
        await future

    def trouble(self) -> list[str]:
        """Sentences: what cannot be written at the moment."""
        if self._fault is None and self._writing and self._loop.time() - self._writing > HUNG_SECONDS:
            seconds = self._loop.time() - self._writing
            return [f"capture: the disk has not answered a write of the spool for {seconds:.0f} s"]
        if self._fault is None:
            return []
        lost = len(self._gaps) + self._dropped
        more = f", {lost} calls are lost and will be gaps" if lost else ""
        return [f"capture: the spool cannot be written: {self._fault}; {self._waiting} bytes wait{more}"]

    def counts(self) -> dict[str, int]:
        return {"spool_waiting_bytes": self._waiting, "gaps_waiting": len(self._gaps) + self._dropped}

    async def close(self) -> None:
        """Write what is left and let go of the folder."""
        with suppress(Unavailable):
            await self.settle()
        if self._added > self._durable:
            LOG.error("%d bytes of calls could not be written to the spool and are lost", self._added - self._durable)
        self._writer.shutdown(wait=True)
        self._syncer.shutdown(wait=True)
        for file in self._retired:
            os.close(file)
        os.close(self._file)
        os.close(self._lock)

    # --- inside

    def _flush(self) -> None:
        """Hand what was added to the system: from there it outlives this process."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._pieces or self._writing:
            return
        data, self._pieces = b"".join(self._pieces), []
        now = self._loop.time()
        if self._size >= SEGMENT_BYTES or (self._syncing and now - self._syncing > SLOW_SECONDS):
            self._writing = now
            done = self._loop.run_in_executor(self._writer, self._write, data)
            done.add_done_callback(lambda result: self._wrote(data, result.exception()))
            return
        try:
            self._write(data)
        except OSError as fault:
            self._wrote(data, fault)
        else:
            self._wrote(data, None)

    def _wrote(self, data: bytes, fault: BaseException | None) -> None:
        self._writing = 0.0
        if fault is not None:
            self._pieces.insert(0, data)
            self._failed(fault)
            if self._flushing is not None:
                self._flushing.cancel()
            self._flushing = self._loop.call_later(RETRY_SECONDS, self._flush)
            return
        self._fault = None
        self._written += len(data)
        if self._pieces:
            self._flush()
        if not self._syncing:
            if self._waiters:
                self._sync()
            elif self._timer is None:
                self._timer = self._loop.call_later(SYNC_SECONDS, self._sync)

    def _write(self, data: bytes) -> None:
        """Append. What was written in part is taken back, so that it can be written again."""
        if self._size >= SEGMENT_BYTES:
            try:
                self._rotate()
            except OSError as fault:  # the segment that is open can grow on
                LOG.warning("no new spool segment could be begun: %s", fault)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _rotate(self) -> None:
        """Begin the next segment; everything in the last one is durable then."""
        if self._file >= 0:
            os.fdatasync(self._file)
        path = self.folder / segment_name(self._segment + 1)
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        if self._file >= 0:
            self._retired.append(self._file)  # a sync may still be under way on it
        self._file, self._size, self._segment = file, 0, self._segment + 1

    def _sync(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._syncing = self._loop.time()
        upto = self._written
        done = self._loop.run_in_executor(self._syncer, os.fdatasync, self._file)
        done.add_done_callback(lambda result: self._synced(upto, result))

    def _synced(self, upto: int, done: "asyncio.Future[None]") -> None:
        self._syncing = 0.0
        while self._retired:
            os.close(self._retired.pop())
        fault = done.exception()
        if fault is not None:
            self._failed(fault)
            self._timer = self._loop.call_later(RETRY_SECONDS, self._sync)
            return
        self._durable = max(self._durable, upto)
        while self._waiters and self._waiters[0][0] <= self._durable:
            _, waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
        if not self._pieces:
            self._say_gaps()
        if self._written > self._durable and self._timer is None:
            self._timer = self._loop.call_later(0 if self._waiters else SYNC_SECONDS, self._sync)

    def _failed(self, fault: BaseException) -> None:
        reason = getattr(fault, "strerror", None) or str(fault)
        if self._fault is None:
            LOG.error("calls cannot be recorded: the spool cannot be written: %s", reason)
        self._fault = reason
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable("spool", reason, "make room on the disk"))
        self._waiters = []

    def _say_gaps(self) -> None:
        while self._gaps and self._gap(self._gaps[0]):
            self._gaps.popleft()
        if self._dropped:
            more = b'{"what":"%d more calls","why":"could not be recorded, too many to name"}' % self._dropped
            if self._gap(more):
                self._dropped = 0

    def _gap(self, gap: bytes) -> bool:
        number = self._next
        self._next += 1
        return self.add(GAP, number, gap)


def segment_name(number: int) -> str:
    return f"{number:08d}.spool"


def frames(data: bytes, base: int) -> Iterator[tuple[int, int, int, int]]:
    """(kind, stream, offset of the payload in the file, its length) of the whole, undamaged frames at the start of
    `data`, which lies at `base` in its file. What follows the last of them is incomplete or damaged."""
    place, end = 0, len(data)
    while place + _HEAD.size <= end:
        length, check, kind, stream = _HEAD.unpack_from(data, place)
        start = place + _HEAD.size
        if length > MOST_FRAME or start + length > end:
            return
        if crc32(memoryview(data)[place + 8 : start + length]) != check:
            return
        yield kind, stream, base + start, length
        place = start + length
