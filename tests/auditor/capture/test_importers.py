"""Recorded runs that somebody else made become transcripts."""

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.capture.importers.catalogue import importer
from auditor.capture.importers.imported import import_runs
from auditor.capture.importers.tau_bench import read
from auditor.errors import BadInput
from auditor.ledger.sqlite import SqliteLedger
from auditor.records import wire
from auditor.records.exchange import Transcript
from auditor.records.messages import Message, ToolCall, ToolResult

FIXTURE = Path(__file__).parents[3] / "agents" / "fixtures" / "tau_bench_airline_1.json"


def test_the_shipped_run_is_imported_as_it_is(tmp_path: Path) -> None:
    [imported] = importer("tau_bench").read(FIXTURE)
    raw = json.loads(FIXTURE.read_text())[0]
    ledger = SqliteLedger(tmp_path / "x.db")
    [stored] = import_runs(ledger, [imported], "somewhere, MIT")
    found = wire.read(Transcript, dict(stored.record.body))
    assert (found.run, found.model, found.format) == ("tau-bench/airline/14/2", "gpt-4o", "tau_bench")
    assert found.facts["reward"] == 0.0
    assert found.facts["expected_actions"] == raw["info"]["task"]["actions"]
    assert found.origin == "somewhere, MIT"
    messages = tuple(wire.read(Message, one) for one in json.loads(ledger.payload(found.messages)))
    assert messages == imported.messages
    assert len(messages) == len(raw["traj"]) == 22
    calls = [part for message in messages for part in message.parts if isinstance(part, ToolCall)]
    results = [part for message in messages for part in message.parts if isinstance(part, ToolResult)]
    assert [call.name for call in calls] == [
        "get_reservation_details", "calculate", "calculate", "update_reservation_baggages",
    ]  # fmt: skip
    assert calls[1].arguments == '{"expression": "(122 + 127) * 2"}'
    assert [(result.call_id, result.name) for result in results] == [(call.call_id, call.name) for call in calls]
    assert next(ledger.records(run="tau-bench/airline/14/2")).id == stored.id
    ledger.close()


def test_all_published_runs_are_read(shared_data: Path) -> None:
    path = shared_data / "traces" / "tau_bench" / "gpt-4o-airline.json"
    raw, found = json.loads(path.read_text()), read(path)
    assert len(found) == 200
    assert len({one.run for one in found}) == 200
    for run, one in zip(raw, found, strict=True):
        assert [message.role for message in one.messages] == [message["role"] for message in run["traj"]]


@pytest.mark.parametrize(("form", "field"), [
    ({}, "file"), ([1], "run 0"), ([{"traj": []}], "run 0.task_id"), ([{"traj": {}, "task_id": 1}], "run 0"),
    ([{"traj": [], "task_id": 1, "trial": 0}], "run 0.reward"),
])  # fmt: skip
def test_a_wrong_file_names_the_place(form: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(json.dumps(form).encode())
    assert caught.value.field == field


def test_no_json_and_no_file_and_no_format(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        read(b"{")
    with pytest.raises(BadInput):
        read(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="tau_bench"):
        importer("what")
