"""Runs and observations of other tracers as spans, so that the span conventions read them: one way of reading."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.capture.exact import whole_text
from auditor.capture.importers.imported import BATCH, Telemetry
from auditor.capture.importers.rows import Row
from auditor.records.telemetry import TelemetrySpan
from auditor.records.times import time_text
from auditor.records.wire import write

_HEX = re.compile("[0-9a-f]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def trace_id(own: str) -> str:
    """32 hex digits: of a UUID or an OpenTelemetry id its own, else of its hash."""
    return _id(own, 32)


def span_id(own: str) -> str:
    """16 hex digits: an OpenTelemetry id stays what it is, others are hashed."""
    return _id(own, 16)


def moment(value: Any) -> str | None:
    """ISO 8601 text (UTC where it names no zone) or milliseconds since 1970, as our time text; None for others."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            return time_text((found - _EPOCH) // _MICROSECOND * 1000)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return time_text(int(value * 1_000_000))
    except (ValueError, OverflowError, OSError):
        return None
    return None


def json_text(value: Any) -> str:
    """Attributes hold text: JSON of anything else."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def said(attributes: Mapping[str, Any]) -> dict[str, object]:
    """Attributes without those that say nothing; lists and objects become JSON text."""
    return {
        key: json_text(value) if isinstance(value, (dict, list)) else whole_text(value) if isinstance(value, str)
        else value
        for key, value in attributes.items() if value not in (None, "", [], {})
    }  # fmt: skip


def batches(rows: Iterable[tuple[Row, TelemetrySpan]]) -> Iterator[Telemetry]:
    """Spans some at a time, with the rows they were read from as JSON Lines."""
    items: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    for row, span in rows:
        items.append(write(span))
        data = row.data
        if data is None:
            data = json.dumps(row.value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        pieces.append(data)
        if len(items) >= BATCH:
            yield Telemetry(data=b"\n".join(pieces), signal="traces", items=items)
            items, pieces = [], []
    if items:
        yield Telemetry(data=b"\n".join(pieces), signal="traces", items=items)


def _id(own: str, digits: int) -> str:
    plain = own.replace("-", "").lower()
    if len(plain) == digits and _HEX.fullmatch(plain) and plain.strip("0"):
        return plain
    return hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
