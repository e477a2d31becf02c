"""OTLP files: one request, JSON Lines of requests, or protobuf requests with their lengths (Collector's file exporter).

Read by the intake's own reader. Whether a protobuf request holds traces or logs is not written in it: the reading that
gives more items is taken. Metrics are passed over.
"""

import json
import struct
from collections.abc import Iterator

from auditor.capture.importers.imported import Telemetry
from auditor.capture.importers.rows import MOST_FILE, Progress, Source, opened, rows, silent
from auditor.capture.otlp_read import ReadBatch, Signal, read_json, read_protobuf
from auditor.errors import BadInput

WHAT = "OTLP/JSON, JSON Lines of it, or OTLP protobuf"
_SIGNALS: tuple[tuple[str, Signal], ...] = (("resourceSpans", "traces"), ("resourceLogs", "logs"))


def read(source: Source, progress: Progress = silent) -> Iterator[Telemetry]:
    """Requests of a file; BadInput names the line that is none."""
    file, total = opened(source, WHAT)
    with file:
        begins = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if begins in (b"{", b"["):
        yield from _json(source, progress)
        return
    file, total = opened(source, WHAT)
    with file:
        data = file.read(MOST_FILE + 1)
    if len(data) > MOST_FILE:
        raise BadInput("file", f"has more than {MOST_FILE} bytes", "split it, or write it as JSON Lines")
    pieces = _pieces(data)
    done = 0
    for number, piece in enumerate(pieces):
        yield _protobuf(piece, f"request {number}" if len(pieces) > 1 else "file")
        done += len(piece)
        progress(done, total)


def _json(source: Source, progress: Progress) -> Iterator[Telemetry]:
    keys = ("resourceSpans", "resourceLogs", "resourceMetrics")
    for row in rows(source, WHAT, progress, keys=keys):
        if not any(key in row.value for key in keys):
            raise BadInput(f"{row.where}.resourceSpans", "is missing, and so is resourceLogs", f"give {WHAT}")
        data = row.data if row.data is not None else json.dumps(row.value, separators=(",", ":")).encode()
        for key, signal in _SIGNALS:
            if key in row.value:
                try:
                    batch = read_json(data, signal)
                except BadInput as fault:
                    raise BadInput(f"{row.where}.{fault.field}", fault.problem, f"give {WHAT}") from fault
                yield Telemetry(data=data, signal=signal, items=batch.items, reasons=batch.reasons)


def _protobuf(data: bytes, where: str) -> Telemetry:
    found: list[tuple[int, Signal, ReadBatch]] = []
    for signal in ("traces", "logs"):
        try:
            batch = read_protobuf(data, signal)
        except BadInput:
            continue
        found.append((len(batch.items), signal, batch))
    if not found or not any(batch.items or batch.reasons for _, _, batch in found):
        raise BadInput(where, "is no OTLP request of traces or logs", f"give {WHAT}")
    _, signal, batch = max(found, key=lambda one: one[0])
    return Telemetry(data=data, signal=signal, items=batch.items, reasons=batch.reasons)


def _pieces(data: bytes) -> list[bytes]:
    """The requests of a file where each has its length (u32, big endian) before it; else the file is one."""
    pieces, place = [], 0
    while place + 4 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if not length or place + 4 + length > len(data):
            return [data]
        pieces.append(data[place + 4 : place + 4 + length])
        place += 4 + length
    return pieces if pieces and place == len(data) else [data]
