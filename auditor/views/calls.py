"""Model calls as the views tell it: the structure's facts, and those of the record it was read from."""

from datetime import datetime

from auditor.errors import AuditorError
from auditor.records.exchange import Exchange, Redaction, Times
from auditor.records.structure import ModelCall, Structure
from auditor.records.telemetry import TelemetrySpan
from auditor.views import forms
from auditor.views.library import Library


def call_views(library: Library, structure: Structure, start: int, limit: int) -> list[forms.CallView]:
    """Some of a run's calls, in their order."""
    steps = {step.call: step.id for step in structure.steps if step.kind == "model_call"}
    chosen = enumerate(structure.calls[start : start + limit], start + 1)
    return [_call_view(library, call, number, steps.get(call.id)) for number, call in chosen]


def _call_view(library: Library, call: ModelCall, number: int, step: str | None) -> forms.CallView:
    """A call with what its record says; a record that cannot be read is named in `missing`, and hides nothing else."""
    source: Exchange | TelemetrySpan | None = None
    missing: str | None = None
    try:
        source = library.source(call.record)
    except AuditorError as fault:
        missing = str(fault.problem)
    times = _times(source)
    exchange = source if isinstance(source, Exchange) else None
    return forms.CallView(
        id=call.id, number=number, record=call.record, step=step, model=call.model,
        dialect=call.dialect, at=call.at, purpose=call.purpose, agent=call.agent, spans=len(call.spans),
        outputs=len(call.outputs), retry_of=call.retry_of, continues=call.continues,
        tokens=call.tokens, cost=call.cost, no_cost=no_cost(call),
        status=exchange.status if exchange else None, outcome=exchange.outcome if exchange else None,
        unparsed=exchange.unparsed if exchange else None, times=times,
        first_content_ms=_between(times.started, times.first_content) if times else None,
        total_ms=_between(times.started, times.last_byte) if times else None,
        redactions=redactions(exchange.redacted) if exchange else [], missing=missing,
    )  # fmt: skip


def no_cost(call: ModelCall) -> forms.NoCost | None:
    """Why a call has no cost; None where it has one."""
    if call.cost is not None:
        return None
    return "not given" if call.tokens is None else "no price"


def redactions(found: tuple[Redaction, ...]) -> list[forms.RedactionView]:
    """How much was masked, by rule and place; `values` are different ones."""
    grouped: dict[tuple[forms.Where, str], list[Redaction]] = {}
    for one in found:
        grouped.setdefault((one.where, one.rule), []).append(one)
    return [
        forms.RedactionView(
            rule=rule, where=where, count=sum(one.count for one in those), values=len({one.hash for one in those})
        )
        for (where, rule), those in sorted(grouped.items())
    ]


def _times(source: Exchange | TelemetrySpan | None) -> Times | None:
    if isinstance(source, Exchange):
        return source.times
    if isinstance(source, TelemetrySpan) and source.started is not None:
        return Times(started=source.started, upstream_headers=None, first_byte=None, last_byte=source.ended)
    return None


def _between(start: str, end: str | None) -> float | None:
    """Milliseconds; None where a moment never came, cannot be read, or clocks ran backwards."""
    if end is None:
        return None
    try:
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None
    return round(seconds * 1000, 3) if seconds >= 0 else None
