"""The table of span conventions: one file each, listed here once, the more specific ones first.

The order decides where an emitter writes several layouts: a vendor's own type, then OpenInference's kind, then what
frameworks say, then gen_ai's operation, then older entities, then whether there is a model at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


def observe(span: TelemetrySpan, logs: Sequence[TelemetryLog] = ()) -> Observation | None:
    """What a span says by the first convention that recognises it."""
    for convention in CONVENTIONS:
        if convention.recognises(span):
            return convention.read(span, logs)
    return None
