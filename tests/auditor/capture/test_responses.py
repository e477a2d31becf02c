"""Recorded Responses bytes -> calls: items, streams, sockets, sub-routes, echoes, damage, and real cassettes."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.dialects import openai_responses
from auditor.capture.dialects.catalogue import by_route
from auditor.capture.stream import SseEvent
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import (
    COUNT_ONLY,
    Call,
    Message,
    Other,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    place,
)
from auditor.records.wire import read, write

SSE = {"content-type": "text/event-stream"}
HIDDEN = "gAAAAA" + "x" * 60
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "First"},
             {"type": "summary_text", "text": "then"}], "content": [{"type": "reasoning_text", "text": "deep"}],
             "encrypted_content": HIDDEN}  # fmt: skip
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
           "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]}  # fmt: skip
CALLS = [{"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": "price", "status": "completed",
          "arguments": f'{{"item":  "{n}"}}'} for n in (1, 2)]  # fmt: skip
ANSWER = [REASONING, MESSAGE, *CALLS]


def parse(
    sent: Any, answered: Any, headers: dict[str, str] | None = None, method: str = "POST", path: str = "/v1/responses"
) -> Call:
    request = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    response = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
    exchange = Exchange(
        dialect="openai_responses", method=method, path=path, upstream="openai", status=200,
        outcome="complete", request=None, response=None, request_headers={}, response_headers=headers or {},
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=len(response),
    )  # fmt: skip
    return openai_responses.parse("r", exchange, request, response)


def response(output: Sequence[Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "model": "m-1", "output": list(output), **more}


def answered(*output: Any, **more: Any) -> Call:
    return parse({"model": "m", "input": "?"}, response(output, **more))


def asked(sent: Any, **more: Any) -> Call:
    return parse({"model": "m", "input": sent, **more}, response([]))


def stream(*events: dict[str, Any]) -> bytes:
    rows = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return "".join(f"event: {row['type']}\ndata: {json.dumps(row)}\n\n" for row in rows).encode()


def kinds(parts: Sequence[Part]) -> list[str]:
    return [part.type for part in parts]


def test_the_routes() -> None:
    routes = [("POST", ""), ("WEBSOCKET", ""), ("POST", "/compact"), ("POST", "/input_tokens"), ("GET", "/resp_1"),
              ("DELETE", "/resp_1"), ("POST", "/resp_1/cancel"), ("GET", "/resp_1/input_items")]  # fmt: skip
    for method, tail in routes:
        dialect = by_route(method, f"/v1/responses{tail}")
        assert dialect is not None and dialect.name == "openai_responses", (method, tail)


def test_a_request_and_its_answer() -> None:
    call = parse(
        {"model": "m", "instructions": "Be kind.", "input": "Hi", "temperature": 0.5, "previous_response_id": "resp_0",
         "tools": [{"type": "function", "name": "price", "parameters": {}, "strict": None}, {"type": "web_search"}]},
        response(ANSWER, usage={"input_tokens": 3}),
    )  # fmt: skip
    assert call.messages == (
        Message(role="system", parts=(Text(text="Be kind.", extra={"instructions": True}),)),
        Message(role="user", parts=(Text(text="Hi"),)),
    )
    (output,) = call.outputs
    assert [(part.type, getattr(part, "text", None)) for part in output.parts[:4]] == [
        ("reasoning", "First"), ("reasoning", "then"), ("reasoning", "deep"), ("text", "I look."),
    ]  # fmt: skip
    thoughts = [part for part in output.parts if isinstance(part, Reasoning)]
    assert [(part.summary, part.signature) for part in thoughts] == [(True, None), (True, None), (False, HIDDEN)]
    assert [(part.call_id, part.name, part.arguments) for part in output.parts if isinstance(part, ToolCall)] == [
        ("call_1", "price", '{"item":  "1"}'), ("call_2", "price", '{"item":  "2"}'),
    ]  # fmt: skip
    assert call.tools == (
        {"type": "function", "function": {"name": "price", "parameters": {}}}, {"type": "web_search"},
    )  # fmt: skip
    assert call.settings == {"temperature": 0.5}
    assert (call.finish, call.usage, call.response_id) == (("completed",), {"input_tokens": 3}, "resp_1")
    assert (call.previous, call.conversation, call.about) == ("resp_0", None, None)
    assert (call.unparsed, call.unknown) == (None, 0)


def test_roles_and_content_of_input() -> None:
    call = asked([
        {"role": "developer", "content": "d"}, {"role": "system", "content": [{"type": "input_text", "text": "s"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "look"},
                                     {"type": "input_image", "image_url": "data:x", "detail": None}]},
        {"role": "assistant", "content": "fine"},
        {"type": "function_call_output", "call_id": "call_1", "output": "3"},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}]},
        {"role": "martian", "content": "x"}, 7,
    ], conversation={"id": "conv_1"})  # fmt: skip
    assert call.messages == (
        Message(role="developer", parts=(Text(text="d"),)), Message(role="system", parts=(Text(text="s"),)),
        Message(role="user", parts=(Text(text="look"),
                                    Other(kind="input_image", data={"type": "input_image", "image_url": "data:x"}))),
        Message(role="assistant", parts=(Text(text="fine"),)),
        Message(role="tool", parts=(ToolResult(call_id="call_1", name=None, text="3"),)),
        Message(role="tool", parts=(ToolResult(call_id="c2", name=None, text="a"),
                                    Other(kind="input_image", data={"type": "input_image", "image_url": "u"}))),
        Message(role="other", parts=(Text(text="x"),)), Message(role="other", parts=(Other(kind="item", data=7),)),
    )  # fmt: skip
    assert call.conversation == "conv_1"
    assert call.unknown == 1


SERVER_RUN: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "mcp": ({"type": "mcp_call", "id": "m1", "name": "ask", "arguments": "{}", "server_label": "s", "output": "yes"},
            "{}", "yes"),
    "mcp error": ({"type": "mcp_call", "id": "m1", "name": "ask", "arguments": "{}", "server_label": "s",
                   "error": {"code": 1}}, "{}", '{"code":1}'),
    "web": ({"type": "web_search_call", "id": "w1", "status": "completed", "action": {
        "type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]}},
        '{"query":"q","type":"search"}', '[{"type":"url","url":"u"}]'),
    "files": ({"type": "file_search_call", "id": "f1", "queries": ["q"], "results": [{"text": "t"}]},
              '{"queries":["q"]}', '[{"text":"t"}]'),
    "code": ({"type": "code_interpreter_call", "id": "c1", "code": "1+1", "container_id": "k",
              "outputs": [{"type": "logs", "logs": "2"}]}, '{"code":"1+1"}', "2"),
    "image": ({"type": "image_generation_call", "id": "i1", "revised_prompt": "cat", "result": "b64"},
              '{"revised_prompt":"cat"}', ""),
    "no result": ({"type": "web_search_call", "id": "w1", "action": {"type": "search", "query": "q"}},
                  '{"query":"q","type":"search"}', None),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVER_RUN)
def test_tools_the_server_ran(name: str) -> None:
    item, arguments, result = SERVER_RUN[name]
    (output,) = answered(item).outputs
    call = output.parts[0]
    assert isinstance(call, ToolCall) and call.extra is not None
    assert (call.call_id, call.arguments) == (item["id"], arguments)
    assert call.extra["server"]
    if result is None:
        assert kinds(output.parts) == ["tool_call"]
    else:
        (_, given) = output.parts
        assert isinstance(given, ToolResult)
        assert (given.call_id, given.name, given.text) == (item["id"], call.name, result)
        assert given.is_error is (True if name == "mcp error" else None)
    echo = asked([{"role": "user", "content": "?"}, {**item, "status": None}]).messages[1]
    assert place([echo])[0].id == place([output])[0].id


@pytest.mark.parametrize(("call", "result", "text"), [
    ({"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT"},
     {"type": "custom_tool_call_output", "call_id": "c", "output": "1"}, "1"),
    ({"type": "shell_call", "id": "x", "call_id": "c", "action": {"commands": ["ls"]}, "status": "completed"},
     {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a", "stderr": ""}]},
     '[{"stderr":"","stdout":"a"}]'),
    ({"type": "local_shell_call", "id": "x", "call_id": "c", "action": {"command": ["ls"]}},
     {"type": "local_shell_call_output", "id": "c", "output": "a"}, "a"),
    ({"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "p"}},
     {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no"}, "no"),
    ({"type": "computer_call", "id": "x", "call_id": "c", "action": {"type": "wait"}, "pending_safety_checks": []},
     {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "u"}}, ""),
    ({"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"q": 1}},
     {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": []}, "[]"),
    ({"type": "mcp_approval_request", "id": "c", "name": "ask", "arguments": "{}", "server_label": "s"},
     {"type": "mcp_approval_response", "approval_request_id": "c", "approve": True}, '{"approve":true}'),
])  # fmt: skip
def test_tools_the_client_ran(call: dict[str, Any], result: dict[str, Any], text: str) -> None:
    messages = asked([{"role": "user", "content": "?"}, call, result]).messages
    assert [message.role for message in messages] == ["user", "assistant", "tool"]
    (made,), given = messages[1].parts, messages[2].parts[0]
    assert isinstance(made, ToolCall) and isinstance(given, ToolResult)
    json.loads(made.arguments) if call["type"] != "custom_tool_call" else None
    assert (made.call_id, given.call_id, given.text) == ("c", "c", text)


def test_what_is_not_known_is_kept_and_counted() -> None:
    call = answered({"type": "telepathy", "id": "t", "waves": [1]}, {**MESSAGE, "mood": "gay"}, 5)
    (output,) = call.outputs
    assert output.parts[0] == Other(kind="telepathy", data={"type": "telepathy", "id": "t", "waves": [1]})
    assert isinstance(output.parts[1], Text) and (output.parts[1].extra or {})["mood"] == "gay"
    assert output.parts[2] == Other(kind="item", data=5)
    assert call.unknown == 3


def test_an_answer_without_words_is_none() -> None:
    call = answered({"type": "reasoning", "id": "rs_1", "summary": []})
    assert call.outputs == ()
    (output,) = answered({"type": "reasoning", "id": "rs_1", "summary": []}, MESSAGE).outputs
    assert (output.parts[0].extra or {})["empty_items"] == ["rs_1"]  # type: ignore[union-attr]
    (output,) = answered({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": HIDDEN}).outputs
    assert output.parts == (Reasoning(text="", signature=HIDDEN, redacted=True, extra={"id": "rs_1"}),)


def sdk_response(body: bytes, *, streams: bool) -> Any:
    def reply(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers=SSE if streams else {"content-type": "application/json"})

    with httpx2.Client(transport=httpx2.MockTransport(reply)) as http:
        client = openai.OpenAI(api_key="none", base_url="http://sdk.test/v1", http_client=http, max_retries=0)
        if not streams:
            return client.responses.create(model="m", input="?")
        with client.responses.stream(model="m", input="?") as held:
            return held.get_final_response()


def echoes(answer: Any) -> dict[str, list[Any]]:
    """The ways clients send an answer's items back."""
    items = answer.output
    plain = [item.model_dump(mode="json", exclude_unset=True) for item in items]
    return {
        "model_dump": [item.model_dump(mode="json") for item in items],
        "unset left out": plain,
        "as the client writes objects": json.loads(json.dumps([item.to_dict(mode="json") for item in items])),
        "without ids and status": [
            {key: value for key, value in item.items() if key not in ("id", "status", "phase")} for item in plain
        ],
        "without annotations": [
            {**item, "content": [{"type": "output_text", "text": one["text"]} for one in item["content"]]}
            if item["type"] == "message" else item for item in plain
        ],
    }  # fmt: skip


