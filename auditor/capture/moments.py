"""When a stream's first words and first tool call reached the client, from its bytes and the times of its pieces; and
whether its last event did."""

import json
import zlib
from collections.abc import Mapping, Sequence

from auditor.capture.dialects.catalogue import Dialect
from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.stream import SseDecoder, events

MOST_EVENTS = 20_000
"""Events looked at; a stream that says nothing for longer has no such moment."""


_LAST = {"message_stop", "response.completed", "response.failed", "response.incomplete"}


def has_ended(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a body is an event stream whose last event says that nothing follows it."""
    if "text/event-stream" not in headers.get("content-type", ""):
        return False
    try:
        last = list(events(decode(body, headers.get("content-encoding"))))[-1:]
    except NotDecoded:
        return False
    for event in last:
        if event.data.strip() == "[DONE]":
            return True
        try:
            said = json.loads(event.data)
        except (ValueError, RecursionError):  # of a last event that is cut off
            return False
        kind = said.get("type", event.event) if isinstance(said, dict) else None
        return isinstance(kind, str) and kind in _LAST
    return False


def first_moments(
    dialect: Dialect | None, body: bytes, headers: Mapping[str, str], marks: Sequence[tuple[int, int]]
) -> tuple[int | None, int | None]:
    """(time of the first text or reasoning, time of the first piece of a tool call), ns since 1970, None where none.

    Args:
        marks: (time, length) of the pieces of `body` in order.
    """
    if dialect is None or "text/event-stream" not in headers.get("content-type", ""):
        return None, None
    encoding = headers.get("content-encoding", "identity").strip().lower()
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
    if unpack is None and encoding != "identity":
        return None, None
    decoder = SseDecoder()
    content: int | None = None
    tool: int | None = None
    place = seen = 0
    for time, length in marks:
        piece = body[place : place + length]
        place += length
        if unpack is not None:
            try:
                piece = unpack.decompress(piece, 2**22)
            except zlib.error:
                return content, tool
        for event in decoder.feed(piece):
            seen += 1
            moment = dialect.moment(event)
            if moment == "content" and content is None:
                content = time
            elif moment == "tool" and tool is None:
                tool = time
        if seen > MOST_EVENTS or (content is not None and (tool is not None or not _may_call(body, place, unpack))):
            break
    return content, tool


def _may_call(body: bytes, place: int, unpack: object) -> bool:
    """Whether the rest may hold a tool call; plain bytes without the word do not, and need not be read."""
    return unpack is not None or body.find(b"tool", place) >= 0 or body.find(b"function_call", place) >= 0
