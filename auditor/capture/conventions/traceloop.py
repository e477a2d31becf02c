"""Traceloop (OpenLLMetry), older layouts: prompts and completions flattened under `gen_ai.prompt` and
`gen_ai.completion`, and entities of workflows. Newer ones speak gen_ai.

Specification: github.com/traceloop/openllmetry, packages/opentelemetry-semantic-conventions-ai
"""

import json
from collections.abc import Mapping, Sequence

from auditor.capture.conventions import gen_ai
from auditor.capture.conventions.chat import is_hidden, messages_of
from auditor.capture.conventions.reading import loaded, rows, said, settings, text, usage
from auditor.records.messages import Call, Message
from auditor.records.telemetry import Observation, ObservationKind, TelemetryLog, TelemetrySpan, ToolUse

NAME = "traceloop"
REQUESTS: Mapping[str, ObservationKind] = {
    "chat": "model_call", "completion": "model_call", "embedding": "embedding", "rerank": "retrieval",
}  # fmt: skip
KINDS: Mapping[str, ObservationKind] = {"workflow": "workflow", "task": "workflow", "agent": "agent",
                                        "tool": "tool_call"}  # fmt: skip


def recognises(span: TelemetrySpan) -> bool:
    marks = ("traceloop.", "llm.request.type", "gen_ai.prompt.0.", "gen_ai.completion.0.", "llm.usage.total_tokens")
    return any(name.startswith(marks) for name in span.attributes)


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    kind = _kind(attributes)
    session = text(
        attributes, "traceloop.association.properties.session_id", "traceloop.association.properties.thread_id",
        "session.id",
    )  # fmt: skip
    agent = text(attributes, "gen_ai.agent.name") or (
        text(attributes, "traceloop.entity.name") if kind == "agent" else None
    )
    if kind == "model_call":
        call = _call(span, logs)
        hidden = is_hidden(call.messages) or is_hidden(call.outputs)
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, call=call, hidden=hidden)
    tool = _tool(span) if kind == "tool_call" else None
    return Observation(kind=kind, convention=NAME, agent=agent, session=session, tool=tool)


def _kind(attributes: Mapping[str, object]) -> ObservationKind:
    own = text(attributes, "traceloop.span.kind")
    if own is not None:
        return KINDS.get(own.lower(), "other")
    asked = text(attributes, "llm.request.type")
    if asked is not None:
        return REQUESTS.get(asked.lower(), "model_call")
    modelled = "gen_ai.request.model" in attributes or any(
        name.startswith(("gen_ai.prompt.", "gen_ai.completion.")) for name in attributes
    )
    return "model_call" if modelled else "other"


def _call(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Call:
    attributes = span.attributes
    base = gen_ai.model_call(span, logs)
    own = "gen_ai.usage."
    answers = rows(attributes, "gen_ai.completion")
    return Call(
        record=span.span_id, model=base.model,
        messages=tuple(_message(row, "user") for row in rows(attributes, "gen_ai.prompt")) or base.messages,
        outputs=tuple(_message(row, "assistant") for row in answers) or base.outputs,
        tools=tuple(_schema(row) for row in rows(attributes, "llm.request.functions")) or base.tools,
        settings=base.settings | settings(attributes, "llm.request", ("model", "type"))
        if isinstance(base.settings, dict) and not any(n.startswith("llm.request.functions") for n in attributes)
        else base.settings,
        finish=tuple(one for row in answers if (one := text(row, "finish_reason"))) or base.finish,
        usage=settings(attributes, "gen_ai.usage", ()) | settings(attributes, "llm.usage", ()),
        tokens=usage(
            attributes, input=[own + "input_tokens", own + "prompt_tokens"],
            output=[own + "output_tokens", own + "completion_tokens"],
            cache_read=[own + "cache_read_input_tokens"], cache_write=[own + "cache_creation_input_tokens"],
            reasoning=[own + "reasoning_tokens"],
        ),
        response_id=base.response_id,
    )  # fmt: skip


def _message(row: Mapping[str, object], role: str) -> Message:
    form: dict[str, object] = {"role": row.get("role") or role, "content": loaded(row.get("content"))}
    if isinstance(form["content"], Mapping) and "type" not in form["content"]:
        form["content"] = row.get("content")
    form |= {key: row[key] for key in ("tool_call_id", "name", "reasoning") if row.get(key)}
    calls = [dict(one) for one in rows(row, "tool_calls")]
    return messages_of([form | ({"tool_calls": calls} if calls else {})])[0]


def _schema(row: Mapping[str, object]) -> Mapping[str, object]:
    form = {"name": row.get("name"), "description": row.get("description"), "parameters": loaded(row.get("parameters"))}
    return {"type": "function", "function": {key: value for key, value in form.items() if value is not None}}


def _tool(span: TelemetrySpan) -> ToolUse:
    attributes = span.attributes
    given, gave = loaded(attributes.get("traceloop.entity.input")), loaded(attributes.get("traceloop.entity.output"))
    call_id = text(attributes, "gen_ai.tool.call.id")
    if isinstance(gave, str):
        gave = _unquoted(gave)
    if isinstance(given, Mapping):
        given = given.get("inputs") or given.get("input_str") or given.get("kwargs") or given
    if isinstance(gave, Mapping):
        gave = gave.get("output", gave)
        inner = gave.get("kwargs", gave) if isinstance(gave, Mapping) else None
        if isinstance(inner, Mapping) and "content" in inner:  # LangChain's ToolMessage
            call_id, gave = call_id or text(inner, "tool_call_id"), inner["content"]
    name = text(attributes, "traceloop.entity.name", "gen_ai.tool.name") or span.name
    return ToolUse(
        name=name, call_id=call_id, arguments=None if given is None else said(given),
        result=None if gave is None else said(gave), is_error=True if span.status == "error" else None,
    )  # fmt: skip


def _unquoted(gave: str) -> str:
    """Their decorators write every result as JSON: a text then stands in quotes."""
    if not gave.startswith('"'):
        return gave
    try:
        inner = json.loads(gave)
    except ValueError:
        return gave
    return inner if isinstance(inner, str) else gave