def test_every_echo_of_an_answer_is_the_same_message() -> None:
    call = parse({"model": "m", "input": "?"}, response(ANSWER))
    (own,) = place(call.outputs, place(call.messages)[-1].id)
    body = json.dumps(response(ANSWER, created_at=1, tools=[], parallel_tool_calls=True, tool_choice="auto")).encode()
    for name, items in echoes(sdk_response(body, streams=False)).items():
        tool = [{"type": "function_call_output", "call_id": f"call_{n}", "output": "3"} for n in (1, 2)]
        later = asked([{"role": "user", "content": "?"}, *items, *tool])
        assert [message.role for message in later.messages] == ["user", "assistant", "tool", "tool"], name
        assert place(later.messages)[1].id == own.id, name
        assert later.messages[2].parts[0].name == "price"  # type: ignore[union-attr]


def test_thinking_that_a_client_writes_into_an_assistants_text_is_thinking() -> None:
    """Pydantic AI does so where an answer's reasoning came without a signature."""
    later = asked([{"role": "user", "content": "?"},
                   {"role": "assistant", "content": "<think>\nFirst\n</think>", "id": "msg_1"},
                   {"type": "function_call", "call_id": "call_1", "name": "price", "arguments": "{}"}])  # fmt: skip
    thought, call = later.messages[1].parts
    assert isinstance(thought, Reasoning) and isinstance(call, ToolCall)
    assert (thought.text, thought.extra) == ("First", {"id": "msg_1", "inline": ["<think>\n", "\n</think>"]})


