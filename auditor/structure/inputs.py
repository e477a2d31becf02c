"""What structure is made from: parsed calls, spans and transcripts with their ledger position, and threads of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from auditor.records.exchange import Exchange, Joins, Outcome, Times, Transcript
from auditor.records.messages import Call, Cost, Message, Usage
from auditor.records.telemetry import Observation, TelemetrySpan

Grade = Literal["recorded", "inferred"]
COUNTERFACTUAL = "counterfactual"
"""Purpose of our own continuations; they are no part of the run they imitate."""


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """One model call: what a dialect parsed from an exchange's bytes, or what a convention read in a span."""

    position: int
    id: str
    """Id of the exchange or span record."""
    project: str
    call: Call
    joins: Joins
    times: Times
    outcome: Outcome
    status: int | None
    dialect: str | None
    asked: str | None
    """Model name as asked for, where it is known."""
    model_digest: str
    origin: Literal["proxy", "otlp"] = "proxy"
    agent: str | None = None
    """Name of the agent that made the call, where a span says it."""
    spans: tuple[str, ...] = ()
    """Ids of the span records that tell of this call."""


def recorded_call(position: int, record: str, project: str, call: Call, exchange: Exchange) -> RecordedCall:
    """A proxied call: the exchange record with this id, and the call parsed from its bytes."""
    return RecordedCall(
        position=position, id=record, project=project, call=call, joins=exchange.joins, times=exchange.times,
        outcome=exchange.outcome, status=exchange.status, dialect=exchange.dialect, asked=exchange.model,
        model_digest=exchange.model_digest,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RecordedSpan:
    """A span and what a convention read in it, None where it was not asked."""

    position: int
    id: str
    project: str
    span: TelemetrySpan
    observation: Observation | None = None
    """With the span's log events."""
    alone: Observation | None = None
    """Without them: log events may come late, and must not move a span to another run."""
    logs: tuple[tuple[int, str], ...] = ()
    """Position and id of the log records that belong to it."""


@dataclass(frozen=True, kw_only=True)
class RecordedTranscript:
    """A run somebody else recorded. `messages` are read from the transcript's payload."""

    position: int
    id: str
    project: str
    transcript: Transcript
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, object]] = ()
    counted: Mapping[int, tuple[Usage | None, Cost | None]] = field(default_factory=dict)
    """Place of a message -> tokens and cost of the call that gave it."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Which run a record belongs to, and the rule that says so."""

    run: str
    grade: Grade
    rule: str
    retry_of: str | None = None
    """Id of the exchange record of the failed attempt that this one repeats."""


@dataclass(frozen=True, kw_only=True)
class Thread:
    """Everything recorded of one run. `calls` are in order of their start; `joins` are parallel to `calls`."""

    run: str
    project: str
    grade: Grade
    """`inferred` as soon as one call was."""
    rule: str
    """Rules that tied the calls together, e.g. `header` or `first_exchange+echoed_output`."""
    calls: tuple[RecordedCall, ...] = ()
    joins: tuple[Joined, ...] = ()
    spans: tuple[RecordedSpan, ...] = ()
    transcript: RecordedTranscript | None = None
    aliases: tuple[str, ...] = ()
    """Other run ids that were merged into this one."""
    fetched: tuple[RecordedCall, ...] = ()
    """Calls that only fetched, cancelled or counted: what they brought stands in `calls`, they are none themselves."""
    uses: tuple[RecordedSpan, ...] = ()
    """Spans of tools that ran and of retrievals, each once, in order of their end."""
    gaps: tuple[str, ...] = ()
    """Sentences: what context of the calls was recorded elsewhere."""
