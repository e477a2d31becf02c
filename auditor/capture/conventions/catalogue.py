"""The table of span conventions: one file each, listed here once, the more specific ones first.

The order decides where an emitter writes several layouts: a vendor's own type, then OpenInference's kind, then what
frameworks say, then gen_ai's operation, then older entities, then whether there is a model at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from auditor.capture.conventions import (
    gen_ai,
    langfuse,
    mlflow,
    openinference,
    plain,
    pydantic_ai,
    traceloop,
    vercel,
)
from auditor.capture.prices import Prices, cost_of_tokens, is_list_price
from auditor.records.telemetry import Observation, TelemetryLog, TelemetrySpan


class Recognise(Protocol):
    def __call__(self, span: TelemetrySpan) -> bool: ...


class Read(Protocol):
    """(span, its log events) -> what it says; pure, never raises for what attributes hold."""

    def __call__(self, span: TelemetrySpan, logs: Sequence[TelemetryLog]) -> Observation | None: ...


@dataclass(frozen=True, kw_only=True)
class Convention:
    name: str
    recognises: Recognise
    read: Read


CONVENTIONS: tuple[Convention, ...] = tuple(
    Convention(name=module.NAME, recognises=module.recognises, read=module.read)
    for module in (langfuse, openinference, pydantic_ai, vercel, mlflow, gen_ai, traceloop, plain)
)


_CACHE_INCLUDED = frozenset(module.NAME for module in (gen_ai, openinference, pydantic_ai))
"""Conventions whose specification says that the input count includes what came from the cache (OpenTelemetry's GenAI
conventions: `gen_ai.usage.input_tokens`; OpenInference: `llm.token_count.prompt_details`)."""
_TIERS = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
"""Attributes that name a service tier (OpenTelemetry's conventions for OpenAI, now and before)."""


def observe(
    span: TelemetrySpan, logs: Sequence[TelemetryLog] = (), prices: Prices | None = None
) -> Observation | None:
    """What a span says by the first convention that recognises it; with `prices`, also what its call cost."""
    for convention in CONVENTIONS:
        if convention.recognises(span):
            found = convention.read(span, logs)
            return found if found is None or prices is None else _priced(found, span, prices)
    return None


def _priced(found: Observation, span: TelemetrySpan, prices: Prices) -> Observation:
    call = found.call
    if call is None or call.tokens is None or not all(is_list_price(span.attributes.get(name)) for name in _TIERS):
        return found
    charged = cost_of_tokens(prices, call.model, call.tokens, cache_included=found.convention in _CACHE_INCLUDED)
    return found if charged is None else replace(found, call=replace(call, cost=charged))
