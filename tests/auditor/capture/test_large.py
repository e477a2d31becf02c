"""Bodies too long to be held in memory: every byte is kept, nothing is read, and the record says so."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from auditor.access.protocol import Admission
from auditor.capture import ingest, large
from auditor.capture.flight import Flight
from auditor.capture.headers import open_vault
from auditor.capture.ingest import Ingester
from auditor.capture.spool import SPOOL, Spool
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.models import ModelsTable
from auditor.records.exchange import Exchange, Joins
from auditor.records.wire import read

ROUTE = "/v1/chat/completions"
ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 5000}]}).encode()
ANSWER = b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}]}'


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = Spool(tmp_path / SPOOL)
    await opened.open()
    yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def called(spool: Spool, root: Path, asked: bytes, pieces: list[bytes]) -> None:
    call = Flight(
        spool=spool, vault=open_vault(root), admission=Admission(), method="POST", path=ROUTE, route=ROUTE,
        request_headers={"content-type": "application/json"}, joins=Joins(), started=1, upstream="openai",
    )  # fmt: skip
    call.begin()
    call.asked(asked, last=True)
    call.answered(200, {"content-type": "application/json"})
    for piece in pieces:
        call.gave(piece)
    call.outcome = "complete"
    call.end()


def recorded(ledger: SqliteLedger, root: Path, **options: Any) -> tuple[Ingester, Exchange]:
    ingester = Ingester(ledger, ModelsTable(), root / SPOOL, **options)
    assert ingester.step() == 1
    (stored,) = ledger.records(kinds=["exchange"])
    return ingester, read(Exchange, dict(stored.record.body))


async def test_long_bodies_are_kept_in_pieces_and_not_read(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = bytes(range(256)) * 800  # three pieces
    monkeypatch.setattr(large, "PIECE_BYTES", 2**16)
    called(spool, tmp_path, ASKED, [answer[cut : cut + 10_000] for cut in range(0, len(answer), 10_000)])
    await spool.close()
    longest = 0
    put = ledger._payloads.put

    def watched(data: bytes) -> str:
        nonlocal longest
        longest = max(longest, len(data))
        return put(data)

    monkeypatch.setattr(ledger._payloads, "put", watched)
    _, exchange = recorded(ledger, tmp_path, most_body=4000)
    assert longest < 2**16 + 10_000  # memory holds one piece and what its last frame has more
    assert exchange.request is not None and ledger.payload(exchange.request) == ASKED
    assert exchange.response is not None and ledger.payload(exchange.response) == answer
    assert (exchange.response.size, exchange.response.messages, exchange.relayed) == (len(answer), 3, len(answer))
    assert (exchange.status, exchange.outcome, exchange.model) == (200, "complete", None)
    assert exchange.times.first_byte is not None and exchange.times.first_byte < str(exchange.times.last_byte)
    assert exchange.unparsed == (
        f"the request has {len(ASKED)} bytes: kept in pieces and not read; "
        f"the response has {len(answer)} bytes: kept in pieces and not read"
    )
    checked = verify(ledger)
    assert checked.intact and checked.complete, checked.problems


async def test_a_long_answer_leaves_its_request_readable(spool: Spool, tmp_path: Path, ledger: SqliteLedger) -> None:
    called(spool, tmp_path, ASKED, [b"y" * 6000])
    await spool.close()
    _, exchange = recorded(ledger, tmp_path, most_body=5500)
    assert exchange.model == "m" and exchange.request is not None and exchange.request.messages == 1
    assert exchange.unparsed == "the response has 6000 bytes: kept in pieces and not read"


async def test_a_body_that_memory_cannot_read_is_kept_at_once(
    spool: Spool, tmp_path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ingest, "_read_request", full)
    called(spool, tmp_path, ASKED, [ANSWER])
    await spool.close()
    ingester, exchange = recorded(ledger, tmp_path)
    assert exchange.request is not None and ledger.payload(exchange.request) == ASKED
    assert exchange.response is not None and ledger.payload(exchange.response) == ANSWER
    assert exchange.unparsed is not None and "not read" in exchange.unparsed
    assert ingester.step() == 0  # and is not tried again
