"""Cases to start from: small ones written here, and recorded traffic where the folder of real data is there."""

import gzip
import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import brotli
import zstandard

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
MOST_SEED = 4_000
"""Bytes; longer cases make each of their mutations slow."""
Join = Callable[..., bytes]


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
CHAT: list[Any] = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": [{"type": "text", "text": "u"}, {"type": "image_url"}]},
    {
        "role": "assistant",
        "content": "<think>t</think>x",
        "tool_calls": [CALL],
        "reasoning_content": "r",
        "reasoning_details": [{"type": "reasoning.text", "text": "r", "signature": "s"}],
        "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
        "function_call": {"name": "f"},
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    {"role": "assistant", "content": "done", "refusal": "no"},
]
BLOCKS: list[Any] = [
    {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": {"type": "ephemeral"}}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}},
            {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srv_1",
                "content": [{"type": "web_search_result", "url": "u"}],
            },
            {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "is_error": False,
                "content": [{"type": "text", "text": "42"}],
            }
        ],
    },
]
ITEMS: list[Any] = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
    {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "e"},
    {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"type": "compaction", "encrypted_content": "e"},
    {"type": "mcp_call", "name": "n", "arguments": "{}", "output": "o"},
    {"type": "web_search_call", "id": "w"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
]
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "input_tokens": 9,
    "output_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 1},
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 2,
    "service_tier": "standard",
    "cache_creation": {"ephemeral_1h_input_tokens": 1},
    "server_tool_use": {"web_search_requests": 1},
    "iterations": [{"type": "message", "model": "claude-sonnet-4-5", "input_tokens": 1, "output_tokens": 1}],
}


def stream(rows: Iterable[Any], *, named: bool = False, end: bytes = b"\n\n") -> bytes:
    found = b""
    for row in rows:
        kind = b"event: " + str(row.get("type", "x")).encode() + end[:1] if named and isinstance(row, dict) else b""
        found += kind + b"data: " + (row if isinstance(row, bytes) else dump(row)) + end
    return found


def seeds(of: str, join: Join) -> list[bytes]:
    kind, _, name = of.partition(":")
    found = list(_written(kind, name, join))
    if kind == "dialect":
        found += _recorded(name, join)
    if kind.startswith("otlp_json"):
        found += _otlp_files(name)
    return [one for one in found if len(one) <= MOST_SEED] or found[:1]


def _written(kind: str, name: str, join: Join) -> Iterator[bytes]:
    makers: dict[str, Callable[[], Iterator[bytes]]] = {
        "dialect": lambda: _calls(name, join),
        "sse": _sse,
        "json": _json,
        "encoding": _encodings,
        "otlp_json": lambda: iter([dump(_otlp(name))]),
        "otlp_protobuf": lambda: iter([_otlp_protobuf(name)]),
        "conventions": _conventions,
        "import": lambda: _files(name),
        "spool": lambda: _spool(join),
        "traceparent": lambda: iter([b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"", b"00-x-y"]),
        "headers": _headers,
        "redact": lambda: _secrets(join),
        "prices": lambda: _prices(join),
        "settings": lambda: _settings(join),
    }
    yield from makers[kind]()


