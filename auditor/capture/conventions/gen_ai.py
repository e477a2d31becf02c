"""OpenTelemetry's GenAI conventions, names of every release: content in attributes, span events or log events.

Specification: opentelemetry.io/docs/specs/semconv/gen-ai and, since 1.42, semantic-conventions-genai. Newer names win
over older ones. Span and log events of the releases before 1.37 hold a message each (`gen_ai.user.message`, …).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.capture.conventions.chat import answers_of, is_hidden, messages_of, parts_of, role_of, tools_of
from auditor.capture.conventions.reading import loaded, real, said, settings, text, texts, usage
from auditor.records.messages import Call, Message, Part, Usage
from auditor.records.telemetry import Document, Observation, ObservationKind, TelemetryLog, TelemetrySpan, ToolUse

NAME = "gen_ai"
OPERATIONS: Mapping[str, ObservationKind] = {
    "chat": "model_call", "generate_content": "model_call", "text_completion": "model_call",
    "embeddings": "embedding", "retrieval": "retrieval", "execute_tool": "tool_call", "invoke_agent": "agent",
    "create_agent": "agent", "invoke_workflow": "workflow", "plan": "workflow",
}  # fmt: skip
_DETAILS = "gen_ai.client.inference.operation.details"
_MESSAGE = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def recognises(span: TelemetrySpan) -> bool:
    attributes = span.attributes
    if "traceloop.entity.output" in attributes and "gen_ai.operation.name" not in attributes:
        return False  # a tool of theirs: its name is gen_ai's, all it was given and gave is theirs
    return any(
        name in attributes
        for name in ("gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.name",
                     "gen_ai.tool.call.id")
    )  # fmt: skip


def kind_of(attributes: Mapping[str, object]) -> ObservationKind:
    operation = text(attributes, "gen_ai.operation.name")
    if operation is not None:
        return OPERATIONS.get(operation, "other")
    if text(attributes, "gen_ai.tool.name", "gen_ai.tool.call.id"):
        return "tool_call"
    return "model_call"


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    kind = kind_of(span.attributes)
    agent = text(span.attributes, "gen_ai.agent.name")
    session = text(span.attributes, "gen_ai.conversation.id", "session.id")
    if kind == "tool_call":
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, tool=tool_use(span))
    if kind == "retrieval":
        return Observation(
            kind=kind, convention=NAME, agent=agent, session=session,
            query=text(span.attributes, "gen_ai.retrieval.query.text"),
            documents=documents(span.attributes.get("gen_ai.retrieval.documents")),
        )  # fmt: skip
    if kind != "model_call":
        return Observation(kind=kind, convention=NAME, agent=agent, session=session)
    call = model_call(span, logs)
    hidden = is_hidden(call.messages) or is_hidden(call.outputs)
    return Observation(kind=kind, convention=NAME, agent=agent, session=session, call=call, hidden=hidden)


def model_call(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Call:
    """The call, its content taken from the first place that has some."""
    attributes = dict(span.attributes)
    for name, body in events(span, logs):
        if name == _DETAILS:
            for key, value in body.items():
                attributes.setdefault(key, value)
    messages, outputs, finish = _content(attributes, list(events(span, logs)))
    previous = text(attributes, "gen_ai.request.previous_response.id")
    return Call(
        record=span.span_id, model=model_of(attributes), messages=messages, outputs=outputs,
        tools=tools_of(attributes.get("gen_ai.tool.definitions")),
        settings=settings(attributes, "gen_ai.request", ("model", "previous_response.id")),
        finish=texts(attributes.get("gen_ai.response.finish_reasons")) or finish, usage=raw_usage(attributes),
        tokens=tokens(attributes), response_id=text(attributes, "gen_ai.response.id"), previous=previous,
    )  # fmt: skip


def model_of(attributes: Mapping[str, object]) -> str:
    return text(attributes, "gen_ai.request.model", "gen_ai.response.model") or "unknown"


def raw_usage(attributes: Mapping[str, object]) -> dict[str, object]:
    return settings(attributes, "gen_ai.usage", ())


def tokens(attributes: Mapping[str, object]) -> Usage | None:
    own = "gen_ai.usage."
    return usage(
        attributes, input=[own + "input_tokens", own + "prompt_tokens"],
        output=[own + "output_tokens", own + "completion_tokens"],
        cache_read=[own + "cache_read.input_tokens", own + "cache_read_input_tokens"],
        cache_write=[own + "cache_write.input_tokens", own + "cache_creation.input_tokens",
                     own + "cache_creation_input_tokens"],
        reasoning=[own + "reasoning.output_tokens", own + "reasoning_tokens"],
    )  # fmt: skip


def tool_use(span: TelemetrySpan) -> ToolUse:
    attributes = span.attributes
    given, gave = attributes.get("gen_ai.tool.call.arguments"), attributes.get("gen_ai.tool.call.result")
    failed = span.status == "error" or "error.type" in attributes
    return ToolUse(
        name=text(attributes, "gen_ai.tool.name") or _after(span.name, "execute_tool "),
        call_id=text(attributes, "gen_ai.tool.call.id"), arguments=None if given is None else said(given),
        result=(None if gave is None else said(gave)) or (span.status_message if failed else None),
        is_error=True if failed else None,
    )  # fmt: skip


def documents(value: object) -> tuple[Document, ...]:
    """Documents of a JSON list: `{id, score, content}` or the names frameworks use for them."""
    found = []
    rows = loaded(value)
    if isinstance(rows, Mapping):
        rows = rows.get("documents", rows.get("results", rows.get("nodes")))
    for one in rows if isinstance(rows, list) else ():
        one = loaded(one)
        if isinstance(one, Mapping):
            content = one.get("content", one.get("page_content", one.get("text")))
            own = one.get("id", one.get("doc_uri"))
            found.append(Document(
                id=None if own is None else said(own), content=None if content is None else said(content),
                score=real(one.get("score")),
            ))  # fmt: skip
        else:
            found.append(Document(id=None, content=said(one)))
    return tuple(found)


def events(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, fields) of span events and log events in order of time; a log's body and attributes are one."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = [(one.at or "", one.name, one.attributes) for one in span.events]
    for log in logs:
        body = log.body if isinstance(log.body, Mapping) else {} if log.body is None else {"content": log.body}
        rows.append((log.time or log.observed or "", log.event or "", {**log.attributes, **body}))
    for _, name, fields in sorted(rows, key=lambda row: row[0]):
        yield name, fields


def _content(
    attributes: Mapping[str, object], rows: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[str, ...]]:
    """(messages, outputs, finish reasons)."""
    inputs, outputs = attributes.get("gen_ai.input.messages"), attributes.get("gen_ai.output.messages")
    system = _system(attributes.get("gen_ai.system_instructions"))
    if inputs is not None or outputs is not None or system:
        gave = answers_of(outputs)
        rows_out = loaded(outputs)
        finish = [text(one, "finish_reason") for one in (rows_out if isinstance(rows_out, list) else ())
                  if isinstance(one, Mapping)]  # fmt: skip
        return (*system, *messages_of(inputs)), gave, tuple(one for one in finish if one)
    return from_events(rows)


def from_events(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[str, ...]]:
    """Messages said one per event (releases before 1.37)."""
    messages: list[Message] = []
    outputs: list[Message] = []
    finish: list[str] = []
    for name, fields in rows:
        if name == "gen_ai.choice":
            inner = loaded(fields.get("message", fields))
            outputs += messages_of(dict(inner) | {"role": "assistant"} if isinstance(inner, Mapping) else inner,
                                   "assistant")  # fmt: skip
            finish += texts(fields.get("finish_reason"))
        elif name in _MESSAGE:
            messages += messages_of([{"role": _MESSAGE[name]} | dict(fields)], role_of(_MESSAGE[name]))
        elif name == "gen_ai.content.prompt":
            messages += messages_of(fields.get("gen_ai.prompt"))
        elif name == "gen_ai.content.completion":
            outputs += answers_of(fields.get("gen_ai.completion"))
    return tuple(messages), tuple(outputs), tuple(finish)


def _system(value: object) -> tuple[Message, ...]:
    parts: tuple[Part, ...] = parts_of(loaded(value))
    return (Message(role="system", parts=parts),) if parts else ()


def _after(name: str, prefix: str) -> str:
    return name.removeprefix(prefix) or "unknown"