FULL: list[dict[str, Any]] = [
    {"type": "response.created", "response": response([], "in_progress")},
    {"type": "response.in_progress", "response": response([], "in_progress")},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1",
     "summary": []}},
    {"type": "response.reasoning_summary_part.added", "item_id": "rs_1", "output_index": 0, "summary_index": 0,
     "part": {"type": "summary_text", "text": ""}},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "summary_index": 0,
     "delta": "Fir"},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "summary_index": 0,
     "delta": "st"},
    {"type": "response.reasoning_summary_text.done", "item_id": "rs_1", "output_index": 0, "summary_index": 0,
     "text": "First"},
    {"type": "response.reasoning_text.delta", "item_id": "rs_1", "output_index": 0, "content_index": 0,
     "delta": "deep"},
    {"type": "response.output_item.added", "output_index": 1, "item": {**MESSAGE, "content": []}},
    {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 1, "content_index": 0,
     "part": {"type": "output_text", "text": "", "annotations": []}},
    {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "content_index": 0, "delta": "I ",
     "logprobs": [{"token": "I ", "logprob": -0.5}]},
    {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "content_index": 0,
     "delta": "look.", "logprobs": [{"token": "look.", "logprob": -1}]},
    {"type": "response.output_text.annotation.added", "item_id": "msg_1", "output_index": 1, "content_index": 0,
     "annotation_index": 0, "annotation": {"type": "url_citation", "url": "u"}},
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALLS[0], "arguments": ""}},
    {"type": "response.output_item.added", "output_index": 3, "item": {**CALLS[1], "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_2", "output_index": 3, "delta": '{"item":'},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": '{"item":  '},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_2", "output_index": 3, "delta": '  "2"}'},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": '"1"}'},
]  # fmt: skip


