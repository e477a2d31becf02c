"""Pydantic AI (Logfire): gen_ai names, with messages in `events` or `pydantic_ai.all_messages`, and tools that are
known by their arguments and response attributes. Documentation: ai.pydantic.dev/logfire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from auditor.capture.conventions import gen_ai
from auditor.capture.conventions.chat import answers_of, is_hidden, messages_of
from auditor.capture.conventions.reading import loaded, said, text
from auditor.records.messages import Message
from auditor.records.telemetry import Observation, TelemetryLog, TelemetrySpan, ToolUse

NAME = "pydantic_ai"
_SCOPES = ("pydantic-ai", "pydantic_ai")
_MARKS = ("pydantic_ai.all_messages", "all_messages_events", "tool_arguments", "tool_response")


def recognises(span: TelemetrySpan) -> bool:
    attributes = span.attributes
    if span.scope in _SCOPES or any(name in attributes for name in _MARKS):
        return True
    return "logfire.msg" in attributes and ("events" in attributes or gen_ai.recognises(span))


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    agent = text(attributes, "gen_ai.agent.name", "agent_name")
    session = text(attributes, "gen_ai.conversation.id", "session.id")
    if (
        "tool_arguments" in attributes
        or "tool_response" in attributes
        or (gen_ai.recognises(span) and gen_ai.kind_of(attributes) == "tool_call")
    ):
        return Observation(kind="tool_call", convention=NAME, agent=agent, session=session, tool=_tool(span))
    whole = any(name in attributes for name in ("pydantic_ai.all_messages", "all_messages_events", "final_result"))
    operation = text(attributes, "gen_ai.operation.name")
    if whole or operation in ("invoke_agent", "create_agent") or (agent is not None and operation is None):
        return Observation(kind="agent", convention=NAME, agent=agent, session=session)
    if operation is None and "gen_ai.request.model" not in attributes:
        return Observation(kind="other", convention=NAME, agent=agent, session=session)
    call = gen_ai.model_call(span, logs)
    rows = loaded(attributes.get("events"))
    if isinstance(rows, list):
        named: list[tuple[str, Mapping[str, Any]]] = [
            (str(one.get("event.name")), one) for one in rows if isinstance(one, Mapping)
        ]
        messages, outputs, finish = gen_ai.from_events(named)
        instructions = text(attributes, "gen_ai.system_instructions", "model_request_parameters.instructions")
        system = messages_of([{"role": "system", "content": instructions}]) if instructions else ()
        call = replace(call, messages=(*system, *messages), outputs=outputs, finish=call.finish or finish)
    elif not call.messages and not call.outputs:
        call = replace(call, messages=messages_of(attributes.get("prompt")), outputs=_final(attributes))
    hidden = is_hidden(call.messages) or is_hidden(call.outputs)
    return Observation(kind="model_call", convention=NAME, agent=agent, session=session, call=call, hidden=hidden)


def _final(attributes: Mapping[str, object]) -> tuple[Message, ...]:
    given = attributes.get("final_result")
    return () if given is None else answers_of(given)


def _tool(span: TelemetrySpan) -> ToolUse:
    base = gen_ai.tool_use(span)
    given, gave = span.attributes.get("tool_arguments"), span.attributes.get("tool_response")
    return replace(
        base, arguments=base.arguments if given is None else said(given), result=base.result if gave is None
        else said(gave), name=base.name if base.name != span.name else _name(span.name),
    )  # fmt: skip


def _name(name: str) -> str:
    return name.removeprefix("running tool: ").removeprefix("running tool ")
