"""Payloads of the SQLite ledger: stored once, read back and checked against their address."""

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from auditor.errors import LedgerBroken, NotFound, Unavailable
from auditor.ledger.blobs import Skeleton, cut, pack, unpack
from auditor.ledger.chain import ZERO, context_link, payload_address
from auditor.ledger.schema import Readers
from auditor.ledger.seen import MOST, Seen
from auditor.ledger.writer import Write, Writer
from auditor.records.exchange import Payload

MAX_WAITING_BYTES = 512 * 2**20
"""Payload bytes held in memory while the disk refuses them; more is refused, so that trouble stays visible."""
_REMEMBERED = 30_000
_PAYLOAD = "INSERT OR IGNORE INTO payloads(address, salt, codec, size, data) VALUES(?,?,?,?,?)"
_DEDUP = "INSERT OR IGNORE INTO dedup VALUES(?,?)"
_CONTEXT = "INSERT OR IGNORE INTO contexts VALUES(?,?,?)"


class SqlitePayloads:
    """Thread-safe. What was put is readable at once, from memory until it is durable."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer
        self._known = readers.snapshot()
        """For deduplication, which may be a little behind: at worst a payload is stored twice."""
        self._seen: Seen | None = None
        self._many = False
        self._looking = threading.Lock()
        self._addresses = _Recent()
        self._links = _Recent()
        self._waiting: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        plain = hashlib.sha256(data).digest()
        known: str | None = self._addresses.get(plain) or self._stored_address(plain)
        if known is not None:
            self._addresses.add(plain, known)
            return known
        self.refuse_when_full()
        salt = secrets.token_bytes(16)
        address = payload_address(salt, data)
        codec, packed = pack(data)
        self._waiting[address] = data
        key = bytes.fromhex(address)
        rows = ((_PAYLOAD, (key, salt, codec, len(data), packed)), (_DEDUP, (plain, key)))
        self._writer.put(Write(rows=rows, size=len(packed), done=lambda: self._settle(address)))
        self._addresses.add(plain, address)
        return address

    def put_split(self, data: bytes, spans: Sequence[tuple[int, int]]) -> Payload:
        pieces = cut(data, spans)
        if pieces is None:
            return Payload(address=self.put(data), size=len(data))
        skeleton = Skeleton(head=self.put(pieces.head), tail=self.put(pieces.tail), gaps=pieces.gaps)
        written = skeleton.to_bytes()
        again = Skeleton.from_bytes(written).join(pieces.head, pieces.messages, pieces.tail)
        if again != data:
            return Payload(address=self.put(data), size=len(data))
        parent = ZERO
        for message in pieces.messages:
            parent = self._linked(parent, self.put(message))
        return Payload(address=self.put(written), size=len(data), context=parent, messages=len(pieces.messages))

    def put_pieces(self, pieces: Iterable[bytes]) -> Payload:
        nothing = self.put(b"")
        skeleton = Skeleton(head=nothing, tail=nothing, gaps=(b"",))
        parent, size, count = ZERO, 0, 0
        for piece in pieces:
            parent = self._linked(parent, self.put(piece))
            size, count = size + len(piece), count + 1
        if not count:
            return Payload(address=nothing, size=0)
        return Payload(address=self.put(skeleton.to_bytes()), size=size, context=parent, messages=count)

    def payload(self, ref: Payload | str) -> bytes:
        if isinstance(ref, str) or ref.context is None:
            return self._payload(ref if isinstance(ref, str) else ref.address)
        skeleton = Skeleton.from_bytes(self._payload(ref.address))
        addresses = self._context(ref.context, ref.messages or 0)
        whole = skeleton.join(
            self._payload(skeleton.head), [self._payload(a) for a in addresses], self._payload(skeleton.tail)
        )
        if len(whole) != ref.size:
            problem = f"has {len(whole)} bytes, not {ref.size}"
            raise LedgerBroken(f"payload {ref.address}", problem, "run auditor verify")
        return whole

    def submitted(self) -> None:
        """An append ends a series of puts."""
        self._known.end()

    def close(self) -> None:
        self._known.close()

    def refuse_when_full(self) -> None:
        """Unavailable when the disk refuses for so long that memory would fill."""
        if self._writer.waiting_bytes > MAX_WAITING_BYTES:
            raise Unavailable("ledger", "cannot write and its memory is full", "check the disk")

    def _linked(self, parent: str, address: str) -> str:
        """The next link of a prefix chain, stored where it is not yet."""
        own = context_link(parent, address)
        if self._links.get(own) is None:
            row = (bytes.fromhex(own), bytes.fromhex(parent), bytes.fromhex(address))
            self._writer.put(Write(rows=((_CONTEXT, row),)))
            self._links.add(own, (parent, address))
        return own

    def _settle(self, address: str) -> None:
        self._waiting.pop(address, None)

    def _stored_address(self, plain: bytes) -> str | None:
        """Where these bytes are stored, or None. What another process stored since we began to put may be missed."""
        with self._looking:
            if self._seen is None and not self._many:
                self._read_seen()
            if self._seen is not None and plain not in self._seen:
                self._seen.add(plain)
                return None
        row = self._known.one("SELECT address FROM dedup WHERE plain=?", (plain,))
        return bytes(row[0]).hex() if row else None  # type: ignore[call-overload]

    def _read_seen(self) -> None:
        seen = Seen()
        with self._readers.use() as connection:
            for count, (plain,) in enumerate(connection.execute("SELECT plain FROM dedup")):
                if count == MOST:
                    self._many = True  # a filter this full would not spare many look-ups
                    return
                seen.add(plain)
        self._seen = seen

    def _payload(self, address: str) -> bytes:
        waiting = self._waiting.get(address)
        if waiting is not None:
            return waiting
        with self._readers.use() as connection:
            row = connection.execute(
                "SELECT salt, codec, data FROM payloads WHERE address=?", (_key(address),)
            ).fetchone()
        if row is None:
            raise NotFound("payload", f"{address} is not in the ledger", "it was erased or never stored")
        data = unpack(row[1], row[2])
        if payload_address(row[0], data) != address:
            raise LedgerBroken(f"payload {address}", "does not match its address", "run auditor verify")
        return data

    def _context(self, last: str, count: int) -> list[str]:
        """Payload addresses of a conversation, first message first."""
        found: list[str] = []
        own = last
        while own != ZERO:
            parent, address = self._context_row(own)
            if context_link(parent, address) != own:
                raise LedgerBroken(f"context {own}", "does not match its hash", "run auditor verify")
            found.append(address)
            own = parent
        if len(found) != count:
            raise LedgerBroken(f"context {last}", f"has {len(found)} messages, not {count}", "run auditor verify")
        return found[::-1]

    def _context_row(self, own: str) -> tuple[str, str]:
        recent: tuple[str, str] | None = self._links.get(own)
        if recent is not None:
            return recent
        with self._readers.use() as connection:
            row = connection.execute("SELECT parent, address FROM contexts WHERE h=?", (bytes.fromhex(own),)).fetchone()
        if row is None:
            raise NotFound("context", f"{own} is not in the ledger", "it was erased or never stored")
        return row[0].hex(), row[1].hex()


def _key(address: str) -> bytes:
    """An address as it is stored; one that is no hash finds nothing."""
    try:
        return bytes.fromhex(address)
    except ValueError:
        return address.encode()


class _Recent:
    """The newest entries of a look-up; older ones are found in the database again. Single steps of the mapping are
    atomic, and it does not matter which of two threads adds an entry."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, Any] = OrderedDict()
        self.get = self._entries.get

    def add(self, key: Any, value: Any) -> None:
        self._entries[key] = value
        if len(self._entries) > _REMEMBERED:
            with suppress(KeyError):  # another thread dropped it
                self._entries.popitem(last=False)