def test_pieces_are_put_together_without_any_done() -> None:
    call = parse({"model": "m", "input": "?"}, stream(*FULL), SSE)
    (output,) = call.outputs
    assert [(part.type, getattr(part, "text", None) or getattr(part, "arguments", None)) for part in output.parts] == [
        ("reasoning", "First"), ("reasoning", "deep"), ("text", "I look."), ("tool_call", '{"item":  "1"}'),
        ("tool_call", '{"item":  "2"}'),
    ]  # fmt: skip
    assert isinstance(output.parts[2], Text) and output.parts[2].extra is not None
    assert output.parts[2].extra["annotations"] == [{"type": "url_citation", "url": "u"}]
    assert (call.finish, call.logprobs, call.response_id) == (("in_progress",), (-0.5, -1.0), "resp_1")


def test_what_ends_an_item_or_the_answer_wins() -> None:
    done = {"type": "response.output_item.done", "output_index": 2, "item": {**CALLS[0], "arguments": '{"whole":1}'}}
    call = parse({"input": "?"}, stream(*FULL, done), SSE)
    assert isinstance(call.outputs[0].parts[3], ToolCall) and call.outputs[0].parts[3].arguments == '{"whole":1}'
    ended = {"type": "response.completed", "response": response([MESSAGE])}
    call = parse({"input": "?"}, stream(*FULL, done, ended), SSE)
    assert (kinds(call.outputs[0].parts), call.finish, call.unparsed) == (["text"], ("completed",), None)
    silent = {"type": "response.completed", "response": {**response([]), "output": None}}
    assert len(parse({"input": "?"}, stream(*FULL, silent), SSE).outputs[0].parts) == 5


