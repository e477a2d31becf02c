"""Langfuse's SDKs (3 and newer): `langfuse.observation.*`, content as JSON text."""

from collections.abc import Mapping, Sequence

from auditor.capture.conventions.chat import answers_of, is_hidden, messages_of, tools_of
from auditor.capture.conventions.gen_ai import documents
from auditor.capture.conventions.reading import loaded, said, text, usage
from auditor.records.messages import Call
from auditor.records.telemetry import Observation, ObservationKind, TelemetryLog, TelemetrySpan, ToolUse

NAME = "langfuse"
TYPE = "langfuse.observation.type"
KINDS: Mapping[str, ObservationKind] = {
    "generation": "model_call", "tool": "tool_call", "retriever": "retrieval", "embedding": "embedding",
    "agent": "agent", "chain": "workflow", "span": "other",
}  # fmt: skip
_OWN = "langfuse.observation."


def recognises(span: TelemetrySpan) -> bool:
    return text(span.attributes, TYPE) is not None


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    kind = KINDS.get((text(attributes, TYPE) or "").lower(), "other")
    given, gave = attributes.get(_OWN + "input"), attributes.get(_OWN + "output")
    session = text(attributes, "session.id", "langfuse.session.id")
    agent = span.name if kind == "agent" else None
    if kind == "model_call":
        call = _call(span, given, gave)
        hidden = is_hidden(call.messages) or is_hidden(call.outputs)
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, call=call, hidden=hidden)
    tool = _tool(span, given, gave) if kind == "tool_call" else None
    searched = kind == "retrieval"
    return Observation(
        kind=kind, convention=NAME, agent=agent, session=session, tool=tool,
        query=said(given) if searched and given is not None else None,
        documents=documents(gave) if searched else (),
    )  # fmt: skip


def _call(span: TelemetrySpan, given: object, gave: object) -> Call:
    attributes = span.attributes
    sent, counts = (loaded(attributes.get(_OWN + name)) for name in ("model.parameters", "usage_details"))
    counted: Mapping[str, object] = counts if isinstance(counts, Mapping) else {}
    asked = loaded(given)
    return Call(
        record=span.span_id, model=text(attributes, _OWN + "model.name", "gen_ai.request.model") or "unknown",
        messages=messages_of(given), outputs=answers_of(gave),
        tools=tools_of(asked.get("tools")) if isinstance(asked, Mapping) else (),
        settings=dict(sent) if isinstance(sent, Mapping) else {}, usage=dict(counted),
        tokens=usage(
            counted, input=["input", "prompt_tokens"], output=["output", "completion_tokens"],
            cache_read=["input_cached_tokens", "cache_read_input_tokens", "input_cache_read"],
            cache_write=["cache_creation_input_tokens", "input_cache_creation"],
            reasoning=["output_reasoning_tokens", "output_reasoning"],
        ),
        response_id=text(attributes, "gen_ai.response.id"),
    )  # fmt: skip


def _tool(span: TelemetrySpan, given: object, gave: object) -> ToolUse:
    value = loaded(gave)
    call_id = text(span.attributes, "gen_ai.tool.call.id")
    if isinstance(value, Mapping) and isinstance(value.get("tool_call_id"), str):
        call_id, gave = call_id or value["tool_call_id"], value.get("content")
    failed = text(span.attributes, _OWN + "level") == "ERROR" or span.status == "error"
    return ToolUse(
        name=text(span.attributes, "gen_ai.tool.name") or span.name, call_id=call_id,
        arguments=None if given is None else said(given), result=None if gave is None else said(gave),
        is_error=True if failed else None,
    )  # fmt: skip