def _calls(name: str, join: Join) -> Iterator[bytes]:
    plain, sse = b"\x00\x00", b"\x08\x00"
    if name == "openai_chat":
        request = dump(
            {"model": "gpt-4o", "messages": CHAT, "tools": [{"type": "function", "function": {"name": "look"}}]}
        )
        answer = {
            "id": "c",
            "model": "m",
            "usage": USAGE,
            "choices": [
                {
                    "index": 0,
                    "message": CHAT[2],
                    "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "a", "logprob": -0.5}]},
                }
            ],
        }
        yield join(plain, request, dump(answer))
        deltas = [
            {"role": "assistant", "content": "<think>"},
            {"reasoning_content": "r"},
            {"content": "x", "refusal": "n"},
            {"tool_calls": [{"index": 0, **CALL}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        ]
        rows: list[Any] = [{"id": "c", "choices": [{"index": n % 2, "delta": one}]} for n, one in enumerate(deltas)]
        rows += [{"choices": [], "usage": USAGE}, {"error": {"message": "e", "code": 1}}, b"[DONE]"]
        yield join(sse, request, stream(rows))
    elif name == "openai_completions":
        request = dump({"model": "m", "prompt": ["a", [1, 2]], "suffix": "s", "echo": True, "n": 2})
        answer = {
            "id": "c",
            "choices": [{"text": "x", "index": 0, "logprobs": {"tokens": ["a"], "token_logprobs": [-1]}}],
            "usage": USAGE,
        }
        yield join(plain, request, dump(answer))
        yield join(sse, request, stream([{"choices": [{"text": "x", "index": 0}]}, b"[DONE]"]))
    elif name == "openai_embeddings":
        request = dump({"model": "m", "input": ["a", [1, 2]], "encoding_format": "base64", "dimensions": 2})
        yield join(
            plain,
            request,
            dump(
                {
                    "data": [{"index": 0, "embedding": "AACAPwAAAAA="}, {"embedding": [0.5, 1]}],
                    "model": "m",
                    "usage": USAGE,
                }
            ),
        )
    elif name == "anthropic_messages":
        request = dump(
            {
                "model": "claude-sonnet-4-5",
                "system": [{"type": "text", "text": "s"}],
                "messages": BLOCKS,
                "tools": [{"name": "look", "input_schema": {}}],
                "max_tokens": 5,
            }
        )
        answer = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": BLOCKS[1]["content"],
            "usage": USAGE,
            "stop_reason": "end_turn",
            "model": "m",
        }
        yield join(plain, request, dump(answer))
        rows = [{"type": "message_start", "message": {**answer, "content": []}}]
        for index, (block, delta) in enumerate(
            (
                ({"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "t"}),
                ({"type": "text", "text": ""}, {"type": "text_delta", "text": "x"}),
                (
                    {"type": "tool_use", "id": "t", "name": "n", "input": {}},
                    {"type": "input_json_delta", "partial_json": "{"},
                ),
                ({"type": "text", "text": ""}, {"type": "citations_delta", "citation": {"a": 1}}),
            )
        ):
            rows += [
                {"type": "content_block_start", "index": index, "content_block": block},
                {"type": "content_block_delta", "index": index, "delta": delta},
                {"type": "content_block_delta", "index": index, "delta": {"type": "signature_delta", "signature": "s"}},
                {"type": "content_block_stop", "index": index},
            ]
        rows += [
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
            {"type": "ping"},
            {"type": "message_stop"},
            {"type": "error", "error": {"type": "overloaded_error", "message": "o"}},
        ]
        yield join(sse, request, stream(rows, named=True))
        yield join(b"\x01\x00", request, dump({"input_tokens": 5}))
    else:
        request = dump(
            {"model": "m", "instructions": "i", "input": ITEMS, "previous_response_id": "p", "tools": [CALL]}
        )
        answer = {"id": "resp_1", "object": "response", "status": "completed", "output": ITEMS, "usage": USAGE}
        yield join(plain, request, dump(answer))
        rows = [{"type": "response.created", "response": {**answer, "output": []}}]
        for number, item in enumerate(ITEMS[1:4]):
            rows += [
                {"type": "response.output_item.added", "output_index": number, "item": item},
                {"type": "response.output_text.delta", "output_index": number, "content_index": 0, "delta": "x"},
                {
                    "type": "response.reasoning_summary_text.delta",
                    "output_index": number,
                    "summary_index": 0,
                    "delta": "t",
                },
                {"type": "response.function_call_arguments.delta", "output_index": number, "delta": "{"},
                {"type": "response.output_item.done", "output_index": number, "item": item},
            ]
        rows += [{"type": "response.completed", "response": answer}, {"type": "error", "message": "e"}]
        yield join(sse, request, stream(rows, named=True))
        frames = b"".join(b"\x1e" + dump(one) + b"\n" for one in rows)
        asked = b"\x1e" + dump({"type": "response.create", "response": {"input": ITEMS[:1]}, "model": "m"}) + b"\n"
        yield join(b"\x01\x00", asked * 2, frames)
        for route in (2, 3, 4, 5, 6, 7):
            listing = {"object": "list", "data": ITEMS} if route == 4 else answer
            yield join(bytes([route, 0]), request if route in (3, 7) else b"", dump(listing))


def _recorded(name: str, join: Join) -> list[bytes]:
    """Exchanges of the recorded wire, shorter ones first."""
    folder = DATA / "wire"
    if not folder.is_dir():
        return []
    import importlib.util

    spec = importlib.util.spec_from_file_location("cassettes", ROOT / "tests" / "wire" / "cassettes.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["cassettes"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = {
        "openai_chat": "/chat/completions",
        "anthropic_messages": "/v1/messages",
        "openai_responses": "/v1/responses",
        "openai_completions": "/v1/completions",
        "openai_embeddings": "/v1/embeddings",
    }[name]
    found = [
        join(b"\x08\x00" if one.is_stream else b"\x00\x00", one.sent, one.body)
        for one in module.read_cassettes(folder)
        if isinstance(one, module.Recorded) and one.path.partition("?")[0].endswith(path)
    ]
    return sorted(found, key=len)[:40]


def _sse() -> Iterator[bytes]:
    rows: list[Any] = [{"type": "a", "x": "\u20ac"}, b"[DONE]", b"one\ndata: two"]
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        yield (
            b"\xef\xbb\xbf: hello"
            + end[: len(end) // 2]
            + b"id: 7"
            + end[: len(end) // 2]
            + stream(rows, named=True, end=end)
        )
    yield b"data\ndata:x\nevent: e\r\n\rdata: \xe2\x82"


def _json() -> Iterator[bytes]:
    yield dump({"model": "m", "messages": CHAT, "n": 1e400 if False else 12345678901234567890})
    yield b'\xef\xbb\xbf {"messages" : [ {"a":"\\ud83d\\ude00"} , 1.5e3 ] , "messages":[]}'
    yield '{"messages":[{"content":"\u20ac\U0001f600"}, null, true],"x":{"y":[[[]]]}}'.encode()
    yield b'{"messages":[NaN,-Infinity,"\\ud800"]}'
    yield b"[" * 300 + b"]" * 300


def _encodings() -> Iterator[bytes]:
    text = dump(CHAT) * 3
    packed = (
        gzip.compress(text),
        zstandard.ZstdCompressor().compress(text),
        brotli.compress(text),
        zlib.compress(text),
    )
    for number, body in enumerate(packed):
        yield bytes([number]) + body
    yield b"\x05" + brotli.compress(gzip.compress(text))
    yield b"\x00" + gzip.compress(b"\0" * 8_000_000)
    yield b"\x03" + zlib.compress(text)[2:-4]


def _otlp(signal: str) -> dict[str, Any]:
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "n", "value": {"intValue": "12"}},
        {"key": "d", "value": {"doubleValue": 1.5}},
        {"key": "b", "value": {"boolValue": True}},
        {"key": "l", "value": {"arrayValue": {"values": [{"kvlistValue": {"values": [{"key": "k", "value": {}}]}}]}}},
        {"key": "y", "value": {"bytesValue": "AAE="}},
    ]
    ids = {"traceId": "a" * 32, "spanId": "b" * 16, "attributes": attributes}
    resource = {"attributes": attributes[:1]}
    if signal == "traces":
        span = {
            **ids,
            "parentSpanId": "c" * 16,
            "name": "x",
            "kind": 3,
            "startTimeUnixNano": "1767323045000000000",
            "status": {"code": 2, "message": "m"},
            "events": [{"name": "e", "timeUnixNano": 1, "attributes": attributes}],
            "links": [ids],
        }
        return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": [span]}]}]}
    log = {**ids, "timeUnixNano": "1", "severityNumber": 9, "body": {"stringValue": "b"}, "eventName": "e"}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [log]}]}]}


