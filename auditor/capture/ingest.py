"""Turns what the spool holds into `exchange` records, behind the proxy; everything there becomes a record or a gap.

Runs in the process that follows the ledger. Exactly once: in the transaction that appends a call, a side table notes
that its stream is done, so that neither a killed ingester nor a killed server doubles or loses one.
"""

import logging
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from auditor.capture.dialects.catalogue import Dialect, by_route
from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.exact import NotJson, parse_json, whole_text
from auditor.capture.headers import Vault, open_vault
from auditor.capture.large import MOST_BODY, TIME_BYTES, keep, request_size, response_size, why
from auditor.capture.masking import CUT
from auditor.capture.moments import first_moments, has_ended
from auditor.capture.scanner import Spans, read_object
from auditor.capture.spool_read import OwnerReader, Stream, owners
from auditor.errors import AuditorError
from auditor.ledger.protocol import Entry, Ledger, Stored
from auditor.models import ModelsTable
from auditor.records.exchange import Exchange, Gap, Joins, Outcome, Payload, Redaction, Times
from auditor.records.times import time_text
from auditor.records.wire import write

LOG = logging.getLogger("auditor.capture")
SOURCE = "proxy"
BATCH = 64
LOOK_SECONDS = 0.02
"""Longest time between a call's end in the spool and a look at it, while calls come."""
REST_SECONDS = 0.1
"""The same when none has come for a second."""
PRESSING = 400
"""Calls per second beyond which taking them in and cutting them into runs do not both fit into this process."""
PRESSING_BYTES = 2**20
"""The same for what waits in the spool."""
PACE_SECONDS = 0.25
_TIME = struct.Struct("<Q")
_DONE = """CREATE TABLE IF NOT EXISTS spooled(
  owner TEXT NOT NULL, stream INTEGER NOT NULL, PRIMARY KEY(owner, stream)) WITHOUT ROWID"""
_TAKEN = """CREATE TABLE IF NOT EXISTS ingested(
  owner TEXT NOT NULL, project TEXT NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY(owner, project)) WITHOUT ROWID"""
_TAKE = """INSERT INTO ingested VALUES(?,?,?)
  ON CONFLICT(owner, project) DO UPDATE SET calls = calls + excluded.calls"""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the spool has been read into the ledger."""

    position: int = -1
    """Ledger position of the last call."""
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Folder of a server process in the spool -> project -> its calls that are in the ledger."""


