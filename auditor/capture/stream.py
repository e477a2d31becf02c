"""Server-sent events from bytes as they come: any chunking, CR, LF or CRLF, lines of any length (WHATWG HTML 9.2.6).

One deliberate difference: an event that is not ended by a blank line when the stream ends is still given, because
servers forget that line and the record must not lose their last words.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SseEvent:
    event: str
    """`message` unless the stream names another."""
    data: str
    id: str | None = None


class SseDecoder:
    """Feed it bytes; it gives the events they complete."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._after_cr = False
        self._first = True
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Events completed by `chunk`."""
        events: list[SseEvent] = []
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        start = 0
        while start < len(chunk):
            end, following = _line_end(chunk, start)
            if end < 0:
                self._pieces.append(chunk[start:])
                break
            # Only a CR whose LF may still come: after a complete CRLF the next LF is an empty line of its own.
            self._after_cr = following == end + 1 == len(chunk) and chunk[end : end + 1] == b"\r"
            self._pieces.append(chunk[start:end])
            line = b"".join(self._pieces)
            self._pieces = []
            event = self._line(line)
            if event is not None:
                events.append(event)
            start = following
        return events

    def close(self) -> list[SseEvent]:
        """What the end of the stream completes."""
        line = b"".join(self._pieces)
        self._pieces = []
        events = [self._line(line)] if line else []
        events.append(self._dispatch())
        return [event for event in events if event is not None]

    def _line(self, raw: bytes) -> SseEvent | None:
        line = raw.decode("utf-8", "replace")
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> SseEvent | None:
        data, event = self._data, self._event
        self._data, self._event = [], ""
        if not data:
            return None
        return SseEvent(event=event or "message", data="\n".join(data), id=self._id)


def _line_end(chunk: bytes, start: int) -> tuple[int, int]:
    """(end of the line, start of the next), or (-1, -1). A CR and LF that come together end one line."""
    lf = chunk.find(b"\n", start)
    cr = chunk.find(b"\r", start, lf if lf >= 0 else len(chunk))
    if cr >= 0:
        return cr, cr + (2 if chunk[cr + 1 : cr + 2] == b"\n" else 1)
    return (lf, lf + 1) if lf >= 0 else (-1, -1)


def events(body: bytes) -> Iterable[SseEvent]:
    """All events of a complete (or cut off) body."""
    decoder = SseDecoder()
    yield from decoder.feed(body)
    yield from decoder.close()
