"""What every JSON dialect does with recorded bodies first: undo encodings, tell streams from objects, read frames."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.exact import NotJson, parse_json
from auditor.records.messages import Message, Other

_RECORD_SEPARATOR = b"\x1e"


def plain_body(body: bytes, headers: Mapping[str, str], what: str) -> tuple[bytes, str | None]:
    """(the body without its encodings, why it cannot be read or None). `what` is `request` or `response`."""
    try:
        return decode(body, headers.get("content-encoding")), None
    except NotDecoded as fault:
        return b"", f"the {what} cannot be read: {fault}"


def json_object(body: bytes, what: str) -> tuple[dict[str, Any], str | None]:
    """(the JSON object in a plain body, why there is none or None)."""
    if not body.strip():
        return {}, f"there is no {what}"
    try:
        value = parse_json(body)
    except NotJson as fault:
        return {}, f"the {what} is no JSON: {fault}"
    if not isinstance(value, dict):
        return {}, f"the {what} is no JSON object"
    return value, None


def sent_messages(body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
    """(a request's JSON object, why it or its list of `messages` is missing or None)."""
    try:
        sent = parse_json(decode(body, headers.get("content-encoding")))
    except (NotJson, NotDecoded) as fault:
        return {}, f"the request is no JSON: {fault}"
    if not isinstance(sent, dict):
        return {}, "the request is no JSON object"
    if not isinstance(sent.get("messages"), list):
        return sent, "the request has no list of messages"
    return sent, None


def is_event_stream(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a plain body is server-sent events: by its content type, else by how it begins."""
    return "text/event-stream" in headers.get("content-type", "") or body.lstrip()[:5] in (b"data:", b"event")


def text_sequence(body: bytes) -> Iterable[str]:
    """Texts of a JSON text sequence (RFC 7464: each is RS, text, LF), as WebSocket frames are recorded."""
    for piece in body.split(_RECORD_SEPARATOR):
        if piece.strip():
            yield piece.decode("utf-8", "replace").removesuffix("\n")


def compact(value: Any) -> str:
    """JSON text of what came as an object where a text is recorded: sorted keys, unset (null) fields left out.

    Clients that read an item into their own classes and send it back write unset fields and another order.
    """
    return json.dumps(without_nulls(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def without_nulls(value: Any) -> Any:
    """The same JSON without null fields of objects. At most exact.MOST_DEPTH deep, as all that was parsed."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def string(value: Any) -> str | None:
    """A text that says something, else None."""
    return value if isinstance(value, str) and value else None


def count_unknown(messages: Iterable[Message], kinds: set[str], fields: set[str]) -> int:
    """Parts and fields of these messages that are in neither set."""
    count = 0
    for message in messages:
        for part in message.parts:
            if isinstance(part, Other):
                count += part.kind not in kinds
            else:
                count += len(set(part.extra or ()) - fields)
    return count