class Ingester:
    """One per spool folder. `step` reads once; `run_forever` follows."""

    def __init__(
        self, ledger: Ledger, models: ModelsTable, spool: Path, vault: Vault | None = None, most_body: int = MOST_BODY
    ) -> None:
        """most_body: bytes of a body beyond which it is kept in pieces and not read."""
        self._ledger = ledger
        self._most_body = most_body
        self._models = models
        self._root = spool
        self._vault = vault or open_vault(spool.parent)
        self._readers: dict[str, OwnerReader] = {}
        self._ready: list[Stream] = []
        self._forget: list[tuple[str, int]] = []
        self._prepared = False
        self.progress = Progress()
        self._recorded = 0
        self.recovered = 0
        self.gaps = 0
        self.trouble: str | None = None
        self.pressed = False
        """Calls come faster than PRESSING, or more than PRESSING_BYTES or one batch wait in the spool."""
        self._came = 0
        self._came_since = time.monotonic()

    def run_forever(self, stop: threading.Event) -> None:
        """Follow until `stop` is set, then take what is there."""
        quiet = 0
        while not stop.is_set():
            quiet = 0 if self._try_step() else quiet + 1
            if quiet:
                stop.wait(0.5 if self.trouble is not None else LOOK_SECONDS if quiet < 50 else REST_SECONDS)
        while self._try_step():
            pass

    def step(self) -> int:
        """Record what has ended; gives how many streams came into the ledger. Raises what the ledger raises."""
        if not self._prepared:
            self._ledger.append([], fence=self._prepare)
            self._prepared = True
        count = 0
        waiting: tuple[list[Stream], Future[Sequence[Stored]]] | None = None
        for stream in self._read():
            self._ready.append(stream)
            if len(self._ready) >= BATCH:
                following = self._submit()
                self.pressed = self.pressed or waiting is not None
                count += self._settle(waiting)
                waiting = following
        if self._ready:
            following = self._submit()
            count += self._settle(waiting)
            waiting = following
        return count + self._settle(waiting)

    def behind(self) -> int:
        """Bytes in the spool that were not read yet."""
        return sum(reader.behind() for reader in list(self._readers.values()))  # asked from another thread

    def counts(self) -> dict[str, int]:
        return {"exchanges": self._recorded, "exchanges_recovered": self.recovered, "gaps": self.gaps,
                "spool_behind_bytes": self.behind()}  # fmt: skip

    # --- inside

    def _prepare(self, connection: Any) -> None:
        connection.execute(_DONE)
        connection.execute(_TAKEN)
        living = {folder.name for folder in owners(self._root)}
        for (owner,) in connection.execute("SELECT DISTINCT owner FROM spooled").fetchall():
            if owner not in living:
                connection.execute("DELETE FROM spooled WHERE owner=?", (owner,))
                connection.execute("DELETE FROM ingested WHERE owner=?", (owner,))
        calls: dict[str, dict[str, int]] = {}
        for owner, project, count in connection.execute("SELECT owner, project, calls FROM ingested"):
            calls.setdefault(owner, {})[project] = count
        row = connection.execute("SELECT max(position) FROM records").fetchone()
        self.progress = Progress(position=-1 if row[0] is None else row[0], calls=calls)

    def _try_step(self) -> int:
        try:
            count = self.step()
        except Exception as fault:  # noqa: BLE001 - this thread must outlive any trouble; the reason is shown
            if self.trouble is None:
                LOG.error("calls wait in the spool: %s", fault)
            self.trouble = str(fault)
            self._restart()
            return 0
        self.trouble = None
        self._pace(count)
        return count

    def _pace(self, count: int) -> None:
        self._came += count
        seconds = time.monotonic() - self._came_since
        if seconds >= PACE_SECONDS:
            self.pressed = self._came > PRESSING * seconds or self.behind() > PRESSING_BYTES
            self._came, self._came_since = 0, time.monotonic()

    def _restart(self) -> None:
        """After trouble: read again from the files; what is in the ledger is marked there."""
        for reader in self._readers.values():
            reader.close()
        self._readers, self._ready, self._forget = {}, [], []
        self._prepared = False  # a batch may be in the ledger that was not counted here

    def _read(self) -> Iterator[Stream]:
        for folder in owners(self._root):
            reader = self._readers.get(folder.name)
            if reader is None:
                reader = self._readers[folder.name] = OwnerReader(folder, self._marks(folder.name))
            yield from reader.read()
        for name, reader in list(self._readers.items()):
            if reader.finished and not reader.holds():
                reader.remove()
                self._forget += [(name, -1)]
                del self._readers[name]
                rest = {owner: counts for owner, counts in self.progress.calls.items() if owner != name}
                self.progress = replace(self.progress, calls=rest)

    def _marks(self, owner: str) -> set[int]:
        found: set[int] = set()

        def look(connection: Any) -> None:
            rows = connection.execute("SELECT stream FROM spooled WHERE owner=?", (owner,))
            found.update(row[0] for row in rows)

        self._ledger.append([], fence=look)
        return found

    def _submit(self) -> "tuple[list[Stream], Future[Sequence[Stored]]]":
        streams, self._ready = self._ready, []
        forget, self._forget = self._forget, []
        entries = [self._entry(stream) for stream in streams]
        taken = Counter((stream.owner, project) for stream in streams if (project := _project(stream)) is not None)

        def mark(connection: Any) -> None:
            rows = [(stream.owner, stream.number) for stream in streams]
            connection.executemany("INSERT INTO spooled VALUES(?,?)", rows)
            connection.executemany(_TAKE, [(*key, count) for key, count in taken.items()])
            for owner, number in forget:
                if number < 0:
                    connection.execute("DELETE FROM spooled WHERE owner=?", (owner,))
                    connection.execute("DELETE FROM ingested WHERE owner=?", (owner,))
                else:
                    connection.execute("DELETE FROM spooled WHERE owner=? AND stream=?", (owner, number))

        return streams, self._ledger.submit(entries, fence=mark)

    def _settle(self, waiting: "tuple[list[Stream], Future[Sequence[Stored]]] | None") -> int:
        if waiting is None:
            return 0
        streams, future = waiting
        position = future.result()[-1].position
        calls = {owner: dict(counts) for owner, counts in self.progress.calls.items()}
        for stream in streams:
            if (project := _project(stream)) is not None:
                counts = calls.setdefault(stream.owner, {})
                counts[project] = counts.get(project, 0) + 1
            if stream.gap is not None:
                self.gaps += 1
            else:
                self._recorded += 1
                self.recovered += stream.end is None
        self.progress = Progress(position=position, calls=calls)
        for owner in {stream.owner for stream in streams}:
            gone = self._readers[owner].ended([stream for stream in streams if stream.owner == owner])
            self._forget += [(owner, number) for number in gone]
        return len(streams)

    def _entry(self, stream: Stream) -> Entry:
        if stream.gap is not None:
            return _gap(stream.gap)
        try:
            try:
                return self._exchange(stream, self._most_body)
            except MemoryError:
                return self._exchange(stream, 0)  # what cannot be read here can be kept
        except AuditorError:
            raise  # the ledger's trouble: the call stays in the spool
        except (OSError, MemoryError):
            raise
        except Exception as fault:  # noqa: BLE001 - recorded bytes are hostile; one call must not stop all others
            LOG.exception("a call could not be recorded")
            what = f"exchange {stream.meta.get('method')} {stream.meta.get('path')}"
            return _gap({"what": what, "why": f"could not be recorded: {type(fault).__name__}: {fault}"})

    def _exchange(self, stream: Stream, most: int) -> Entry:
        """The record of a call; of bodies beyond `most` bytes the pieces are kept, and nothing is read."""
        meta, status, end = dict(stream.meta), stream.status or {}, stream.end or {}
        reader = self._readers[stream.owner]
        asked, answered = request_size(stream), response_size(stream)
        large = why(asked, answered, most, stream.notes)
        kept = keep(self._ledger, stream.request, reader.payload, 0) if asked > most else None
        came = keep(self._ledger, stream.response, reader.payload, TIME_BYTES) if answered > most else None
        request = b"" if kept else b"".join(map(reader.payload, stream.request))
        ends = stream.response if came is None else [stream.response[0], stream.response[-1]]
        pieces = [reader.payload(piece) for piece in ends]
        response = b"" if came else b"".join([piece[TIME_BYTES:] for piece in pieces])
        marks = [(_TIME.unpack_from(piece)[0], len(piece) - TIME_BYTES) for piece in pieces]
        dialect = by_route(meta["method"], meta["route"])
        headers = status.get("headers", {})
        packed = None
        if kept is None:
            request, meta["headers"], _ = _unpacked(request, meta["headers"], stream.notes.get("request_plain_from"))
        if came is None:
            response, headers, packed = _unpacked(response, headers, stream.notes.get("response_plain_from"))
        marks = marks if packed is None else _moved(marks, *packed)
        outcome: Outcome = end.get("outcome", "crashed")
        if outcome == "client_cancelled" and has_ended(response, headers):
            outcome = "complete"  # clients leave after the last event, without waiting for the end of the body
        masked = end.get("redacted", stream.masked)
        cut = next((f"the {where} is {told}" for rule, where, told, _ in masked if rule == CUT), None)
        sent, spans, unparsed = ({}, None, None) if kept else _read_request(dialect, request, meta)
        if outcome == "complete":
            unparsed = unparsed or _read_response(dialect, response, headers)
        model = sent.get("model")
        model = whole_text(model) if isinstance(model, str) else None
        known = self._models.match(model)
        content, tool = first_moments(dialect, response, headers, marks)
        joins = Joins(**meta["joins"], body=self._vault.fingerprint(request) if request else None)
        exchange = Exchange(
            dialect=dialect.name if dialect else None, method=meta["method"], path=meta["path"],
            upstream=end.get("upstream") or status.get("upstream") or "none", status=status.get("status"),
            outcome=outcome, response=came or self._stored(response),
            request=kept or (self._ledger.put_split(request, spans) if spans else self._stored(request)),
            request_headers=meta["headers"], response_headers=headers,
            times=Times(
                started=time_text(meta["started"]), upstream_headers=_said(status.get("at")),
                first_byte=_said(marks[0][0] if marks else None),
                last_byte=_said(marks[-1][0] if marks and outcome == "complete" else None),
                first_content=_said(content), first_tool=_said(tool),
            ),
            joins=joins, model=model, model_digest=known.digest if known else "unknown",
            relayed=end.get("relayed", answered if came else len(response)), unparsed=large or cut or unparsed,
            redacted=tuple(
                Redaction(rule=rule, where=where, hash=own, count=count)
                for rule, where, own, count in masked
            ),
        )  # fmt: skip
        return Entry(
            kind="exchange", source=SOURCE, project=meta["project"], observed_at=exchange.times.started,
            body=write(exchange),
        )  # fmt: skip

    def _stored(self, body: bytes) -> Payload | None:
        return Payload(address=self._ledger.put(body), size=len(body)) if body else None