@pytest.mark.parametrize(("event", "finish", "said"), [
    ({"type": "response.failed", "response": response([], "failed", error={"message": "tired"})}, "failed", "tired"),
    ({"type": "response.incomplete", "response": response([], "incomplete", incomplete_details={
        "reason": "max_output_tokens"})}, "max_output_tokens", None),
    ({"type": "error", "message": "overloaded", "code": "x"}, "in_progress", "overloaded"),
])  # fmt: skip
def test_other_ends(event: dict[str, Any], finish: str, said: str | None) -> None:
    call = parse({"input": "?"}, stream(*FULL, event), SSE)
    assert len(call.outputs[0].parts) == 5
    assert call.finish == (finish,)
    assert call.unparsed is None if said is None else said in (call.unparsed or "")


def test_missing_events_are_said_unless_the_end_tells_all() -> None:
    rows = [{**event, "sequence_number": number if number < 5 else number + 3} for number, event in enumerate(FULL)]
    body = "".join(f"data: {json.dumps(row)}\n\n" for row in rows)
    assert parse({"input": "?"}, body.encode(), SSE).unparsed == "events 5 to 7 of the stream are missing"
    end = {"type": "response.completed", "response": response(ANSWER), "sequence_number": 99}
    assert parse({"input": "?"}, (body + f"data: {json.dumps(end)}\n\n").encode(), SSE).unparsed is None


def test_more_families_of_events() -> None:
    call = parse({"input": "?"}, stream(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "shell_call", "call_id": "s"}},
        {"type": "response.shell_call_command.added", "output_index": 0, "command_index": 0, "command": ""},
        {"type": "response.shell_call_command.delta", "output_index": 0, "command_index": 0, "delta": "ls "},
        {"type": "response.shell_call_command.delta", "output_index": 0, "command_index": 0, "delta": "-l"},
        {"type": "response.code_interpreter_call_code.delta", "output_index": 1, "item_id": "c", "delta": "1+"},
        {"type": "response.code_interpreter_call_code.done", "output_index": 1, "item_id": "c", "code": "1+1"},
        {"type": "response.custom_tool_call_input.delta", "output_index": 2, "item_id": "d", "delta": "SEL"},
        {"type": "response.mcp_call_arguments.delta", "output_index": 3, "item_id": "e", "delta": "{}"},
        {"type": "response.refusal.delta", "output_index": 4, "item_id": "f", "content_index": 0, "delta": "No"},
        {"type": "response.refusal.delta", "output_index": 4, "item_id": "f", "content_index": 0, "delta": "."},
        {"type": "response.web_search_call.searching", "output_index": 5, "item_id": "g"},
        {"type": "response.audio.transcript.delta", "delta": "hel"},
        {"type": "response.audio.transcript.delta", "delta": "lo"},
        {"type": "response.sunrise", "colour": "red"},
    ), SSE)  # fmt: skip
    parts = call.outputs[0].parts
    assert [part.arguments for part in parts if isinstance(part, ToolCall)] == [
        '{"commands":["ls -l"]}', '{"code":"1+1"}', "SEL", "{}",
    ]  # fmt: skip
    assert [part.text for part in parts if isinstance(part, Text)] == ["No."]
    others = {part.kind: part.data for part in parts if isinstance(part, Other)}
    assert others["audio_transcript"] == {"type": "audio_transcript", "transcript": "hello"}
    assert others["response.sunrise"]["colour"] == "red"  # type: ignore[index]
    assert call.unknown >= 1


