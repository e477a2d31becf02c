"""Every convention, in the shape its emitters write, gives the same observation of the same call."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.conventions import observe
from auditor.capture.conventions.catalogue import CONVENTIONS
from auditor.records.messages import Message, Other, Reasoning, Text, ToolCall, ToolResult, Usage
from auditor.records.telemetry import Document, Observation, SpanEvent, TelemetryLog, TelemetrySpan, ToolUse

T, S = "a" * 32, "b" * 16
ARGUMENTS = '{"item":"lamp"}'


def span(attributes: Mapping[str, Any], name: str = "s", **more: Any) -> TelemetrySpan:
    return TelemetrySpan(**{
        "trace_id": T, "span_id": S, "parent_span_id": None, "name": name, "kind": 1, "started": None, "ended": None,
        "attributes": attributes, "resource": {}, "scope": None, "status": "unset", **more,
    })  # fmt: skip


def log(event: str, body: Any, at: str, attributes: Mapping[str, Any] | None = None) -> TelemetryLog:
    return TelemetryLog(trace_id=T, span_id=S, time=at, observed=None, severity=0, severity_text=None, event=event,
                        body=body, attributes=attributes or {}, resource={}, scope=None)  # fmt: skip


def flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested lists and objects as dotted attributes."""
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: inner for name, one in pairs for key, inner in flat(f"{prefix}.{name}", one).items()}
    return {prefix: value}


OPENAI_IN = [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Price of the lamp?"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": ARGUMENTS}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "71"},
]  # fmt: skip
OPENAI_OUT = {"role": "assistant", "content": "It is 71."}
GEN_AI_IN = [
    {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Price of the lamp?"}]},
    {"role": "assistant", "parts": [
        {"type": "tool_call", "id": "call_1", "name": "lookup", "arguments": {"item": "lamp"}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "71"}]},
]  # fmt: skip
GEN_AI_OUT = [{"role": "assistant", "parts": [{"type": "text", "content": "It is 71."}], "finish_reason": "stop"}]
MESSAGES = (
    Message(role="system", parts=(Text(text="Be brief."),)),
    Message(role="user", parts=(Text(text="Price of the lamp?"),)),
    Message(role="assistant", parts=(ToolCall(call_id="call_1", name="lookup", arguments=ARGUMENTS),)),
    Message(role="tool", parts=(ToolResult(call_id="call_1", name=None, text="71"),)),
)
OUTPUTS = (Message(role="assistant", parts=(Text(text="It is 71."),)),)
EVENTS = [
    ("gen_ai.system.message", {"content": "Be brief."}), ("gen_ai.user.message", {"content": "Price of the lamp?"}),
    ("gen_ai.assistant.message", {"tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": ARGUMENTS}}]}),
    ("gen_ai.tool.message", {"id": "call_1", "content": "71"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": OPENAI_OUT}),
]  # fmt: skip
COMMON = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 20,
          "gen_ai.usage.output_tokens": 5, "gen_ai.response.id": "r1", "gen_ai.conversation.id": "c1"}  # fmt: skip
OPENINFERENCE = {
    "openinference.span.kind": "LLM", "llm.model_name": "m", "session.id": "c1", "llm.token_count.prompt": 20,
    "llm.token_count.completion": 5, "output.value": json.dumps({"id": "r1", "choices": []}),
    "llm.invocation_parameters": '{"model": "m", "temperature": 0.5}',
    **flat("llm.input_messages", [
        {"message": {"role": "system", "content": "Be brief."}},
        {"message": {"role": "user", "contents": [
            {"message_content": {"type": "text", "text": "Price of the lamp?"}}]}},
        {"message": {"role": "assistant", "tool_calls": [
            {"tool_call": {"id": "call_1", "function": {"name": "lookup", "arguments": ARGUMENTS}}}]}},
        {"message": {"role": "tool", "tool_call_id": "call_1", "content": "71"}},
    ]),
    **flat("llm.output_messages", [{"message": OPENAI_OUT}]),
}  # fmt: skip
VERCEL_IN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Price of the lamp?"}]},
    {"role": "assistant", "content": [
        {"type": "tool-call", "toolCallId": "call_1", "toolName": "lookup", "input": {"item": "lamp"}}]},
    {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "call_1",
                                  "output": {"type": "text", "value": "71"}}]},
]  # fmt: skip

