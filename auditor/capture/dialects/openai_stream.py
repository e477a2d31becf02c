"""OpenAI chat chunks -> the same shape a response without streaming has.

Assembled per choice index, then per tool-call index: id and name come once, arguments in pieces, parallel calls
interleaved. `[DONE]` may be missing, a usage chunk may have no choices, an error may come in the middle.
"""

from dataclasses import dataclass, field
from typing import Any

from auditor.capture.exact import NotJson, parse_json
from auditor.capture.stream import events

_JOINED = {"content", "refusal", "reasoning_content", "reasoning", "arguments", "text", "thinking", "summary", "input"}
"""Text fields whose pieces are put together; other texts are replaced by the latest."""


@dataclass
class Assembled:
    """`choices` are in the form of a response's `choices`."""

    choices: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    id: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    """What the answer says beside these, e.g. a provider's filter results or moderation."""


KNOWN = {"id", "object", "created", "model", "choices", "usage", "error", "system_fingerprint", "service_tier",
         "obfuscation"}  # fmt: skip
"""Top-level fields of an answer or chunk that are not `rest`."""
CHOICE = {"index", "message", "delta", "finish_reason", "logprobs"}
"""Fields of a choice that are read; others are kept beside them."""


class _Pieces(list[str]):
    """Pieces of one text. They are joined at the end, once: adding them one by one would copy megabytes each time."""


def assemble(body: bytes) -> Assembled:
    """Put a stream together; what is no JSON ends up in `error`, and everything else still counts."""
    result = Assembled()
    choices: dict[int, dict[str, Any]] = {}
    for event in events(body):
        data = event.data.strip()
        if not data or data.startswith("[DONE]"):
            continue
        try:
            chunk = parse_json(data)
        except NotJson as fault:
            result.error = f"an event of the stream is no JSON: {fault}"
            continue
        if isinstance(chunk, dict):
            _chunk(chunk, choices, result)
    result.choices = [_whole(choices[index]) for index in sorted(choices)]
    return result


def _chunk(chunk: dict[str, Any], choices: dict[int, dict[str, Any]], result: Assembled) -> None:
    error = chunk.get("error")
    if error:
        result.error = error_text(error)
    if isinstance(chunk.get("model"), str):
        result.model = chunk["model"]
    if isinstance(chunk.get("id"), str) and chunk["id"]:
        result.id = chunk["id"]
    result.rest |= {key: value for key, value in chunk.items() if key not in KNOWN and value not in (None, [], {})}
    if isinstance(chunk.get("usage"), dict):
        result.usage = chunk["usage"]
    rows = chunk.get("choices")
    for position, row in enumerate(rows if isinstance(rows, list) else []):
        if not isinstance(row, dict):
            continue
        given = row.get("index")
        index = given if isinstance(given, int) else position
        choice = choices.setdefault(index, {"index": index, "message": {}, "finish_reason": None, "logprobs": None})
        delta = row.get("delta", row.get("message"))
        if isinstance(delta, dict):
            _merge(choice["message"], delta)
        choice["finish_reason"] = row.get("finish_reason") or choice["finish_reason"]
        _logprobs(choice, row.get("logprobs"))
        choice |= {key: _copy(value) for key, value in row.items() if key not in CHOICE and value not in (None, [], {})}


def _logprobs(choice: dict[str, Any], more: Any) -> None:
    if isinstance(more, dict) and isinstance(more.get("content"), list):
        known = choice["logprobs"] or {"content": []}
        known["content"].extend(more["content"])
        choice["logprobs"] = known


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add one delta to what is there."""
    for key, value in delta.items():
        present = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, str) and isinstance(present, _Pieces):
            present.append(value)
        elif isinstance(value, str) and isinstance(present, str) and key in _JOINED:
            into[key] = _Pieces((present, value))
        elif isinstance(value, str) and not value and present:
            continue  # an empty id or name in a later piece says nothing
        elif isinstance(value, dict) and isinstance(present, dict):
            _merge(present, value)
        elif isinstance(value, list):
            known = present if isinstance(present, list) and not isinstance(present, _Pieces) else []
            into[key] = _merge_list(known, value)
        else:
            into[key] = _copy(value)


def _merge_list(present: list[Any], more: list[Any]) -> list[Any]:
    """Entries with the same `index` are pieces of one; an entry without one continues the last unless it has an id."""
    for entry in more:
        if not isinstance(entry, dict):
            present.append(entry)
            continue
        known = _continued(present, entry)
        if known is None:
            present.append(_copy(entry))
        else:
            _merge(known, entry)
    return present


def _continued(present: list[Any], entry: dict[str, Any]) -> dict[str, Any] | None:
    rows = [row for row in present if isinstance(row, dict)]
    if "index" in entry:
        same = [row for row in rows if row.get("index") == entry["index"] and row.get("type") == entry.get("type")]
        close = [row for row in rows if row.get("index") == entry["index"] and not ("type" in row and "type" in entry)]
        found = same or close
        return found[-1] if found else None
    is_piece = "function" in entry or "thinking" in entry or "signature" in entry
    function = entry.get("function")
    named = isinstance(function, dict) and function.get("name")
    if is_piece and not entry.get("id") and rows and not named:
        return rows[-1]
    return None


def _whole(value: Any) -> Any:
    """The same with pieces joined."""
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def error_text(error: Any) -> str:
    """The message of an error body in whichever shape it came."""
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return f"the upstream answered with an error: {error['message']}"
    return f"the upstream answered with an error: {error}"