def _otlp_protobuf(signal: str) -> bytes:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    text = json.dumps(_otlp(signal)).replace("a" * 32, "q" * 22 + "==").replace("b" * 16, "u" * 11 + "=")
    form = ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    return bytes(ParseDict(json.loads(text.replace("c" * 16, "s" * 11 + "=")), form).SerializeToString())


def _otlp_files(signal: str) -> list[bytes]:
    folder = DATA / "otlp"
    name = {"traces": "trace.json", "logs": "logs.json"}[signal]
    return [(folder / name).read_bytes()] if (folder / name).is_file() else []


def _conventions() -> Iterator[bytes]:
    messages, answer = json.dumps(CHAT), json.dumps([CHAT[2]])
    for attributes in (
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": messages,
            "gen_ai.output.messages": answer,
            "gen_ai.system_instructions": "[]",
            "gen_ai.tool.definitions": "[]",
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.response.finish_reasons": ["stop"],
        },
        {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id":1,"score":0.5,"content":"c"}]'},
        {"gen_ai.tool.name": "t", "gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "r"},
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "u",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
            "llm.token_count.prompt": 1,
            "llm.tools.0.tool.json_schema": "{}",
            "input.value": messages,
        },
        {
            "openinference.span.kind": "RETRIEVER",
            "retrieval.documents.0.document.content": "c",
            "retrieval.documents.0.document.score": 1,
        },
        {
            "traceloop.span.kind": "tool",
            "traceloop.entity.input": '{"inputs":{}}',
            "traceloop.entity.output": "o",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "u",
            "gen_ai.completion.0.tool_calls.0.name": "n",
        },
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": messages,
            "langfuse.observation.output": answer,
            "langfuse.observation.usage_details": '{"input":1}',
        },
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": messages,
            "mlflow.spanOutputs": answer,
            "mlflow.chat.tokenUsage": "{}",
        },
        {
            "operation.name": "ai.generateText.doGenerate",
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": messages,
            "ai.response.text": "a",
            "ai.response.toolCalls": "[]",
        },
        {"pydantic_ai.all_messages": messages, "agent_name": "a", "model_name": "m", "events": messages},
    ):
        yield dump(
            {
                "attributes": attributes,
                "name": "x",
                "events": [
                    {"name": "gen_ai.user.message", "content": "u"},
                    {"name": "gen_ai.choice", "message": '{"content":"x"}'},
                ],
            }
        )