def _unpacked(
    body: bytes, headers: dict[str, Any], plain_from: int | None
) -> tuple[bytes, dict[str, Any], tuple[int, int] | None]:
    """A compressed body in which something was masked, decoded as a whole; its headers say so. Also (stored bytes
    that were compressed, what they became), None where nothing had to be done."""
    if plain_from is None:
        return body, headers, None
    encoding = headers.get("content-encoding")
    try:
        plain = decode(body[:plain_from], encoding) if plain_from else b""
    except NotDecoded:
        plain = b""
    told = {name: value for name, value in headers.items() if name != "content-encoding"}
    return plain + body[plain_from:], told | {"x-audit-decoded": str(encoding)}, (plain_from, len(plain))


def _moved(marks: list[tuple[int, int]], packed: int, plain: int) -> list[tuple[int, int]]:
    """Times of pieces, with the length that the compressed ones have become counted to the last of them."""
    moved, seen = [], 0
    for moment, size in marks:
        seen += size
        if seen > packed or size == 0:
            moved.append((moment, size))
        else:
            moved.append((moment, plain if seen == packed else 0))
    return moved


def _project(stream: Stream) -> str | None:
    """Whose call a stream is; None for a gap beside a call that has a stream of its own."""
    if stream.gap is None:
        return str(stream.meta["project"])
    return str(stream.gap.get("project") or "default") if stream.gap.get("whole") else None