def test_moments() -> None:
    def moment(kind: str, *, named: bool = True) -> str | None:
        data = json.dumps({"type": kind, "delta": "x"})
        return openai_responses.moment(SseEvent(event=kind if named else "message", data=data))

    for named in (True, False):
        assert moment("response.output_text.delta", named=named) == "content"
        assert moment("response.reasoning_summary_text.delta", named=named) == "content"
        assert moment("response.function_call_arguments.delta", named=named) == "tool"
        assert moment("response.created", named=named) is None
        assert moment("response.output_text.done", named=named) is None


def test_sub_routes() -> None:
    got = parse(b"", response([MESSAGE]), method="GET", path="/v1/responses/resp_1?stream=false")
    assert (got.about, len(got.outputs), got.finish, got.unparsed, got.messages) == (
        "resp_1", 1, ("completed",), None, ())  # fmt: skip
    went_on = parse(b"", stream(*FULL[8:]), SSE, "GET", "/v1/responses/resp_1?stream=true&starting_after=7")
    assert went_on.about == "resp_1" and kinds(went_on.outputs[0].parts) == ["text", "tool_call", "tool_call"]
    stopped = parse(b"", response([], "cancelled"), path="/v1/responses/resp_1/cancel")
    assert (stopped.about, stopped.outputs, stopped.finish) == ("resp_1", (), ("cancelled",))
    gone = parse(b"", {"id": "resp_1", "deleted": True}, method="DELETE", path="/v1/responses/resp_1")
    assert (gone.about, gone.outputs, gone.unparsed) == ("resp_1", (), None)
    listed = parse(b"", {"object": "list", "data": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "2"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "1"}]}]},
        method="GET", path="/v1/responses/resp_1/input_items")  # fmt: skip
    assert (listed.about, [message.parts[0].text for message in listed.messages]) == ("resp_1", ["1", "2"])  # type: ignore[union-attr]
    count = parse({"model": "m", "input": "?"}, {"object": "response.input_tokens", "input_tokens": 4},
                  path="/v1/responses/input_tokens")  # fmt: skip
    assert (count.about, count.outputs) == (COUNT_ONLY, ())
    kept = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    compacted = {"id": "resp_c", "object": "response.compaction", "output": [
        kept, {"type": "compaction", "id": "cmp", "encrypted_content": HIDDEN}]}  # fmt: skip
    call = parse({"model": "m", "input": "Hi"}, compacted, path="/v1/responses/compact")
    assert (call.about, call.finish, call.unknown) == (None, ("completed",), 0)
    assert call.outputs[0].parts == (
        Other(kind="kept_context", data=kept),
        Other(kind="compaction", data={"type": "compaction", "id": "cmp", "encrypted_content": HIDDEN}),
    )


def frames(*values: Any) -> bytes:
    return b"".join(b"\x1e" + json.dumps(value).encode() + b"\n" for value in values)


def test_a_socket_is_one_call_with_its_earlier_turns_before_it() -> None:
    first = {"type": "response.create", "model": "m", "instructions": "kind", "input": "one"}
    second = {"type": "response.create", "model": "m", "input": "two", "previous_response_id": "resp_1"}
    given = [*FULL[:1], *FULL[8:12], {"type": "response.completed", "response": response([MESSAGE])}]
    one = parse(frames(first), frames(*given), method="WEBSOCKET")
    assert [message.role for message in one.messages] == ["system", "user"]
    assert (kinds(one.outputs[0].parts), one.finish, one.unparsed) == (["text"], ("completed",), None)
    assert "type" not in one.settings
    last = {**MESSAGE, "content": [{"type": "output_text", "text": "Done."}]}
    answer = {"type": "response.completed", "response": {**response([last]), "id": "resp_2"}}
    both = parse(frames(first, second), frames(*given, answer), method="WEBSOCKET")
    assert [message.role for message in both.messages] == ["user", "assistant", "user"]
    assert (both.response_id, both.previous) == ("resp_2", None)
    assert both.outputs[0].parts[0].text == "Done."  # type: ignore[union-attr]
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": []}
    steered = parse(frames(first, steer), frames(*given), method="WEBSOCKET")
    assert steered.messages[-1].parts == (Other(kind="response.steer", data=steer),)
    assert steered.unknown == 1
    broken = parse(b"\x1e{\n", b"", method="WEBSOCKET")
    assert "no JSON" in (broken.unparsed or "")


