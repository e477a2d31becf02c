"""The official client talks Responses through the proxy; what the server kept for it becomes one run."""

import json
from typing import Any

import openai

from auditor.records.messages import Text
from auditor.structure.build import messages_of
from auditor.structurer import Structurer, latest_structure


def answer(number: int, output: list[Any], status: str = "completed") -> bytes:
    return json.dumps({
        "id": f"resp_{number}", "object": "response", "created_at": 1, "status": status, "model": "m",
        "output": output, "tools": [], "tool_choice": "auto", "parallel_tool_calls": True,
    }).encode()  # fmt: skip


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "id": "msg", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}  # fmt: skip


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "price", "status": "completed",
        "arguments": '{"item": "lamp"}'}  # fmt: skip


def talk(port: int) -> None:
    """A tool loop that sends only what is new; its last answer is made in the background and fetched."""
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-test", max_retries=0) as client:
        first = client.responses.create(model="m", instructions="Use tools.", input="Price of the lamp?")
        result: Any = [{"type": "function_call_output", "call_id": "call_1", "output": "48"}]
        second = client.responses.create(
            model="m", instructions="Use tools.", input=result, previous_response_id=first.id, background=True
        )
        client.responses.retrieve(second.id)


def test_a_chain_and_a_fetched_answer_are_one_run(upstream: Any, reply: Any, server: Any) -> None:
    script = [answer(1, [CALL]), answer(2, [], "queued"), answer(2, [said("It costs 48.")])]
    upstream.script = [reply(pieces=[body], headers=[("Content-Type", "application/json")]) for body in script]
    talk(server.port)
    stored = server.records(3)
    assert {one.record.body["dialect"] for one in stored} == {"openai_responses"}
    structurer = Structurer(server.ledger)
    structurer.catch_up()
    latest = latest_structure(server.ledger, stored[0].id)
    assert latest is not None
    structure = latest.structure
    assert structure.gaps == ()
    assert [step.kind for step in structure.steps] == [
        "prompt", "prompt", "model_call", "tool_call", "tool_result", "model_call", "answer",
    ]  # fmt: skip
    assert [len(call.inputs) for call in structure.calls] == [2, 4]
    assert structure.calls[1].continues == structure.calls[0].id
    assert set(structure.records) == {one.id for one in stored}
    messages = messages_of(structure, server.ledger.payload)
    (output,) = structure.calls[1].outputs
    assert [part.text for part in messages[output].parts if isinstance(part, Text)] == ["It costs 48."]
    runs = {one.record.body["run"] for one in server.ledger.records(kinds=["structure"])}
    assert runs == {stored[0].id}


def test_a_retried_request_is_one_run(upstream: Any, reply: Any, server: Any) -> None:
    busy = reply(status=503, pieces=[b'{"error":{"message":"busy"}}'], headers=[("retry-after-ms", "1")])
    upstream.script = [busy, reply(pieces=[answer(1, [said("yes")])], headers=[("Content-Type", "application/json")])]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="sk-test", max_retries=1) as client:
        client.responses.create(model="m", input="?")
    stored = server.records(2)
    Structurer(server.ledger).catch_up()
    latest = latest_structure(server.ledger, stored[0].id)
    assert latest is not None
    calls = latest.structure.calls
    assert [call.retry_of for call in calls] == [None, calls[0].id]
