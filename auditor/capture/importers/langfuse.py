"""Langfuse exports: observations, or traces that hold `observations`; JSON Lines, a list, or under `data`.

An observation becomes a span with the attributes Langfuse's own SDKs write (langfuse.observation.*), a trace a span
above the observations that name no other parent. Newer and older field names are read (`usageDetails`, `usage`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.capture.importers.imported import Telemetry
from auditor.capture.importers.rows import Progress, Row, Source, a_text, an_object, rows, silent
from auditor.capture.importers.spans import batches, moment, said, span_id, trace_id
from auditor.errors import BadInput
from auditor.records.telemetry import TelemetrySpan

WHAT = "a Langfuse export: JSON Lines or a list of traces or observations"
_OWN = "langfuse.observation."
_KEPT = ("version", "environment", "promptName", "promptVersion", "completionStartTime", "metadata")


def read(source: Source, progress: Progress = silent) -> Iterator[Telemetry]:
    """Spans of a file; BadInput names the line or entry and the field."""
    return batches(_spans(source, progress))


def _spans(source: Source, progress: Progress) -> Iterator[tuple[Row, TelemetrySpan]]:
    for row in rows(source, WHAT, progress, holders=("data", "observations", "traces"), keys=("id", "traceId")):
        if isinstance(row.value.get("trace"), dict) and isinstance(row.value.get("observations"), list):
            row = Row(where=row.where, value={**row.value["trace"], "observations": row.value["observations"]})
        if any(isinstance(row.value.get(key), str) for key in ("traceId", "trace_id")):
            yield row, _observation(row, row.value, row.where, None)
            continue
        if isinstance(row.value.get("type"), str) and "observations" not in row.value:
            raise BadInput(f"{row.where}.traceId", "is missing or no text", f"give {WHAT}")
        own = a_text(row.value, "id", row.where, WHAT)
        held = row.value.get("observations", [])
        if not isinstance(held, list):
            raise BadInput(f"{row.where}.observations", "is no list", f"give {WHAT}")
        yield row, _trace(row.value, own)
        for number, one in enumerate(held):
            where = f"{row.where}.observations.{number}"
            if isinstance(one, str):
                continue  # a listing of traces names its observations by id alone
            yield Row(where=where, value=an_object(one, where, WHAT)), _observation(row, one, where, own)


def _trace(trace: Mapping[str, Any], own: str) -> TelemetrySpan:
    attributes = {
        _OWN + "type": "chain", _OWN + "input": trace.get("input"), _OWN + "output": trace.get("output"),
        "session.id": trace.get("sessionId"), "user.id": trace.get("userId"), "langfuse.trace.tags": trace.get("tags"),
        "langfuse.trace.metadata": trace.get("metadata"),
    }  # fmt: skip
    return TelemetrySpan(
        trace_id=trace_id(own), span_id=span_id(f"trace {own}"), parent_span_id=None,
        name=_text(trace.get("name")) or "trace", kind=1, started=moment(trace.get("timestamp")), ended=None,
        attributes=said(attributes), resource={}, scope="langfuse", status="unset",
    )  # fmt: skip


def _observation(row: Row, one: Mapping[str, Any], where: str, trace: str | None) -> TelemetrySpan:
    own, kind = a_text(one, "id", where, WHAT), a_text(one, "type", where, WHAT)
    above = _text(_either(one, "parentObservationId", "parent_observation_id"))
    held_by = trace or _text(_either(one, "traceId", "trace_id"))
    if held_by is None:
        raise BadInput(f"{where}.traceId", "is missing or no text", f"give {WHAT}")
    parent = span_id(above) if above else span_id(f"trace {trace}") if trace else None
    level, message = _text(one.get("level")), _text(_either(one, "statusMessage", "status_message"))
    attributes = {
        _OWN + "type": kind.lower(), _OWN + "input": one.get("input"), _OWN + "output": one.get("output"),
        _OWN + "model.name": _either(one, "model", "providedModelName"),
        _OWN + "model.parameters": _either(one, "modelParameters", "model_parameters"),
        _OWN + "usage_details": _either(one, "usageDetails", "usage_details", "usage"),
        _OWN + "cost_details": _either(one, "costDetails", "cost_details"), _OWN + "level": level,
        "session.id": row.value.get("sessionId") if trace else None,
        **{f"langfuse.{name}": one.get(name) for name in _KEPT},
    }  # fmt: skip
    return TelemetrySpan(
        trace_id=trace_id(held_by), span_id=span_id(own), parent_span_id=parent,
        name=_text(one.get("name")) or kind.lower(), kind=1, started=moment(_either(one, "startTime", "start_time")),
        ended=moment(_either(one, "endTime", "end_time")), attributes=said(attributes), resource={}, scope="langfuse",
        status="error" if level == "ERROR" else "unset", status_message=message,
    )  # fmt: skip


def _either(one: Mapping[str, Any], *names: str) -> Any:
    return next((one[name] for name in names if one.get(name) is not None), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
