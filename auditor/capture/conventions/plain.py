"""What no other convention knows: a span with a model's name is a model call without content; else just a span."""

from collections.abc import Sequence

from auditor.capture.conventions import gen_ai
from auditor.capture.conventions.chat import answers_of, messages_of
from auditor.capture.conventions.reading import text
from auditor.records.messages import Call
from auditor.records.telemetry import Observation, TelemetryLog, TelemetrySpan

NAME = "plain"
_MODELS = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "llm.request.model")


def recognises(span: TelemetrySpan) -> bool:
    return True


def read(span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None:
    attributes = span.attributes
    session = text(attributes, "session.id", "gen_ai.conversation.id")
    model = text(attributes, *_MODELS)
    if model is None:
        return Observation(kind="other", convention=NAME, session=session)
    base = gen_ai.model_call(span, logs)
    call = Call(
        record=span.span_id, model=model,
        messages=base.messages or messages_of(attributes.get("gen_ai.prompt", attributes.get("input.value"))),
        outputs=base.outputs or answers_of(attributes.get("gen_ai.completion", attributes.get("output.value"))),
        settings=base.settings, finish=base.finish, usage=base.usage, tokens=base.tokens, response_id=base.response_id,
    )  # fmt: skip
    return Observation(kind="model_call", convention=NAME, session=session, call=call)