def _gap(said: Mapping[str, Any]) -> Entry:
    gap = Gap(what=said["what"], why=said["why"], run=said.get("run"))
    return Entry(kind="gap", source=SOURCE, project=said.get("project") or "default", body=write(gap))


def _said(moment: int | None) -> str | None:
    return None if moment is None else time_text(moment)


def _read_request(
    dialect: Dialect | None, body: bytes, meta: Mapping[str, Any]
) -> tuple[dict[str, Any], Spans | None, str | None]:
    """The request's JSON object, where to cut it, and why it could not be read where a dialect should understand it."""
    if dialect is None or meta["method"] != "POST" or (not body and f"POST {meta['route']}" != dialect.routes[0]):
        return {}, None, None  # a cancellation, say, has no body
    encoding = meta["headers"].get("content-encoding")
    try:
        plain = decode(body, encoding)
        sent, spans = read_object(plain, dialect.array)
    except (NotJson, NotDecoded) as fault:
        return {}, None, f"the request is no JSON: {fault}"
    if not isinstance(sent, dict):
        return {}, None, "the request is no JSON object"
    return sent, spans if plain is body else None, None


def _read_response(dialect: Dialect | None, body: bytes, headers: Mapping[str, str]) -> str | None:
    """Why a complete, unstreamed response could not be read, or None."""
    if dialect is None or "json" not in headers.get("content-type", "json") or "json-seq" in headers.get(
        "content-type", "") or not body:  # fmt: skip
        return None
    try:
        plain = decode(body, headers.get("content-encoding"))
        with suppress(orjson.JSONDecodeError):  # what the fast reader takes, the careful one takes too
            orjson.loads(plain)
            return None
        parse_json(plain)
    except (NotJson, NotDecoded) as fault:
        return f"the response is no JSON: {fault}"
    return None
