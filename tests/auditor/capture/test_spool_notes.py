"""Compressed bodies in which something was masked, as a server that was killed leaves them in its spool."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from auditor.access.protocol import Admission
from auditor.capture.flight import Flight
from auditor.capture.headers import Vault, open_vault
from auditor.capture.ingest import Ingester
from auditor.capture.spool import SPOOL, Spool
from auditor.capture.spool_read import OwnerReader, Stream
from auditor.ledger.sqlite import SqliteLedger
from auditor.models import ModelsTable
from auditor.records.exchange import Exchange, Joins
from auditor.records.wire import read

ROUTE = "/v1/chat/completions"
SECRET = b"sk-proj-abcdefghijklmnopqrstuvwx"
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor(level=1).compress,
}  # fmt: skip
EARLY = b'data: {"choices":[{"index":0,"delta":{"content":"one "}}]}\n\n'
LATE = b'data: {"choices":[{"index":0,"delta":{"content":"the key ' + SECRET + b' is"}}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{"content":" yours"}}]}\n\n'


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    """A server's spool. It is closed without another word, as the system closes a killed server's."""
    opened = Spool(tmp_path / SPOOL)
    await opened.open()
    yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def flight(spool: Spool, vault: Vault, **headers: str) -> Flight:
    begun = Flight(
        spool=spool, vault=vault, admission=Admission(), method="POST", path=ROUTE, route=ROUTE,
        request_headers={"content-type": "application/json"} | headers, joins=Joins(), started=1, upstream="openai",
    )  # fmt: skip
    begun.begin()
    return begun


def streamed(name: str, texts: Sequence[bytes]) -> list[bytes]:
    """A compressed stream, flushed behind each text so that everything before can be read; without its end."""
    if name == "gzip":
        import zlib

        packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
        return [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in texts]
    if name == "br":
        coder = brotli.Compressor()
        return [coder.process(text) + coder.flush() for text in texts]
    frame = zstandard.ZstdCompressor().compressobj()
    return [frame.compress(text) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for text in texts]


async def killed(spool: Spool) -> None:
    """What was added is with the system; nothing is said any more."""
    await spool.close()


def recovered(root: Path, ledger: SqliteLedger) -> list[tuple[Exchange, bytes, bytes]]:
    """The records that an ingester makes of the spool, each with its request and response."""
    ingester = Ingester(ledger, ModelsTable(), root / SPOOL)
    ingester.step()
    found = [read(Exchange, dict(one.record.body)) for one in ledger.records(kinds=["exchange"])]
    assert ingester.recovered == sum(one.outcome == "crashed" for one in found) and ingester.gaps == 0

    def body(payload: Any) -> bytes:
        return ledger.payload(payload) if payload is not None else b""

    return [(one, body(one.request), body(one.response)) for one in found]


def left(root: Path) -> list[Stream]:
    """The calls in the spool of the dead server."""
    (folder,) = [path for path in (root / SPOOL).iterdir() if path.is_dir()]
    reader = OwnerReader(folder, set())
    found = list(reader.read())
    reader.close()
    return found


@pytest.mark.parametrize("name", PACKED)
async def test_a_masked_answer_that_broke_off_is_stored_decoded(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger, name: str
) -> None:
    call = flight(spool, open_vault(tmp_path))
    call.asked(b'{"model":"m","messages":[]}', last=True)
    call.answered(200, {"content-type": "text/event-stream", "content-encoding": name})
    for piece in streamed(name, [EARLY, LATE, LAST]):
        call.gave(piece)
    await killed(spool)

    (stream,) = left(tmp_path)
    assert stream.end is None and "response_plain_from" in stream.notes and "request_plain_from" not in stream.notes
    ((found, sent, told),) = recovered(tmp_path, ledger)
    assert found.outcome == "crashed" and found.status == 200
    assert sent == b'{"model":"m","messages":[]}'
    assert "content-encoding" not in found.response_headers and found.response_headers["x-audit-decoded"] == name
    assert SECRET not in told and told.count(b"[redacted:keys:") == 1
    assert told.startswith(EARLY + b'data: {"choices":[{"index":0,"delta":{"content":"the key [redacted:keys:')
    assert told.endswith(b' is"}}]}\n\n' + LAST), "what no secret can begin in waits for nothing"
    assert found.times.first_byte is not None and found.times.first_content is not None
    assert found.times.last_byte is None
    assert [(one.rule, one.where, one.count) for one in found.redacted] == [("keys", "response", 1)]


@pytest.mark.parametrize("name", PACKED)
async def test_a_masked_request_whose_call_broke_off_is_stored_decoded(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger, name: str
) -> None:
    asked = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"use {SECRET.decode()} now"}]}).encode()
    packed = PACKED[name](asked)
    call = flight(spool, open_vault(tmp_path), **{"content-encoding": name})
    call.asked(packed[:9])
    call.asked(packed[9:], last=True)
    call.answered(200, {"content-type": "text/event-stream"})
    call.gave(EARLY)
    await killed(spool)

    (stream,) = left(tmp_path)
    assert "request_plain_from" in stream.notes and "response_plain_from" not in stream.notes
    ((found, sent, told),) = recovered(tmp_path, ledger)
    assert (found.outcome, found.model, found.unparsed) == ("crashed", "m", None)
    assert "content-encoding" not in found.request_headers and found.request_headers["x-audit-decoded"] == name
    said = json.loads(sent)["messages"][0]["content"]
    assert said.startswith("use [redacted:keys:") and said.endswith("] now") and SECRET not in sent
    assert told == EARLY and "x-audit-decoded" not in found.response_headers


@pytest.mark.parametrize("name", PACKED)
async def test_what_holds_nothing_stays_compressed(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger, name: str
) -> None:
    call = flight(spool, open_vault(tmp_path))
    call.answered(200, {"content-type": "text/event-stream", "content-encoding": name})
    pieces = streamed(name, [EARLY, LAST])
    for piece in pieces:
        call.gave(piece)
    await killed(spool)
    ((found, _, told),) = recovered(tmp_path, ledger)
    assert found.response_headers["content-encoding"] == name and "x-audit-decoded" not in found.response_headers
    assert b"".join(pieces).startswith(told) and told
    assert found.redacted == ()


async def test_the_note_of_one_call_is_not_anothers(spool: Spool, tmp_path: Path, ledger: SqliteLedger) -> None:
    calls = [flight(spool, open_vault(tmp_path)) for _ in range(2)]
    plain, masked = (streamed("gzip", texts) for texts in ([EARLY, LAST], [EARLY, LATE]))
    for call in calls:
        call.answered(200, {"content-type": "text/event-stream", "content-encoding": "gzip"})
    for one, other in zip(plain, masked, strict=True):
        calls[0].gave(one)
        calls[1].gave(other)
    await killed(spool)
    first, second = sorted(left(tmp_path), key=lambda stream: stream.number)
    assert first.notes == {} and set(second.notes) == {"response_plain_from"}
    found = recovered(tmp_path, ledger)
    assert sorted("x-audit-decoded" in one.response_headers for one, _, _ in found) == [False, True]
    assert not any(SECRET in told for _, _, told in found)


async def test_a_note_that_the_crash_tore_leaves_what_is_before_it(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger
) -> None:
    """The bytes behind a note come after it: where it is lost, so are they, and the rest is read as it came."""
    call = flight(spool, open_vault(tmp_path))
    call.answered(200, {"content-type": "text/event-stream", "content-encoding": "gzip"})
    early, late = streamed("gzip", [EARLY, LATE])
    call.gave(early)
    await spool.settle()
    (segment,) = spool.folder.glob("*.spool")
    before = segment.stat().st_size
    call.gave(late)
    await killed(spool)
    whole = segment.read_bytes()
    assert b"response_plain_from" in whole[before:]
    segment.write_bytes(whole[: whole.index(b"response_plain_from", before) + 4])
    ((found, _, told),) = recovered(tmp_path, ledger)
    assert told and early.startswith(told) and found.response_headers["content-encoding"] == "gzip"


async def test_a_killed_call_says_what_was_masked_wherever_it_was(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger
) -> None:
    call = flight(spool, open_vault(tmp_path), **{"x-note": f"use {SECRET.decode()}"})
    call.asked(b'{"messages":["' + SECRET + b' ","' + SECRET + b' "]}', last=True)
    call.answered(200, {})
    await killed(spool)
    ((found, _, _),) = recovered(tmp_path, ledger)
    assert {(one.rule, one.where) for one in found.redacted} == {("keys", "header"), ("keys", "request")}
    assert len({one.hash for one in found.redacted}) == 1


async def test_what_was_taken_in_is_known_after_a_restart(spool: Spool, tmp_path: Path, ledger: SqliteLedger) -> None:
    vault = open_vault(tmp_path)
    for _ in range(3):
        call = flight(spool, vault)
        call.asked(b"{}", last=True)
        call.end()
    await spool.settle()
    first = Ingester(ledger, ModelsTable(), tmp_path / SPOOL)
    assert first.step() == 3
    owner = spool.folder.name
    assert first.progress.calls == {owner: {"default": 3}} and first.progress.position == 2
    call = flight(spool, vault)
    call.end()
    await spool.settle()
    again = Ingester(ledger, ModelsTable(), tmp_path / SPOOL)
    assert again.step() == 1
    assert again.progress.calls == {owner: {"default": 4}} and again.progress.position == 3
    await spool.close()


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (b"data: [DONE]\n\n", "complete"),
        (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', "complete"),
        (b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n', "complete"),
        (b'event: response.completed\ndata: {"type":"response.comp', "client_cancelled"),
        (b'data: {"type":["message_stop"]}\n\n', "client_cancelled"),
        (b"", "client_cancelled"),
    ],
)
async def test_a_client_that_leaves_after_the_last_event_has_the_whole_answer(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger, last: bytes, outcome: str
) -> None:
    call = flight(spool, open_vault(tmp_path))
    call.asked(b"{}", last=True)
    call.answered(200, {"content-type": "text/event-stream"})
    call.gave(EARLY + last)
    call.outcome = "client_cancelled"
    call.end()
    await spool.settle()
    ((found, _, told),) = recovered(tmp_path, ledger)
    assert (found.outcome, told) == (outcome, EARLY + last)
    assert (found.times.last_byte is not None) == (outcome == "complete")
    await spool.close()


async def test_counts_of_two_servers_outlive_trouble(tmp_path: Path, ledger: SqliteLedger) -> None:
    vault, spools = open_vault(tmp_path), [Spool(tmp_path / SPOOL) for _ in range(2)]
    for spool in spools:
        await spool.open()
        for _ in range(130):  # two batches and some
            call = flight(spool, vault)
            call.end()
        await spool.settle()
    wanted = {spool.folder.name: {"default": 130} for spool in spools}
    first = Ingester(ledger, ModelsTable(), tmp_path / SPOOL)
    first.step()
    assert first.progress.calls == wanted
    for spool in spools:
        flight(spool, vault).end()
        await spool.settle()
    again = Ingester(ledger, ModelsTable(), tmp_path / SPOOL)
    again.step()
    again._restart()
    again.step()
    assert again.progress.calls == {name: {"default": 131} for name in wanted}
    for spool in spools:
        await spool.close()
