"""200 recorded GPT-4o runs that nobody here made: everything recovered, checks run, few alarms."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.records.exchange import Payload, Transcript
from auditor.records.messages import Message, Text, ToolCall, ToolResult
from auditor.structure.inputs import RecordedTranscript

Rows = list[dict[str, Any]]


def as_message(row: dict[str, Any]) -> Message:
    if row["role"] == "tool":
        parts: list[Any] = [ToolResult(call_id=row["tool_call_id"], name=row["name"], text=row["content"])]
    else:
        parts = [Text(text=row["content"])] if row.get("content") else []
        parts += [
            ToolCall(call_id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in row.get("tool_calls") or ()
        ]
    return Message(role=row["role"], parts=tuple(parts))


@pytest.fixture(scope="module")
def trajectories(request: pytest.FixtureRequest) -> Rows:
    path = Path(__file__).resolve().parents[4] / "shared" / "data" / "traces" / "tau_bench" / "gpt-4o-airline.json"
    if not path.is_file():
        pytest.skip(f"the tau-bench runs are absent: {path} does not exist")
    rows: Rows = json.loads(path.read_text())
    return rows


def recorded(rows: Rows) -> Iterator[tuple[dict[str, Any], RecordedTranscript]]:
    for index, row in enumerate(rows):
        body = Transcript(format="tau_bench", run=f"tau-{index}", model="gpt-4o", tools=None, origin="tau-bench",
                          messages=Payload(address="0", size=0))  # fmt: skip
        messages = [as_message(message) for message in row["traj"]]
        yield (
            row,
            RecordedTranscript(position=index, id=f"{index:064x}", project="p", transcript=body, messages=messages),
        )


def test_every_tool_call_argument_and_result_is_recovered(trajectories: Rows, made: Callable[..., Any]) -> None:
    calls = results = messages = 0
    alarms: list[tuple[int, str, str]] = []
    for row, transcript in recorded(trajectories):
        run = made(transcripts=[transcript])
        steps = {step.id: step for step in run.structure.steps}
        asked = [call for message in row["traj"] for call in message.get("tool_calls") or ()]
        found = [step for step in run.structure.steps if step.kind == "tool_call"]
        assert [run.text(step.span) for step in found] == [call["function"]["arguments"] for call in asked]
        given = [message for message in row["traj"] if message["role"] == "tool"]
        answered = [step for step in run.structure.steps if step.kind == "tool_result"]
        assert [run.text(step.span) for step in answered] == [message["content"] for message in given]
        for step, message in zip(answered, given, strict=True):
            parent = steps[step.parent]
            part = run.messages[parent.message].parts[parent.span.part]
            assert part.call_id == message["tool_call_id"] and step.rule == "tool_call_id"
        assert run.structure.gaps == ()
        assert len(run.structure.calls) == sum(message["role"] == "assistant" for message in row["traj"])
        calls, results, messages = calls + len(found), results + len(answered), messages + len(row["traj"])
        alarms += [
            (transcript.position, one.check, run.text(one.places[0])) for one in run.structure.findings if not one.holds
        ]  # fmt: skip
    assert (calls, results, messages) == (1164, 1164, 5308)
    # Each was read in the trace: the model made up a payment id from the last four digits or from a gift card's number.
    assert [one for one in alarms if one[1] == "argument_source"] == [
        (26, "argument_source", "credit_card_7334"), (70, "argument_source", "credit_card_5634230"),
        (126, "argument_source", "credit_card_7334"), (170, "argument_source", "credit_card_5634230"),
    ]  # fmt: skip
    # The air line's tool answers an update of the cabin with the old one, every time that the cabin changes.
    late = [text for _, check, text in alarms if check == "not_applied"]
    assert len(late) == 48 and set(late) <= {"economy", "basic_economy", "business"}
    assert len(alarms) < 90