@pytest.mark.parametrize(("sent", "given", "said"), [
    (b"{", response([]), "request is no JSON"), (b"[]", response([]), "no JSON object"),
    ({"input": "?"}, b"", "no response"), ({"input": "?"}, b"<html>", "response is no JSON"),
    ({"input": "?"}, {"error": {"message": "busy"}}, "busy"), ({"input": "?"}, b"data: {\n\n", "no JSON"),
])  # fmt: skip
def test_damage_is_said(sent: Any, given: Any, said: str) -> None:
    assert said in (parse(sent, given).unparsed or "")


def test_three_megabytes_of_arguments_in_small_pieces_take_no_copies() -> None:
    piece = {"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": "x" * 30}
    body = stream(*FULL[:14], *[piece] * 100_000)
    started = time.perf_counter()
    call = parse({"input": "?"}, body, SSE)
    assert [len(part.arguments) for part in call.outputs[0].parts if isinstance(part, ToolCall)] == [3_000_000]
    assert time.perf_counter() - started < 20


# Real traffic


def _cassettes(folder: Path) -> list[tuple[str, Any, bytes, bytes, dict[str, str]]]:
    found = []
    for path in sorted(folder.glob("*.yaml")):
        for number, one in enumerate(yaml.safe_load(path.read_text())["interactions"]):
            request, reply = one["request"], one["response"]
            if "/v1/responses" not in request["uri"]:
                continue
            body = reply.get("body", {}).get("string")
            data = json.dumps(reply["parsed_body"]) if body is None else body
            sent = b"" if request.get("parsed_body") is None else json.dumps(request["parsed_body"]).encode()
            headers = {key: values[0] for key, values in reply["headers"].items() if key != "content-encoding"}
            where = (request["method"], request["uri"].partition("openai.com")[2])
            found.append((f"{path.name}#{number}", where, sent,
                          data.encode() if isinstance(data, str) else data, headers))  # fmt: skip
    return found


def test_real_answers_echo_to_the_same_message(shared_data: Path) -> None:
    seen = streams = 0
    for folder in ("openai_responses", "openai"):
        for name, (method, path), sent, body, headers in _cassettes(shared_data / "wire" / folder):
            call = parse(sent, body, headers, method, path)
            assert call.unparsed is None, name
            assert call.unknown == 0, name
            canonical_bytes(write(call))
            assert read(Call, json.loads(json.dumps(write(call)))) == call, name
            if not call.outputs or "compact" in path or method != "POST":
                continue
            is_stream = "event-stream" in headers.get("content-type", "")
            answer = sdk_response(body, streams=is_stream)
            for way, items in echoes(answer).items():
                if way == "without ids and status" and any(isinstance(part, ToolCall) and (part.extra or {}).get(
                        "server") for part in call.outputs[0].parts):  # fmt: skip
                    continue  # only its id tells a server tool's call from another; the API requires it too
                echo = asked([{"role": "user", "content": "?"}, *items]).messages[1:]
                assert place(echo)[0].id == place(call.outputs)[0].id, (name, way)
                assert len(echo) == 1, (name, way)
            seen, streams = seen + 1, streams + is_stream
    assert seen > 50 and streams > 8


