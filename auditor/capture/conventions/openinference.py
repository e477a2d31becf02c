"""OpenInference (Arize Phoenix): flattened, zero-based attributes. Today's richest layout for reasoning.

Specification: github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from collections.abc import Mapping, Sequence

from auditor.capture.conventions.chat import (
    answers_of,
    is_hidden,
    messages_of,
    role_of,
    thinking,
    tool_call,
    tools_of,
    written,
)
from auditor.capture.conventions.reading import loaded, real, rows, said, settings, text, texts, under, usage
from auditor.records.messages import Call, Message, Other, Part, ToolCall, ToolResult
from auditor.records.telemetry import Document, Observation, ObservationKind, TelemetryLog, TelemetrySpan, ToolUse

NAME = "openinference"
KIND = "openinference.span.kind"
KINDS: Mapping[str, ObservationKind] = {
    "LLM": "model_call", "TOOL": "tool_call", "RETRIEVER": "retrieval", "RERANKER": "retrieval",
    "EMBEDDING": "embedding", "AGENT": "agent", "CHAIN": "workflow",
}  # fmt: skip


def recognises(span: TelemetrySpan) -> bool:
    return KIND in span.attributes


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    kind = KINDS.get(str(attributes.get(KIND)).upper(), "other")
    agent = text(attributes, "agent.name", "graph.node.id")
    session = text(attributes, "session.id")
    if kind == "model_call":
        call = _call(span)
        hidden = is_hidden(call.messages) or is_hidden(call.outputs)
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, call=call, hidden=hidden)
    if kind == "tool_call":
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, tool=_tool(span))
    if kind == "retrieval":
        documents = _documents(attributes, "retrieval.documents") or _documents(attributes, "reranker.output_documents")
        return Observation(
            kind=kind, convention=NAME, agent=agent, session=session, documents=documents,
            query=text(attributes, "reranker.query", "input.value"),
        )  # fmt: skip
    return Observation(kind=kind, convention=NAME, agent=agent, session=session)


def _call(span: TelemetrySpan) -> Call:
    attributes = span.attributes
    inputs = tuple(_message(row) for row in rows(attributes, "llm.input_messages"))
    outputs = tuple(_message(row) for row in rows(attributes, "llm.output_messages"))
    if not inputs:
        prompts = [said(row["prompt.text"]) for row in rows(attributes, "llm.prompts") if "prompt.text" in row]
        inputs = tuple(Message(role="user", parts=(written(one),)) for one in prompts) or messages_of(
            attributes.get("input.value")
        )
    if not outputs:
        given = [row.get("completion.text") for row in rows(attributes, "llm.choices")]
        outputs = tuple(Message(role="assistant", parts=(written(said(one)),)) for one in given if one) or answers_of(
            attributes.get("output.value")
        )
    raw = loaded(attributes.get("output.value"))
    schemas = [row.get("tool.json_schema") for row in rows(attributes, "llm.tools")]
    sent = loaded(attributes.get("llm.invocation_parameters"))
    own = "llm.token_count."
    return Call(
        record=span.span_id,
        model=text(attributes, "llm.request.model_name", "llm.model_name", "llm.response.model_name") or "unknown",
        messages=inputs, outputs=outputs, tools=tools_of(schemas),
        settings={key: value for key, value in sent.items() if key not in ("model", "messages", "tools")}
        if isinstance(sent, Mapping) else {},
        finish=texts(attributes.get("llm.finish_reason")), usage=settings(attributes, "llm.token_count", ()),
        tokens=usage(
            attributes, input=[own + "prompt"], output=[own + "completion"],
            cache_read=[own + "prompt_details.cache_read"], cache_write=[own + "prompt_details.cache_write"],
            reasoning=[own + "completion_details.reasoning"],
        ),
        response_id=text(raw, "id") if isinstance(raw, Mapping) else None,
    )  # fmt: skip


def _message(row: Mapping[str, object]) -> Message:
    """One entry of llm.input_messages or llm.output_messages."""
    row = under(row, "message")
    role = role_of(row.get("role"))
    parts: list[Part] = []
    calls = [_tool_call(one) for one in rows(row, "tool_calls")]
    for one in rows(row, "contents"):
        parts.append(_content(one))
    if not parts and isinstance(row.get("content"), str) and row["content"]:
        content = said(row["content"])
        own = text(row, "tool_call_id")
        parts = [ToolResult(call_id=own, name=text(row, "name"), text=content) if role == "tool" else written(content)]
    placed = {(part.call_id, part.name) for part in parts if isinstance(part, ToolCall)}
    parts += [call for call in calls if (call.call_id, call.name) not in placed]
    name = text(row, "function_call_name")
    if name is not None:
        arguments = said(row.get("function_call_arguments_json") or "")
        parts.append(ToolCall(call_id=None, name=name, arguments=arguments))
    return Message(role=role, parts=tuple(parts), name=None if role == "tool" else text(row, "name"))


def _content(row: Mapping[str, object]) -> Part:
    """One ordered content item; a tool_use item repeats its tool call's fields."""
    own = under(row, "message_content")
    kind = text(own, "type") or "text"
    if kind == "text":
        return written(said(own.get("text") or ""))
    if kind == "reasoning":
        return thinking(own)
    if kind == "tool_use":
        return _tool_call(own if "tool_call.function.name" in own or "tool_call.id" in own else row)
    return Other(kind=kind, data=own)


def _tool_call(row: Mapping[str, object]) -> ToolCall:
    own = under(row, "tool_call")
    return tool_call({**own, "function": under(own, "function")})


def _tool(span: TelemetrySpan) -> ToolUse:
    attributes = span.attributes
    given, gave = attributes.get("input.value"), attributes.get("output.value")
    call_id = text(attributes, "tool.id", "tool_call.id")
    value = loaded(gave)
    if isinstance(value, Mapping) and value.get("type") == "tool" and isinstance(value.get("data"), Mapping):
        value = value["data"]  # newer LangChain wraps its messages
    if isinstance(value, Mapping) and isinstance(value.get("tool_call_id"), str):  # LangChain's ToolMessage
        call_id, gave = call_id or value["tool_call_id"], value.get("content")
    failed = span.status == "error"
    return ToolUse(
        name=text(attributes, "tool.name") or span.name, call_id=call_id,
        arguments=said(attributes.get("tool.parameters") if given is None else given)
        if given is not None or "tool.parameters" in attributes else None,
        result=span.status_message if gave is None and failed else None if gave is None else said(gave),
        is_error=True if failed else None,
    )  # fmt: skip


def _documents(attributes: Mapping[str, object], prefix: str) -> tuple[Document, ...]:
    found = []
    for row in rows(attributes, prefix):
        one = under(row, "document")
        own, content = one.get("id"), one.get("content")
        found.append(Document(
            id=None if own is None else said(own), content=None if content is None else said(content),
            score=real(one.get("score")),
        ))  # fmt: skip
    return tuple(found)