CALLS: dict[str, tuple[str, TelemetrySpan, list[TelemetryLog]]] = {
    "gen_ai attributes": ("gen_ai", span(COMMON | {
        "gen_ai.input.messages": json.dumps(GEN_AI_IN), "gen_ai.output.messages": json.dumps(GEN_AI_OUT)}), []),
    "gen_ai system instructions": ("gen_ai", span(COMMON | {
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps(GEN_AI_IN[1:]), "gen_ai.output.messages": json.dumps(GEN_AI_OUT)}), []),
    "gen_ai details log": ("gen_ai", span(COMMON), [log("gen_ai.client.inference.operation.details", None, "1", {
        "gen_ai.input.messages": GEN_AI_IN, "gen_ai.output.messages": GEN_AI_OUT})]),
    "gen_ai log events, out of order": ("gen_ai", span(COMMON), [
        log(name, body, str(at)) for at, (name, body) in enumerate(EVENTS)][::-1]),
    "gen_ai span events": ("gen_ai", span(
        {key: value for key, value in COMMON.items() if not key.startswith("gen_ai.usage")}
        | {"gen_ai.usage.prompt_tokens": 20, "gen_ai.usage.completion_tokens": 5},
        events=tuple(SpanEvent(name=name, at=str(at), attributes={
            key: value if isinstance(value, str) else json.dumps(value) for key, value in body.items()})
            for at, (name, body) in enumerate(EVENTS))), []),
    "openinference": ("openinference", span(OPENINFERENCE), []),
    "traceloop": ("traceloop", span({
        "llm.request.type": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 5, "gen_ai.response.id": "r1",
        "traceloop.association.properties.session_id": "c1",
        **flat("gen_ai.prompt", [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Price of the lamp?"},
            {"role": "assistant", "tool_calls": [{"id": "call_1", "name": "lookup", "arguments": ARGUMENTS}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "71"},
        ]),
        **flat("gen_ai.completion", [OPENAI_OUT | {"finish_reason": "stop"}]),
    }), []),
    "langfuse": ("langfuse", span({
        "langfuse.observation.type": "generation", "langfuse.observation.input": json.dumps(OPENAI_IN),
        "langfuse.observation.output": json.dumps(OPENAI_OUT), "langfuse.observation.model.name": "m",
        "langfuse.observation.usage_details": '{"input": 20, "output": 5}', "session.id": "c1",
        "gen_ai.response.id": "r1"}), []),
    "mlflow": ("mlflow", span({
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": json.dumps({"model": "m", "messages": OPENAI_IN, "temperature": 0.5}),
        "mlflow.spanOutputs": json.dumps({"id": "r1", "choices": [{"message": OPENAI_OUT, "finish_reason": "stop"}]}),
        "mlflow.chat.tokenUsage": '{"input_tokens": 20, "output_tokens": 5}', "session.id": "c1"}), []),
    "vercel": ("vercel", span({
        "ai.operationId": "ai.generateText.doGenerate", "ai.prompt.messages": json.dumps(VERCEL_IN),
        "ai.response.text": "It is 71.", "ai.response.id": "r1", "ai.model.id": "m", "ai.usage.inputTokens": 20,
        "ai.usage.outputTokens": 5, "ai.telemetry.metadata.sessionId": "c1"}), []),
    "pydantic_ai events": ("pydantic_ai", span(COMMON | {"logfire.msg": "chat m", "events": json.dumps([
        {"event.name": name} | body for name, body in EVENTS])}, scope="pydantic-ai"), []),
    "pydantic_ai attributes": ("pydantic_ai", span(COMMON | {
        "gen_ai.input.messages": json.dumps(GEN_AI_IN), "gen_ai.output.messages": json.dumps(GEN_AI_OUT),
    }, scope="pydantic-ai"), []),
    "plain": ("plain", span({
        "llm.model_name": "m", "input.value": json.dumps(OPENAI_IN), "output.value": json.dumps(OPENAI_OUT),
        "gen_ai.usage.input_tokens": 20, "gen_ai.usage.output_tokens": 5, "gen_ai.response.id": "r1",
        "session.id": "c1"}), []),
}  # fmt: skip


@pytest.mark.parametrize("layout", CALLS)
def test_one_call_in_every_layout(layout: str) -> None:
    convention, given_span, logs = CALLS[layout]
    found = observe(given_span, logs)
    assert found is not None and found.call is not None
    assert (found.kind, found.convention, found.session, found.hidden) == ("model_call", convention, "c1", False)
    assert found.call.messages == MESSAGES
    assert found.call.outputs == OUTPUTS
    assert (found.call.model, found.call.response_id) == ("m", "r1")
    assert found.call.tokens == Usage(input=20, output=5)


TOOLS: dict[str, TelemetrySpan] = {
    "gen_ai": span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
                    "gen_ai.tool.call.id": "call_1", "gen_ai.tool.call.arguments": ARGUMENTS,
                    "gen_ai.tool.call.result": "71"}),
    "gen_ai without an operation": span({"gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "call_1",
                                         "gen_ai.tool.call.arguments": {"item": "lamp"},
                                         "gen_ai.tool.call.result": "71"}),
    "openinference": span({"openinference.span.kind": "TOOL", "tool.name": "lookup", "input.value": ARGUMENTS,
                           "output.value": json.dumps({"content": "71", "tool_call_id": "call_1"})}),
    "traceloop": span({"traceloop.span.kind": "tool", "traceloop.entity.name": "lookup",
                       "traceloop.entity.input": json.dumps({"inputs": {"item": "lamp"}}),
                       "traceloop.entity.output": json.dumps(
                           {"output": {"lc": 1, "kwargs": {"content": "71", "tool_call_id": "call_1"}}})}),
    "openinference of a newer LangChain": span({
        "openinference.span.kind": "TOOL", "tool.name": "lookup", "input.value": ARGUMENTS, "output.value": json.dumps(
            {"type": "tool", "data": {"content": "71", "tool_call_id": "call_1", "status": "success"}})}),
    "traceloop with gen_ai's name of a tool": span({
        "traceloop.span.kind": "tool", "traceloop.entity.name": "lookup", "gen_ai.tool.name": "lookup",
        "traceloop.entity.input": json.dumps({"args": [], "kwargs": {"item": "lamp"}}),
        "traceloop.entity.output": '"71"', "gen_ai.tool.call.id": "call_1"}),
    "langfuse": span({"langfuse.observation.type": "tool", "langfuse.observation.input": ARGUMENTS,
                      "langfuse.observation.output": json.dumps({"content": "71", "tool_call_id": "call_1"})},
                     name="lookup"),
    "mlflow": span({"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": ARGUMENTS,
                    "mlflow.spanOutputs": json.dumps({"content": "71", "tool_call_id": "call_1"})}, name="lookup"),
    "vercel": span({"ai.operationId": "ai.toolCall", "ai.toolCall.name": "lookup", "ai.toolCall.id": "call_1",
                    "ai.toolCall.args": ARGUMENTS, "ai.toolCall.result": '"71"'}),
    "pydantic_ai": span({"gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "call_1", "tool_arguments": ARGUMENTS,
                         "tool_response": "71", "logfire.msg": "running tool: lookup"}),
}  # fmt: skip


