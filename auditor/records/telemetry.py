"""Body of a `span` record: one OpenTelemetry span as received."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class SpanEvent:
    name: str
    at: str | None
    attributes: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class SpanLink:
    trace_id: str
    span_id: str
    attributes: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class TelemetrySpan:
    """Ids are lower-case hex (32 and 16 digits); times RFC 3339; attributes JSON values, bytes as base64 text."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    started: str | None
    ended: str | None
    attributes: Mapping[str, object]
    resource: Mapping[str, object]
    scope: str | None
    status: str
    """`unset`, `ok` or `error`."""
    status_message: str | None = None
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()


RUN_ATTRIBUTE = "auditor.run"
"""Our recorders put the run's id here; it equals the `x-audit-run` header of the same run."""
SELECTION_ATTRIBUTE = "auditor.selection"
"""JSON text of a branch selector's inputs and choice:
{"selector": "argmax" | "first", "candidates": [{"text": str, "score": number}], "chosen": index}."""


@dataclass(frozen=True, kw_only=True)
class TelemetryBatch:
    """Where the bytes of an acknowledged OTLP request are kept."""

    payload: str
    spans: int
    rejected: int = 0
    reasons: tuple[str, ...] = field(default_factory=tuple)