def test_any_cut_of_a_real_stream_gives_a_prefix(shared_data: Path) -> None:
    for name, (method, path), sent, body, headers in _cassettes(shared_data / "wire" / "openai_responses"):
        if "event-stream" not in headers.get("content-type", ""):
            continue
        whole = "".join(_words(parse(sent, body, headers, method, path)))
        for cut in range(0, len(body), max(1, len(body) // 40)):
            part = parse(sent, body[:cut], headers, method, path)
            assert whole.startswith("".join(_words(part))), (name, cut)


def _words(call: Call) -> list[str]:
    return [part.text for message in call.outputs for part in message.parts if isinstance(part, Text | Reasoning)]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_cut_gives_a_prefix_of_each_part(data: st.DataObject) -> None:
    body = stream(*FULL)
    call = parse({"input": "?"}, body[: data.draw(st.integers(0, len(body)))], SSE)
    whole = ["First", "deep", "I look.", '{"item":  "1"}', '{"item":  "2"}']
    for message in call.outputs:
        for part in message.parts:
            assert not isinstance(part, Other)
            text = part.arguments if isinstance(part, ToolCall) else part.text
            assert any(one.startswith(text) for one in whole)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "type", "id", "role", "content", "text", "summary", "call_id", "name", "arguments", "output", "action", "error",
        "status", "environment", "outputs", "results", "encrypted_content", "refusal", "queries", "logs"]), inner,
        max_size=5),
    max_leaves=14,
)  # fmt: skip
TYPES = st.sampled_from([
    "message", "reasoning", "function_call", "function_call_output", "mcp_call", "web_search_call", "file_search_call",
    "code_interpreter_call", "computer_call", "computer_call_output", "shell_call", "shell_call_output", "program",
    "tool_search_output", "image_generation_call", "compaction", "item_reference", "mcp_approval_response", "x", None,
])  # fmt: skip
ITEMS = st.lists(st.builds(lambda kind, rest: {**rest, "type": kind} if isinstance(rest, dict) else rest, TYPES, JSON),
                 max_size=4)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(ITEMS | JSON, ITEMS | JSON, JSON)
def test_no_shape_of_items_is_an_error(sent: Any, output: Any, rest: Any) -> None:
    body = {"input": sent, "instructions": rest, "tools": rest, "conversation": rest, "previous_response_id": rest}
    call = parse(body, {"output": output, "usage": rest, "status": rest, "id": rest, "incomplete_details": rest})
    canonical_bytes(write(call))
    parse(body, {"data": sent}, method="GET", path="/v1/responses/x/input_items")


EVENTS = st.lists(st.builds(
    lambda kind, rest, index, more: {**(more if isinstance(more, dict) else {}), "type": kind, "delta": rest,
        "text": rest, "part": rest, "item": more, "response": more, "output_index": index, "item_id": rest,
        "content_index": index, "summary_index": rest, "command_index": index, "annotation_index": rest,
        "annotation": rest, "logprobs": rest, "sequence_number": index, "command": rest, "output": rest},
    st.sampled_from([*{event["type"] for event in FULL}, "response.completed", "response.output_item.done", "error",
                     "response.content_part.done", "response.shell_call_output_content.delta", "response.failed",
                     "response.shell_call_output_content.done", "response.shell_call_command.delta", "what",
                     "response.mcp_call.failed", "response.audio.transcript.delta"]),
    JSON, st.none() | st.integers(-1, 3) | st.just(10**12) | st.booleans(), JSON), max_size=8)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_no_shape_of_events_is_an_error(events: list[dict[str, Any]]) -> None:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    canonical_bytes(write(parse({"input": "?"}, body, SSE)))
    canonical_bytes(write(parse(frames(*events), frames(*events), method="WEBSOCKET")))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(["POST", "GET", "DELETE", "WEBSOCKET"]))
def test_no_bytes_are_an_error(request: bytes, given: bytes, method: str) -> None:
    for path in ("/v1/responses", "/v1/responses/x", "/v1/responses/x/cancel", "/v1/responses/compact", "/"):
        canonical_bytes(write(parse(request, given, method=method, path=path)))
    canonical_bytes(write(parse(request, given, SSE, method)))