@pytest.mark.parametrize("layout", TOOLS)
def test_one_tool_in_every_layout(layout: str) -> None:
    found = observe(TOOLS[layout])
    assert found is not None and found.kind == "tool_call" and found.convention == layout.split()[0]
    assert found.tool == ToolUse(name="lookup", call_id="call_1", arguments=ARGUMENTS, result="71")


@pytest.mark.parametrize(("attributes", "query"), [
    ({"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": "lamps",
      "gen_ai.retrieval.documents": '[{"id": "d1", "score": 0.5, "content": "A lamp."}]'}, "lamps"),
    ({"openinference.span.kind": "RETRIEVER", "input.value": "lamps", "retrieval.documents.0.document.id": "d1",
      "retrieval.documents.0.document.content": "A lamp.", "retrieval.documents.0.document.score": 0.5}, "lamps"),
    ({"mlflow.spanType": '"RETRIEVER"', "mlflow.spanInputs": '{"query": "lamps"}',
      "mlflow.spanOutputs": '[{"page_content": "A lamp.", "id": "d1", "score": 0.5}]'}, "lamps"),
    ({"langfuse.observation.type": "retriever", "langfuse.observation.input": "lamps",
      "langfuse.observation.output": '[{"page_content": "A lamp.", "id": "d1", "score": 0.5}]'}, "lamps"),
])  # fmt: skip
def test_retrieval(attributes: dict[str, Any], query: str) -> None:
    found = observe(span(attributes))
    assert found is not None and (found.kind, found.query) == ("retrieval", query)
    assert found.documents == (Document(id="d1", content="A lamp.", score=0.5),)


