"""Exports of other tools become runs: each format from a small file in its shape, hand-written."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture.importers import inspect_log, rows
from auditor.capture.importers.catalogue import IMPORTERS, importer
from auditor.capture.importers.imported import Brought, Imported, bring_in
from auditor.errors import BadInput
from auditor.ledger.sqlite import SqliteLedger
from auditor.records.messages import Reasoning, Text, ToolCall, ToolResult
from auditor.structurer import Structurer, latest_structure

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"item": "lamp"}'}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the lamp's price?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    {"role": "assistant", "content": "It costs 42."},
]
BLOCKS: list[dict[str, Any]] = [
    {"role": "user", "content": "What is the lamp's price?"},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "I must look.", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"item": "lamp"}},
    ]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "It costs 42."}]},
]  # fmt: skip
TRACE = "11111111-2222-4333-8444-555555555555"


def lines(*values: Any) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values) + b"\n"


def completion(message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "model": "gpt-x", "choices": [choice],
            "usage": {"prompt_tokens": 10, "completion_tokens": 3}}  # fmt: skip


def langsmith_runs() -> list[dict[str, Any]]:
    def human(kind: str, form: str, **fields: Any) -> dict[str, Any]:
        return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", form], "kwargs": {"type": kind, **fields}}

    asked = [human("system", "SystemMessage", content="Be brief."), human("human", "HumanMessage", content="Price?")]
    called = human("ai", "AIMessage", content="", tool_calls=[
        {"name": "look", "args": {"item": "lamp"}, "id": "call_abcdef123456", "type": "tool_call"}])  # fmt: skip
    result = human("tool", "ToolMessage", content="42", tool_call_id="call_abcdef123456", name="look")
    said = human("ai", "AIMessage", content="It costs 42.")

    def run(own: str, kind: str, name: str, second: int, inputs: Any, outputs: Any, **more: Any) -> dict[str, Any]:
        return {"id": own, "trace_id": TRACE, "run_type": kind, "name": name, "inputs": inputs, "outputs": outputs,
                "parent_run_id": None if own == TRACE else TRACE, "start_time": f"2026-01-02T03:04:{second:02d}.000100",
                "end_time": f"2026-01-02T03:04:{second:02d}.900000", **more}  # fmt: skip

    extra = {"metadata": {"ls_model_name": "gpt-x", "ls_provider": "openai", "thread_id": "thread-9"},
             "invocation_params": {"temperature": 0.5, "tools": [TOOL]}}  # fmt: skip
    first, second = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
    return [
        run(TRACE, "chain", "agent", 0, {"question": "Price?"}, {"answer": "It costs 42."}),
        run(first, "llm", "ChatOpenAI", 1, {"messages": [asked]}, {"generations": [[{"text": "", "message": called}]],
            "llm_output": {"token_usage": {"prompt_tokens": 10, "completion_tokens": 3}}}, extra=extra),
        run("aaaaaaaa-0000-4000-8000-000000000003", "tool", "look", 2, {"input": '{"item": "lamp"}'},
            {"output": result}),
        run(second, "llm", "ChatOpenAI", 3, {"messages": [[*asked, called, result]]},
            {"generations": [[{"text": "It costs 42.", "message": said}]]}, extra=extra),
    ]  # fmt: skip


def langfuse_trace() -> dict[str, Any]:
    def one(own: str, kind: str, name: str, second: int, given: Any, gave: Any, **more: Any) -> dict[str, Any]:
        return {"id": own, "traceId": "trace-1", "type": kind, "name": name, "input": given, "output": gave,
                "startTime": f"2026-01-02T03:04:{second:02d}.000Z", "endTime": f"2026-01-02T03:04:{second:02d}.500Z",
                "parentObservationId": None, "level": "DEFAULT", **more}  # fmt: skip

    return {
        "id": "trace-1", "name": "shop", "timestamp": "2026-01-02T03:04:00.000Z", "sessionId": "session-3",
        "input": "Price?", "output": "It costs 42.", "observations": [
            one("o1", "GENERATION", "ask", 1, CHAT[:2], CHAT[2], model="gpt-x", modelParameters={"temperature": 0},
                usageDetails={"input": 10, "output": 3}),
            one("o2", "TOOL", "look", 2, {"item": "lamp"}, "42"),
            one("o3", "GENERATION", "ask", 3, CHAT[:4], CHAT[4], model="gpt-x", usage={"input": 20, "output": 5}),
        ],
    }  # fmt: skip


def inspect_log_form() -> dict[str, Any]:
    messages = [
        {"id": "m1", "role": "system", "content": "attachment://abc"},
        {"id": "m2", "role": "user", "content": "Price?", "source": "input"},
        {"id": "m3", "role": "assistant", "source": "generate", "model": "m", "content": [
            {"type": "reasoning", "reasoning": "I must look.", "signature": "c2ln", "redacted": False}],
         "tool_calls": [{"id": "c1", "function": "look", "arguments": {"item": "lamp"}, "type": "function"}]},
        {"id": "m4", "role": "tool", "tool_call_id": "c1", "function": "look", "content": "42"},
        {"id": "m5", "role": "assistant", "content": "It costs 42."},
    ]  # fmt: skip
    sample = {"id": 7, "epoch": 2, "input": "Price?", "target": "42", "messages": messages,
              "attachments": {"abc": "Be brief."}, "scores": {"match": {"value": "C"}}}  # fmt: skip
    head = {"run_id": "r1", "task": "shop", "model": "openai/gpt-x", "created": "2026-01-02T03:04:05+00:00"}
    return {"version": 2, "status": "success", "eval": head, "samples": [sample]}


def zipped(log: dict[str, Any], **more: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({key: log[key] for key in ("version", "status", "eval")}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        archive.writestr("summaries.json", "[]")
        for name, data in more.items():
            archive.writestr(name, data)
    return file.getvalue()


def otlp_json(trace: str = "a" * 32) -> dict[str, Any]:
    span = {"traceId": trace, "spanId": "b" * 16, "name": "chat gpt-x", "kind": 3,
            "startTimeUnixNano": "1767323045000000000", "endTimeUnixNano": "1767323046000000000", "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-x"}},
                {"key": "gen_ai.input.messages", "value": {"stringValue": json.dumps(CHAT[:4])}},
                {"key": "gen_ai.output.messages", "value": {"stringValue": json.dumps([CHAT[4]])}}]}  # fmt: skip
    scope = {"scope": {"name": "x"}, "spans": [span]}
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}


LOGS = {"resourceLogs": [{"scopeLogs": [{"logRecords": [
    {"traceId": "a" * 32, "spanId": "b" * 16, "eventName": "note", "body": {"stringValue": "hello"}}]}]}]}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path / "x.db")
    yield opened
    opened.close()


@pytest.fixture
def bring(ledger: SqliteLedger) -> Callable[[str, bytes], Brought]:
    return lambda name, data: bring_in(ledger, importer(name).read(data), "somewhere, MIT")


def transcripts(name: str, data: bytes) -> list[Imported]:
    found = list(importer(name).read(data))
    assert all(isinstance(one, Imported) for one in found)
    return [one for one in found if isinstance(one, Imported)]


FILES: dict[str, bytes] = {
    "otlp": lines(otlp_json(), LOGS),
    "openai_jsonl": lines({"messages": CHAT, "tools": [TOOL], "id": "one"}),
    "anthropic_jsonl": lines({"messages": BLOCKS, "system": "Be brief."}),
    "langsmith": lines(*langsmith_runs()),
    "langfuse": json.dumps([langfuse_trace()], indent=1).encode(),
    "inspect": json.dumps(inspect_log_form(), indent=1).encode(),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_tool_loop_is_one_run_with_its_steps(
    name: str, ledger: SqliteLedger, bring: Callable[[str, bytes], Brought]
) -> None:
    bring(name, FILES[name])
    Structurer(ledger).catch_up()
    runs = {str(one.record.body["run"]) for one in ledger.records(kinds=["structure"])}
    assert len(runs) == 1
    found = latest_structure(ledger, runs.pop())
    assert found is not None
    kinds = [step.kind for step in found.structure.steps]
    assert "model_call" in kinds
    assert "answer" in kinds
    if name != "otlp":
        assert kinds.count("tool_call") == 1
        labels = " ".join(step.label for step in found.structure.steps)
        assert "look" in labels


@pytest.mark.parametrize("name", sorted(FILES))
def test_importing_twice_adds_nothing_and_says_so(
    name: str, ledger: SqliteLedger, bring: Callable[[str, bytes], Brought]
) -> None:
    first = bring(name, FILES[name])
    assert first.known == 0
    head = ledger.head()
    again = bring(name, FILES[name])
    assert ledger.head() == head
    assert again.known == len(first.runs) + first.spans + first.logs > 0
    assert (again.runs, again.spans, again.logs) == ([], 0, 0)
    assert "nothing new" in again.sentence()
    assert "imported before" in again.sentence()


def test_a_file_that_has_grown_adds_what_is_new(bring: Callable[[str, bytes], Brought]) -> None:
    runs = langsmith_runs()
    assert bring("langsmith", lines(*runs[:2])).spans == 2
    more = bring("langsmith", lines(*runs))
    assert (more.spans, more.known) == (2, 2)


def test_shapes_of_one_file_give_the_same(bring: Callable[[str, bytes], Brought]) -> None:
    runs = langsmith_runs()
    assert bring("langsmith", lines(*runs)).spans == 4
    held_in = json.dumps({"runs": runs}, indent=2).encode()
    for shape in (json.dumps(runs).encode(), held_in, b"\xef\xbb\xbf" + lines(*runs)):
        assert bring("langsmith", shape).known == 4
    held = langfuse_trace()
    assert bring("langfuse", json.dumps(held).encode()).spans == 4
    assert bring("langfuse", json.dumps({"data": [held]}).encode()).known == 4
    flat = bring("langfuse", lines(*held["observations"]))
    assert flat.spans + flat.known == 3  # without its trace above them, observations lie under nothing


def test_calls_that_go_on_from_each_other_are_one_run() -> None:
    first = {"request": {"model": "gpt-x", "messages": CHAT[:2], "tools": [TOOL]}, "response": completion(CHAT[2])}
    second = {"request": {"model": "gpt-x", "messages": CHAT[:4]}, "response": completion(CHAT[4])}
    other = {"request": {"model": "gpt-x", "messages": CHAT[1:2]}, "response": completion(CHAT[4])}
    found = transcripts("openai_jsonl", lines(first, other, second))
    assert [len(one.messages) for one in found] == [2, 5]
    assert found[1].facts["usage"] == {"prompt_tokens": 10, "completion_tokens": 3}
    assert found[1].model == "gpt-x"


def test_an_event_stream_and_a_responses_pair_are_read() -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": "It costs 42."}}]}]
    stream = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n\n"
    items = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It costs 42."}]}]
    pairs = lines(
        {"request": {"model": "gpt-x", "messages": CHAT[:2]}, "response": stream},
        {"request": {"model": "gpt-x", "input": "Price?"}, "response": {"id": "resp_1", "output": items}},
    )
    for one in transcripts("openai_jsonl", pairs):
        [part] = one.messages[-1].parts
        assert isinstance(part, Text)
        assert part.text == "It costs 42."


def test_anthropic_blocks_keep_signature_and_result() -> None:
    [run] = transcripts("anthropic_jsonl", FILES["anthropic_jsonl"])
    parts = [part for message in run.messages for part in message.parts]
    assert [part.signature for part in parts if isinstance(part, Reasoning)] == ["c2ln"]
    assert [part.call_id for part in parts if isinstance(part, (ToolCall, ToolResult))] == ["toolu_1", "toolu_1"]


@pytest.mark.parametrize("form", ["json", "eval"])
def test_inspect_logs_in_both_forms(form: str) -> None:
    log = inspect_log_form()
    [run] = transcripts("inspect", json.dumps(log).encode() if form == "json" else zipped(log))
    assert (run.run, run.model) == ("inspect/shop/r1/7/2", "openai/gpt-x")
    assert run.messages[0].parts == (Text(text="Be brief."),)
    thought, call = run.messages[2].parts
    assert isinstance(thought, Reasoning)
    assert (thought.text, thought.signature) == ("I must look.", "c2ln")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("look", '{"item":"lamp"}')
    assert run.facts["scores"] == {"match": {"value": "C"}}


def test_a_zip_is_read_into_memory_by_names_of_its_own_only(monkeypatch: pytest.MonkeyPatch) -> None:
    log = inspect_log_form()
    odd = {"../../etc/passwd": b"{}", "samples/../x_epoch_1.json": b"{}", "samples/a/b_epoch_1.json": b"{}"}
    assert len(transcripts("inspect", zipped(log, **odd))) == 1
    monkeypatch.setattr(inspect_log, "MOST_SAMPLE", 10_000)
    with pytest.raises(BadInput, match="more than 10000 bytes"):
        transcripts("inspect", zipped(log, **{"samples/bomb_epoch_1.json": b" " * 50_000}))


def test_protobuf_is_told_apart_and_may_be_length_prefixed(bring: Callable[[str, bytes], Brought]) -> None:
    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    span = traces.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"\1" * 16, b"\2" * 8, "x"
    log = logs.resource_logs.add().scope_logs.add().log_records.add()
    log.time_unix_nano, log.body.string_value = 1_767_323_045_000_000_000, "hello"
    one, other = traces.SerializeToString(), logs.SerializeToString()
    found = bring("otlp", one)
    assert (found.spans, found.logs) == (1, 0)
    found = bring("otlp", other)
    assert (found.spans, found.logs) == (0, 1)
    both = b"".join(struct.pack(">I", len(data)) + data for data in (one, other))
    assert bring("otlp", both).known == 2


def test_rejected_items_are_counted_with_a_reason(bring: Callable[[str, bytes], Brought]) -> None:
    found = bring("otlp", lines(otlp_json("a" * 31)))
    assert (found.spans, found.rejected) == (0, 1)
    assert "32 hex digits" in found.reasons[0]


@pytest.mark.parametrize(("name", "data", "field"), [
    ("otlp", lines(otlp_json(), {"spans": []}), "line 2.resourceSpans"),
    ("otlp", lines({"resourceSpans": {}}), "line 1.resourceSpans"),
    ("otlp", b"\x00\x01\x02", "file"),
    ("openai_jsonl", lines({"messages": CHAT}, {"prompt": "x"}), "line 2.messages"),
    ("openai_jsonl", lines({"messages": CHAT}, [1]), "line 2"),
    ("openai_jsonl", lines({"messages": []}), "line 1.messages"),
    ("openai_jsonl", lines({"request": {"model": "x"}, "response": {}}), "line 1.request.messages"),
    ("openai_jsonl", lines({"messages": CHAT}) + b'{"messages": [', "line 2"),
    ("anthropic_jsonl", lines({"request": {"messages": BLOCKS}, "response": [1]}), "line 1.response"),
    ("langsmith", lines({**langsmith_runs()[0], "id": None}), "line 1.id"),
    ("langsmith", json.dumps([{"id": "x"}]).encode(), "entry 0.run_type"),
    ("langfuse", lines({"id": "o", "type": "SPAN"}), "line 1.traceId"),
    ("langfuse", json.dumps([{"id": "t", "observations": [{"id": "o"}]}]).encode(), "entry 0.observations.0.type"),
    ("inspect", b'{"eval": {}}', "file.samples"),
    ("inspect", b'{"eval": {}, "samples": [{"id": 1}]}', "samples.0.messages"),
    ("inspect", b'{"samples": [{"id": 1, "messages": []}]}', "eval"),
    ("inspect", b"PK\x03\x04 no zip", "file"),
])  # fmt: skip
def test_a_wrong_file_names_the_place_and_the_fix(name: str, data: bytes, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        list(importer(name).read(data))
    assert caught.value.field == field
    assert caught.value.fix


@pytest.mark.parametrize("one", IMPORTERS, ids=lambda one: one.name)
def test_an_absent_file_and_one_of_nothing(one: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        list(one.read(tmp_path / "absent"))
    if one.name not in ("langsmith", "langfuse", "openai_jsonl", "anthropic_jsonl"):
        with pytest.raises(BadInput):
            list(one.read(b""))


def test_progress_reaches_the_end_and_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    data = FILES["langsmith"]
    list(importer("langsmith").read(data, lambda done, total: seen.append((done, total))))
    assert seen[-1] == (len(data), len(data))
    monkeypatch.setattr(rows, "MOST_LINE", 2000)
    long = lines(langsmith_runs()[0], {**langsmith_runs()[0], "inputs": {"x": "y" * 4000}})
    with pytest.raises(BadInput, match="line 2"):
        list(importer("langsmith").read(long))


def test_the_usage_of_every_imported_call_is_kept_and_priced(tmp_path: Path) -> None:
    first = {"request": {"model": "gpt-4o", "messages": CHAT[:2]}, "response": completion(CHAT[2])}
    second = {"request": {"model": "gpt-4o", "messages": CHAT[:4]}, "response": completion(CHAT[4])}
    for one in (first, second):
        one["response"]["model"] = "gpt-4o"
    second["response"]["usage"] = {"prompt_tokens": 20, "completion_tokens": 7}
    with_ledger = SqliteLedger(tmp_path / "ledger.db")
    brought = bring_in(with_ledger, importer("openai_jsonl").read(lines(first, second)), "made here")
    assert brought.sentence().startswith("1 run imported")
    Structurer(with_ledger).catch_up()
    found = latest_structure(with_ledger, brought.runs[0])
    assert found is not None
    calls = [(one.tokens and (one.tokens.input, one.tokens.output), one.cost and one.cost.usd)
             for one in found.structure.calls]  # fmt: skip
    # 10 * 2.5 + 3 * 10 and 20 * 2.5 + 7 * 10 millionths
    assert calls == [((10, 3), "0.000055"), ((20, 7), "0.00012")]
    with_ledger.close()