def _files(name: str) -> Iterator[bytes]:
    if name == "tau_bench":
        yield dump([{"task_id": 1, "trial": 0, "reward": 1.0, "traj": CHAT, "info": {"task": {"actions": []}}}])
    elif name == "tree_of_thoughts":
        step = {"step": 0, "x": "1 2", "ys": [""], "new_ys": ["a\n", "b\n"], "values": [1.5, 0]}
        yield dump([{"idx": 1, "steps": [step | {"select_new_ys": ["a\n"]}], "ys": ["a\n"], "infos": [{"r": 1}]}])
        yield dump([[{"actions": ["h1. a"], "count": {"sure": 1, "impossible": 0}, "info": {"r": 0.5}}]])
        yield dump([{"idx": 1, "ys": ["Answer: 3", "Answer: 4"]}])
    elif name == "intercode":
        turns = {"actions": ["execute[x]"], "observations": ["y"], "rewards": [0.5], "valid_action": [True]}
        episode = {"task_id": 0, "query": "q", "environment": "e", "turn_history": turns, "summary": {"max_reward": 1}}
        yield dump({"0": episode, "1": {**episode, "turn_history": turns | {"thoughts": ["t"]}}})
    elif name == "gsm8k":
        yield dump({"question": "q", "answer": "1 + 1 = <<1+1=2>>2\n#### 2"}) + b"\n"
        yield dump({"question": "q", "ground_truth": "2", "6b": {"solution": "A: 2", "is_correct": True}}) + b"\n"
    elif name == "otlp":
        yield dump(_otlp("traces")) + b"\n" + dump(_otlp("logs"))
        for signal in ("traces", "logs"):
            body = _otlp_protobuf(signal)
            yield body
            yield struct.pack(">I", len(body)) + body
    elif name in ("openai_jsonl", "anthropic_jsonl"):
        rows = CHAT if name == "openai_jsonl" else BLOCKS
        yield dump({"messages": rows, "id": "x"}) + b"\n" + dump({"messages": rows[:2], "tools": [CALL]})
        yield (
            dump({"request": {"model": "m", "messages": rows}, "response": {"choices": [{"message": CHAT[4]}]}}) + b"\n"
        )
        yield dump({"request": {"input": ITEMS}, "response": {"output": ITEMS}}) + b"\n"
        yield dump({"request": {"messages": rows}, "response": stream([{"choices": []}]).decode()}) + b"\n"
    elif name == "langsmith":
        row = {
            "id": "11111111-2222-4333-8444-555555555555",
            "trace_id": "t",
            "parent_run_id": "p",
            "name": "n",
            "start_time": "2026-01-02T03:04:05.1",
            "end_time": 5,
            "error": None,
            "extra": {"metadata": {"ls_model_name": "m"}, "invocation_params": {"tools": [], "seed": 1}},
        }
        said = {"lc": 1, "kwargs": {"type": "ai", "content": "x", "tool_calls": [{"name": "n", "args": {}, "id": "i"}]}}
        for kind, given, gave in (
            (
                "llm",
                {"messages": [[said]]},
                {"generations": [[{"message": said}]], "llm_output": {"token_usage": USAGE}},
            ),
            ("tool", {"input": "{}"}, {"output": {"content": "42", "tool_call_id": "i"}}),
            ("retriever", {"query": "q"}, {"documents": [{"page_content": "c"}]}),
            ("chain", {"a": 1}, {"b": 2}),
        ):
            yield dump({**row, "run_type": kind, "inputs": given, "outputs": gave}) + b"\n"
    elif name == "langfuse":
        one = {
            "id": "o",
            "traceId": "t",
            "type": "GENERATION",
            "input": CHAT,
            "output": CHAT[4],
            "model": "m",
            "startTime": "2026-01-02T03:04:05Z",
            "usageDetails": {"input": 1},
            "modelParameters": {"t": 1},
        }
        yield dump([{"id": "t", "observations": [one], "timestamp": "x"}])
        yield dump(one) + b"\n" + dump({**one, "type": "TOOL", "parentObservationId": "o"}) + b"\n"
    else:
        messages = [
            {
                "role": "assistant",
                "content": [{"type": "reasoning", "reasoning": "r", "signature": "s"}],
                "tool_calls": [{"id": "c", "function": "f", "arguments": {"a": 1}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "attachment://x", "function": "f"},
        ]
        log = {
            "eval": {"task": "t", "model": "m", "run_id": "r"},
            "samples": [{"id": 1, "epoch": 1, "messages": messages, "attachments": {"x": "y"}, "scores": {}}],
        }
        yield dump(log)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                archive.writestr("header.json", dump(log))
                archive.writestr("samples/1_epoch_1.json", dump(log["samples"][0]))
            yield file.getvalue()


def _spool(join: Join) -> Iterator[bytes]:
    head, body = struct.Struct("<IIBQ"), struct.Struct("<BQ")

    def frame(kind: int, number: int, payload: bytes) -> bytes:
        return head.pack(len(payload), zlib.crc32(payload, zlib.crc32(body.pack(kind, number))), kind, number) + payload

    meta = dump({"project": "p", "method": "POST", "path": "/", "route": "/", "headers": {}, "joins": {}, "started": 1})
    whole = (
        frame(1, 1, meta)
        + frame(2, 1, b"{}")
        + frame(3, 1, b'{"status":200}')
        + frame(4, 1, b"\0" * 8 + b"x")
        + frame(5, 1, b'{"outcome":"complete"}')
    )
    gap = frame(6, 2, b'{"what":"w","why":"y"}')
    yield join(whole + gap, whole[: len(whole) // 2])
    yield join(whole + b"\0" * 40, gap)
    yield join(b"", whole)


def _headers() -> Iterator[bytes]:
    yield (
        b"/v1/x?api_key=1&a=%zz&accessToken=2;b\nAuthorization: Bearer x\nx-api-key: aud_abc_def\nx-audit-run: r\n"
        b"traceparent: 00-a-b-01\nx-stainless-retry-count: 2\nconnection: close, x-foo\nx-foo: \xff\nsession_id: s"
    )
    yield b"127.0.0.1\nx-audit-key: aud_1_2\ncookie: a=b\ncookie: c=d"
    yield b"::ffff:127.0.0.1%eth0"


def _secrets(join: Join) -> Iterator[bytes]:
    yield join(
        rb"TK-[A-Z]{2,4}\d", b'{"k":"sk-abcdefghijklmnopqrstuvwx","m":"a.b@example.org","c":"4111 1111 1111 1111"}'
    )
    yield join(b"a+b{4}", b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefgh AKIAABCDEFGHIJKLMNOP TK-12345")
    yield join(b"x.y", b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----")
    yield join("\u00e4bcd".encode(), gzip.compress(b"sk-abcdefghijklmnopqrstuvwx"))


def _prices(join: Join) -> Iterator[bytes]:
    table = {
        "version": "1",
        "source": "s",
        "models": [
            {
                "match": "gpt-*",
                "input": "1.5",
                "output": "2",
                "above": 10,
                "long": {"input": "3", "output": "4"},
                "requests": {"web_search_requests": "0.01"},
            }
        ],
    }
    shipped = (ROOT / "auditor" / "capture" / "prices.json").read_bytes()
    yield join(dump(table), dump(USAGE))
    yield join(shipped[: MOST_SEED // 2], dump({**USAGE, "prompt_tokens": 10**30}))
    form = json.loads(shipped)
    small = {key: value[:2] if isinstance(value, list) else value for key, value in form.items()}
    yield join(dump(small), dump(USAGE))


def _settings(join: Join) -> Iterator[bytes]:
    yield join(
        b'port = 8787\nworkers = 1\n[upstreams]\nopenai = "https://api.example.org"\n', b"PORT=1\nUPSTREAMS=a=http://b"
    )
    yield join(b'data = "x"\nmodels = "m.toml"\nexecutor = "local"\nprices = ""', b"OTLP_GRPC=4317\nHOST=0.0.0.0")