def test_reasoning_keeps_its_order_and_signatures() -> None:
    contents = [
        {"type": "reasoning", "text": "first", "signature": "s1"}, {"type": "reasoning", "data": "opaque"},
        {"type": "text", "text": "said"},
        {"type": "tool_use", "tool_call": {"id": "c", "function": {"name": "f", "arguments": "{}"}}},
        {"type": "reasoning", "encrypted_content": "enc"},
    ]  # fmt: skip
    rows = [{"message_content": one} for one in contents]
    attributes = {"openinference.span.kind": "LLM", **flat("llm.output_messages", [
        {"message": {"role": "assistant", "contents": rows, "tool_calls": [
            {"tool_call": {"id": "c", "function": {"name": "f", "arguments": "{}"}}}]}}])}  # fmt: skip
    found = observe(span(attributes))
    assert found is not None and found.call is not None
    assert found.call.outputs[0].parts == (
        Reasoning(text="first", signature="s1"), Reasoning(text="", signature="opaque", redacted=True),
        Text(text="said"), ToolCall(call_id="c", name="f", arguments="{}"),
        Reasoning(text="", signature="enc", redacted=True),
    )  # fmt: skip
    parts = [{"type": "reasoning", "content": "why", "signature": "s"}, {"type": "text", "content": "so"}]
    found = observe(span({"gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}])}))
    assert found is not None and found.call is not None
    assert found.call.outputs[0].parts == (Reasoning(text="why", signature="s"), Text(text="so"))


def test_hidden_content_is_said_to_be_hidden() -> None:
    found = observe(span({"openinference.span.kind": "LLM", **flat("llm.input_messages", [
        {"message": {"role": "user", "content": "__REDACTED__"}}])}))  # fmt: skip
    assert found is not None and found.call is not None and found.hidden
    assert found.call.messages[0].parts == (Other(kind="redacted", data={"text": "__REDACTED__"}),)


def test_a_span_without_a_model_is_a_span() -> None:
    assert observe(span({"http.method": "GET"})) == Observation(kind="other", convention="plain")


def test_names_are_distinct_and_plain_is_last() -> None:
    names = [one.name for one in CONVENTIONS]
    assert len(set(names)) == len(names) and names[-1] == "plain"


def test_the_recorder_of_the_agents_is_understood() -> None:
    found = observe(span({"auditor.run": "r", "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "react"}))
    assert found is not None and (found.kind, found.agent) == ("agent", "react")


KEYS = sorted({key for _, one, _ in CALLS.values() for key in one.attributes}
              | {key for one in TOOLS.values() for key in one.attributes}
              | {"gen_ai.tool.definitions", "events", "ai.response.toolCalls", "llm.tools.0.tool.json_schema",
                 "pydantic_ai.all_messages", "traceloop.entity.input", "gen_ai.retrieval.documents",
                 "retrieval.documents.0.document.score", "llm.input_messages.00.message.contents.1.x",
                 "ai.response.providerMetadata", "llm.request.functions.0.name"})  # fmt: skip
WORDS = st.sampled_from([
    "role", "content", "parts", "type", "text", "tool_calls", "function", "name", "id", "message", "messages",
    "choices", "thinking", "tool_use", "tool_result", "user", "assistant", "lc", "kwargs", "output", "input", "LLM",
    "reasoning", "generations", "providerOptions", "function_call", "summary", "documents",
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=15,
)  # fmt: skip
MARKS = st.sampled_from([one.attributes for _, one, _ in CALLS.values()] + [one.attributes for one in TOOLS.values()])


@settings(max_examples=400, deadline=None)
@given(MARKS, st.dictionaries(st.sampled_from(KEYS), VALUES | VALUES.map(json.dumps), max_size=8), VALUES, VALUES)
def test_no_attribute_makes_a_reader_fail(
    base: dict[str, Any], more: dict[str, Any], body: object, fields: object
) -> None:
    attributes = fields if isinstance(fields, dict) else {}
    events = tuple(SpanEvent(name=name, at=None, attributes=attributes) for name, _ in EVENTS)
    logs = [log(name, body, "1", attributes) for name, _ in EVENTS]
    one = span(base | more, events=events)
    for convention in CONVENTIONS:
        found = convention.read(one, logs)
        assert found is None or found.convention == convention.name
    assert observe(one, logs) is not None
