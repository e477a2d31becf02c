"""The structurer survives a ledger that fails for a moment, and loses nothing by it."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import Unavailable
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.records import wire
from auditor.records.exchange import Exchange, Joins, Times
from auditor.spill import Spill
from auditor.structurer import Structurer, latest_structure


def recorded(ledger: SqliteLedger, run: str, project: str = "default") -> None:
    body = f'{{"model": "m", "messages": [{{"role": "user", "content": "{run}?"}}], "tools": []}}'.encode()
    start = body.index(b'{"role"')
    end = body.index(b"}]") + 1
    answer = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop",'
    answer += b'"logprobs": {"content": [{"token": "yes", "logprob": -0.25}]}}]}'
    exchange = Exchange(
        dialect="openai_chat", method="POST", path="/v1/chat/completions", upstream="openai", status=200,
        outcome="complete", request=ledger.put_split(body, [(start, end)]),
        response=ledger.put_split(answer, []), request_headers={},
        response_headers={"content-type": "application/json"},
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(run=run), model="m", model_digest="unknown", relayed=len(answer),
    )  # fmt: skip
    ledger.append([Entry(kind="exchange", source="proxy", project=project, body=wire.write(exchange))])


def test_a_moment_of_trouble_loses_no_run_and_is_forgotten(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    real, left = ledger.payload, [2]

    def failing(ref: Any) -> bytes:
        if left[0]:
            left[0] -= 1
            raise Unavailable("ledger", "is busy", "try again")
        return real(ref)

    ledger.payload = failing  # type: ignore[method-assign]
    structurer, stop = Structurer(ledger, quiet=0.05), threading.Event()
    recorded(ledger, "one")
    recorded(ledger, "two")
    thread = threading.Thread(target=structurer.run_forever, args=(stop,))
    thread.start()
    seen = set()
    deadline = time.monotonic() + 20
    while latest_structure(ledger, "one") is None or latest_structure(ledger, "two") is None or structurer.trouble:
        seen.add(structurer.trouble)
        assert time.monotonic() < deadline, structurer.trouble
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert any(trouble and "busy" in trouble for trouble in seen)
    ledger.close()


def test_recorded_log_probabilities_reach_the_call(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    recorded(ledger, "r", project="p")
    Structurer(ledger).catch_up()
    found = latest_structure(ledger, "r")
    assert found is not None
    assert found.project == "p"
    assert found.structure.calls[0].logprobs == (-0.25,)
    ledger.close()


def test_verify_misses_the_ends_of_a_split_request(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    recorded(ledger, "r")
    assert verify(ledger).complete
    connection = ledger.connect()
    connection.execute("DELETE FROM payloads WHERE size = (SELECT min(size) FROM payloads)")  # the tail, `], "tools"…`
    found = verify(ledger)
    assert not found.complete
    assert "which is missing" in found.problems[0]
    connection.close()
    ledger.close()


def test_a_body_too_long_to_be_read_leaves_a_run_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    recorded(ledger, "one")
    monkeypatch.setattr("auditor.structurer.MOST_BODY", 100)  # the answer is longer, the request is not
    Structurer(ledger).catch_up()
    found = latest_structure(ledger, "one")
    assert found is not None
    assert any("too long to be read" in gap for gap in found.structure.gaps), found.structure.gaps
    ledger.close()


def test_who_asks_how_far_it_is_does_not_wait_for_its_work(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    recorded(ledger, "one")
    reading, go_on = threading.Event(), threading.Event()

    def turn() -> None:
        reading.set()
        assert go_on.wait(20)

    structurer = Structurer(ledger, turn=turn)
    thread = threading.Thread(target=structurer.catch_up)
    thread.start()
    assert reading.wait(20)
    asked: list[int] = []
    asking = threading.Thread(target=lambda: asked.append(structurer.settled))
    asking.start()
    asking.join(5)
    assert asked == [-1]
    go_on.set()
    thread.join()
    assert structurer.settled >= 0
    ledger.close()


def test_structures_are_the_same_when_hardly_anything_stays_in_memory(tmp_path: Path) -> None:
    found = []
    for name, table in (("all", None), ("few", Spill(tmp_path, near=1).table)):
        ledger = SqliteLedger(tmp_path / f"{name}.db")
        structurer = Structurer(ledger, quiet=0.0) if table is None else Structurer(ledger, quiet=0.0, table=table)
        for number in range(12):
            recorded(ledger, f"run{number % 5}")
            structurer.catch_up()
        found.append([
            (one.record.body["run"], one.record.body["version"], len(one.record.body["steps"]))
            for one in ledger.records(kinds=["structure"])
        ])  # fmt: skip
        ledger.close()
    assert found[0] == found[1] and len(found[0]) == 12
