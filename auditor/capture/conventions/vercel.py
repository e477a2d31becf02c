"""The Vercel AI SDK: `ai.*` attributes. Spans whose operation ends in doGenerate or doStream are the model's calls; the
ones around them (ai.generateText, ai.streamText) are workflows. Documentation: ai-sdk.dev, "Telemetry".
"""

from collections.abc import Mapping, Sequence

from auditor.capture.conventions.chat import is_hidden, messages_of, tool_call, tools_of, written
from auditor.capture.conventions.gen_ai import tokens as gen_ai_tokens
from auditor.capture.conventions.reading import loaded, said, settings, text, texts, usage
from auditor.records.messages import Call, Message, Part, Reasoning
from auditor.records.telemetry import Observation, ObservationKind, TelemetryLog, TelemetrySpan, ToolUse

NAME = "vercel"
_CALLS = (".doGenerate", ".doStream")


def recognises(span: TelemetrySpan) -> bool:
    return text(span.attributes, "ai.operationId") is not None or "ai.toolCall.name" in span.attributes


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    kind = _kind(text(attributes, "ai.operationId") or "", attributes)
    session = text(attributes, "ai.telemetry.metadata.sessionId", "session.id")
    agent = text(attributes, "ai.telemetry.functionId", "resource.name")
    if kind == "model_call":
        call = _call(span)
        hidden = is_hidden(call.messages) or is_hidden(call.outputs)
        return Observation(kind=kind, convention=NAME, agent=agent, session=session, call=call, hidden=hidden)
    tool = _tool(span) if kind == "tool_call" else None
    return Observation(kind=kind, convention=NAME, agent=agent, session=session, tool=tool)


def _kind(operation: str, attributes: Mapping[str, object]) -> ObservationKind:
    if operation == "ai.toolCall" or (not operation and "ai.toolCall.name" in attributes):
        return "tool_call"
    if operation.endswith(_CALLS):
        return "model_call"
    return "embedding" if operation.endswith(".doEmbed") else "workflow"


def _call(span: TelemetrySpan) -> Call:
    attributes = span.attributes
    asked = attributes.get("ai.prompt.messages", attributes.get("ai.prompt"))
    return Call(
        record=span.span_id,
        model=text(attributes, "gen_ai.request.model", "ai.model.id", "ai.response.model") or "unknown",
        messages=messages_of(asked), outputs=_outputs(attributes), tools=tools_of(attributes.get("ai.prompt.tools")),
        settings=settings(attributes, "gen_ai.request") | settings(attributes, "ai.settings"),
        finish=texts(attributes.get("ai.response.finishReason") or attributes.get("gen_ai.response.finish_reasons")),
        usage=settings(attributes, "ai.usage", ()),
        tokens=usage(
            attributes, input=["ai.usage.inputTokens", "ai.usage.promptTokens"],
            output=["ai.usage.outputTokens", "ai.usage.completionTokens"],
            cache_read=["ai.usage.cachedInputTokens"], reasoning=["ai.usage.reasoningTokens"],
        ) or gen_ai_tokens(attributes),
        response_id=text(attributes, "ai.response.id", "gen_ai.response.id"),
    )  # fmt: skip


def _outputs(attributes: Mapping[str, object]) -> tuple[Message, ...]:
    parts: list[Part] = []
    reasoning = text(attributes, "ai.response.reasoning")
    if reasoning is not None:
        details = loaded(attributes.get("ai.response.providerMetadata"))
        own = details.values() if isinstance(details, Mapping) else ()
        signature = next((one["signature"] for one in own if isinstance(one, Mapping) and "signature" in one), None)
        parts.append(Reasoning(text=reasoning, signature=signature if isinstance(signature, str) else None))
    words = attributes.get("ai.response.text", attributes.get("ai.response.object"))
    if words:
        parts.append(written(said(words)))
    calls = loaded(attributes.get("ai.response.toolCalls"))
    parts += [tool_call(one) for one in (calls if isinstance(calls, list) else ()) if isinstance(one, Mapping)]
    return (Message(role="assistant", parts=tuple(parts)),) if parts else ()


def _tool(span: TelemetrySpan) -> ToolUse:
    attributes = span.attributes
    given = attributes.get("ai.toolCall.args", attributes.get("ai.toolCall.input"))
    gave = attributes.get("ai.toolCall.result", attributes.get("ai.toolCall.output"))
    return ToolUse(
        name=text(attributes, "ai.toolCall.name") or span.name, call_id=text(attributes, "ai.toolCall.id"),
        arguments=None if given is None else said(given), result=None if gave is None else _plain(gave),
        is_error=True if span.status == "error" else None,
    )  # fmt: skip


def _plain(value: object) -> str:
    """Results are JSON text; a JSON string loses its quotes."""
    words = said(value)
    inner = loaded(f"[{words}]") if words.startswith('"') else None
    return inner[0] if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], str) else words
