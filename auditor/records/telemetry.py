"""Bodies of `span`, `log` and `telemetry` records: OpenTelemetry data as received, and what it was read as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.records.exchange import Redaction
from auditor.records.messages import Call


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
    """As sent, also where no version of the protocol names it."""
    started: str | None
    ended: str | None
    attributes: Mapping[str, object]
    resource: Mapping[str, object]
    scope: str | None
    status: str
    """`unset`, `ok`, `error`, or `unknown_<number>` for a code no version of the protocol names."""
    status_message: str | None = None
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TelemetryLog:
    """One log record or event. `trace_id` and `span_id` say which span it belongs to, or are None."""

    trace_id: str | None
    span_id: str | None
    time: str | None
    """When it happened by its own account."""
    observed: str | None
    """When the collector or SDK saw it."""
    severity: int
    """OpenTelemetry's severity number, 0 when none was given."""
    severity_text: str | None
    event: str | None
    """Event name, from the record's own field or the older `event.name` attribute."""
    body: object
    attributes: Mapping[str, object]
    resource: Mapping[str, object]
    scope: str | None


RUN_ATTRIBUTE = "auditor.run"
"""Our recorders put the run's id here; it equals the `x-audit-run` header of the same run."""
SELECTION_ATTRIBUTE = "auditor.selection"
"""JSON text of a branch selector's inputs and choice:
{"selector": "argmax", "candidates": [{"text": str, "score": number}], "chosen": index, …}, or visits of a depth-first
search; the whole form is in auditor.structure.searches."""
VOTE_ATTRIBUTE = "auditor.vote"
"""JSON text of a vote over sampled answers: {"winner": text or number}; whatever else it holds (`answers`, `votes`) is
kept and not read."""


@dataclass(frozen=True, kw_only=True)
class TelemetryBatch:
    """Where the bytes of an acknowledged OTLP request are kept. Counts are of accepted and rejected items."""

    payload: str
    spans: int = 0
    rejected: int = 0
    reasons: tuple[str, ...] = field(default_factory=tuple)
    signal: Literal["traces", "logs"] = "traces"
    logs: int = 0
    redacted: tuple[Redaction, ...] = ()
    """What was masked in it; the stored bytes are the request written anew then."""


ObservationKind = Literal["model_call", "tool_call", "retrieval", "embedding", "agent", "workflow", "other"]


@dataclass(frozen=True, kw_only=True)
class Document:
    """One retrieved document; what the span does not say is None."""

    id: str | None
    content: str | None
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """A tool that ran, as its span tells it. `arguments` is JSON text as received."""

    name: str
    call_id: str | None
    arguments: str | None
    result: str | None
    is_error: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a span (with its log events) says an agent did. The span's own attributes stay in its record."""

    kind: ObservationKind
    convention: str
    """Which convention read it (capture.conventions)."""
    call: Call | None = None
    """For a model call: messages, outputs, tools, settings, usage, finish, response id."""
    tool: ToolUse | None = None
    query: str | None = None
    """For a retrieval: what was searched for."""
    documents: tuple[Document, ...] = ()
    agent: str | None = None
    """Name of the agent, where the span says it."""
    session: str | None = None
    """Conversation or session id."""
    hidden: bool = False
    """The emitter was told to hide content: some of it is known to be missing."""
