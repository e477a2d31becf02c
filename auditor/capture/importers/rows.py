"""Rows of an export file: JSON Lines, one JSON list, or one JSON object that holds a list. Read with bounded memory.

Files are hostile: a line has at most MOST_LINE bytes, a file that is one JSON value at most MOST_FILE, and nesting is
bounded by exact.MOST_DEPTH. BadInput names the file's line or entry.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from auditor.capture.exact import NotJson, exact, parse_json
from auditor.errors import BadInput

MOST_LINE = 2**26
MOST_FILE = 2**28
Source = Path | bytes
Progress = Callable[[int, int], None]
"""(bytes read, bytes of the file)."""


def silent(done: int, total: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One entry; `where` is its place for messages (`line 3`, `entry 0`), `data` the bytes it came in, or None where
    they were part of a larger value."""

    where: str
    value: dict[str, Any]
    data: bytes | None = None


def rows(
    source: Source, what: str, progress: Progress = silent, *, holders: Sequence[str] = (), keys: Sequence[str] = (),
) -> Iterator[Row]:  # fmt: skip
    """Objects of a file, in order.

    Args:
        what: what the file should be, for messages ("a LangSmith export").
        holders: names under which one JSON object may hold the list of entries (`runs`, `data`).
        keys: an object with one of these is an entry, whatever else it holds.
    """
    file, total = opened(source, what)
    with file:
        if _is_lines(file, keys):
            yield from _lines(file, total, what, progress)
            return
        data = file.read(MOST_FILE + 1)
        if len(data) > MOST_FILE:
            fix = "write it as JSON Lines, one entry per line"
            raise BadInput("file", f"is one JSON value of more than {MOST_FILE} bytes", fix)
        progress(len(data), total)
        value = _parsed(data, "file", what)
        if isinstance(value, dict):
            held = next((value[name] for name in holders if isinstance(value.get(name), list)), None)
            value = [value] if held is None or any(key in value for key in keys) else held
        if not isinstance(value, list):
            raise BadInput("file", "holds neither a list nor an object", f"give {what}")
        for number, one in enumerate(value):
            yield Row(where=f"entry {number}", value=an_object(one, f"entry {number}", what))


def opened(source: Source, what: str) -> tuple[IO[bytes], int]:
    """(the file, its bytes); BadInput when it cannot be read."""
    if isinstance(source, bytes):
        return io.BytesIO(source), len(source)
    try:
        file = source.open("rb")
        return file, source.stat().st_size
    except OSError as fault:
        raise BadInput(str(source), fault.strerror or "cannot be read", f"give {what}") from fault


def an_object(value: Any, where: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(where, "is no JSON object", f"give {what}")
    return value


def a_list(holder: Mapping[str, Any], name: str, where: str, what: str) -> list[Any]:
    value = holder.get(name)
    if not isinstance(value, list):
        raise BadInput(f"{where}.{name}", "is missing or no list", f"give {what}")
    return value


def a_text(holder: Mapping[str, Any], name: str, where: str, what: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{where}.{name}", "is missing or no text", f"give {what}")
    return value


def _is_lines(file: IO[bytes], keys: Sequence[str]) -> bool:
    """Whether the first line is a JSON object of its own; the file is left at its beginning."""
    first = b""
    while not first.strip():
        first = file.readline(MOST_LINE)
        if not first:
            break
    more = file.read(1)
    file.seek(0)
    if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return False
    try:
        value = parse_json(first)
    except NotJson:
        # Cut off by the limit, or broken: a pretty-printed object begins with a line that opens it and no more.
        return len(first.strip()) > 1 and first.rstrip().endswith(b"}")
    return bool(more.strip()) or any(key in value for key in keys)


def _lines(file: IO[bytes], total: int, what: str, progress: Progress) -> Iterator[Row]:
    number, done = 0, 0
    while line := file.readline(MOST_LINE + 1):
        number += 1
        done += len(line)
        if len(line) > MOST_LINE:
            raise BadInput(f"line {number}", f"has more than {MOST_LINE} bytes", f"give {what}")
        if line.strip():
            where = f"line {number}"
            value = an_object(_parsed(line, where, what), where, what)
            yield Row(where=where, value=value, data=line.strip())
        progress(done, total)


def _parsed(data: bytes, where: str, what: str) -> Any:
    try:
        return exact(parse_json(data))
    except NotJson as fault:
        raise BadInput(where, f"is no JSON: {fault}", f"give {what}") from fault
