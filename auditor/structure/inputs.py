"""What structure is made from: parsed calls, spans and transcripts with their ledger position, and threads of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.records.exchange import Exchange, Transcript
from auditor.records.messages import Call, Message
from auditor.records.telemetry import TelemetrySpan

Grade = Literal["recorded", "inferred"]
COUNTERFACTUAL = "counterfactual"
"""Purpose of our own continuations; they are no part of the run they imitate."""


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """One proxied model call: the exchange as recorded and the call a dialect parsed from its bytes."""

    position: int
    id: str
    """Id of the exchange record."""
    project: str
    call: Call
    exchange: Exchange


@dataclass(frozen=True, kw_only=True)
class RecordedSpan:
    position: int
    id: str
    project: str
    span: TelemetrySpan


@dataclass(frozen=True, kw_only=True)
class RecordedTranscript:
    """A run somebody else recorded. `messages` are read from the transcript's payload."""

    position: int
    id: str
    project: str
    transcript: Transcript
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, object]] = ()


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
    gaps: tuple[str, ...] = ()
    """Sentences: what context of the calls was recorded elsewhere."""
