"""MLflow Tracing: `mlflow.spanType`, `mlflow.spanInputs`, `mlflow.spanOutputs`, each a JSON value as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from auditor.capture.conventions.chat import answers_of, is_hidden, messages_of, tools_of
from auditor.capture.conventions.gen_ai import documents
from auditor.capture.conventions.reading import loaded, said, text, texts, usage
from auditor.capture.exact import NotJson, exact, parse_json
from auditor.records.messages import Call
from auditor.records.telemetry import Observation, ObservationKind, TelemetryLog, TelemetrySpan, ToolUse

NAME = "mlflow"
KINDS: Mapping[str, ObservationKind] = {
    "LLM": "model_call", "CHAT_MODEL": "model_call", "TOOL": "tool_call", "RETRIEVER": "retrieval",
    "RERANKER": "retrieval", "EMBEDDING": "embedding", "AGENT": "agent", "CHAIN": "workflow", "WORKFLOW": "workflow",
}  # fmt: skip
_NOT_SETTINGS = {"model", "messages", "tools", "input", "prompt", "system", "instructions"}


def recognises(span: TelemetrySpan) -> bool:
    return any(name in span.attributes for name in ("mlflow.spanType", "mlflow.spanInputs", "mlflow.spanOutputs"))


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    kind = KINDS.get(str(_value(attributes.get("mlflow.spanType"))).upper(), "other")
    given, gave = _value(attributes.get("mlflow.spanInputs")), _value(attributes.get("mlflow.spanOutputs"))
    session = _value(attributes.get("mlflow.trace.session")) or text(attributes, "session.id")
    session = session if isinstance(session, str) else None
    agent = span.name if kind == "agent" else None
    if kind == "model_call":
        call = _call(span, given, gave)
        hidden = is_hidden(call.messages) or is_hidden(call.outputs)
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, call=call, hidden=hidden)
    tool = _tool(span, given, gave) if kind == "tool_call" else None
    searched = kind == "retrieval"
    query = next(iter(given.values()), None) if isinstance(given, Mapping) and len(given) == 1 else given
    return Observation(
        kind=kind, convention=NAME, agent=agent, session=session, tool=tool,
        query=said(query) if searched and query is not None else None,
        documents=documents(gave) if searched else (),
    )  # fmt: skip


def _value(value: object) -> Any:
    """Attributes are JSON values as text, texts in quotes."""
    if not isinstance(value, str):
        return value
    try:
        return exact(parse_json(value))
    except NotJson:
        return value


def _call(span: TelemetrySpan, given: Any, gave: Any) -> Call:
    asked: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    answer: Mapping[str, Any] = gave if isinstance(gave, Mapping) else {}
    counts = _value(span.attributes.get("mlflow.chat.tokenUsage")) or answer.get("usage")
    counted: Mapping[str, object] = counts if isinstance(counts, Mapping) else {}
    choices = answer.get("choices")
    finish = [text(one, "finish_reason") for one in (choices if isinstance(choices, list) else ())
              if isinstance(one, Mapping)]  # fmt: skip
    model = _value(span.attributes.get("mlflow.llm.model"))
    return Call(
        record=span.span_id,
        model=text(asked, "model") or (model if isinstance(model, str) else None) or text(answer, "model")
        or "unknown",
        messages=messages_of(given), outputs=answers_of(gave),
        tools=tools_of(asked.get("tools") or _value(span.attributes.get("mlflow.chat.tools"))),
        settings={key: value for key, value in asked.items() if key not in _NOT_SETTINGS},
        finish=tuple(one for one in finish if one) or texts(answer.get("stop_reason") or ()), usage=dict(counted),
        tokens=usage(counted, input=["input_tokens", "prompt_tokens"], output=["output_tokens", "completion_tokens"]),
        response_id=text(answer, "id"),
    )  # fmt: skip


def _tool(span: TelemetrySpan, given: Any, gave: Any) -> ToolUse:
    call_id = None
    value = loaded(gave)
    if isinstance(value, Mapping) and isinstance(value.get("tool_call_id"), str):  # LangChain's ToolMessage
        call_id, gave = value["tool_call_id"], value.get("content")
    return ToolUse(
        name=span.name, call_id=call_id, arguments=None if given is None else said(given),
        result=None if gave is None else said(gave), is_error=True if span.status == "error" else None,
    )  # fmt: skip
