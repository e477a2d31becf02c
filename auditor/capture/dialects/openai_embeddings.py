"""OpenAI embeddings (`POST /v1/embeddings`): recorded bytes -> one Call without outputs. Never raises for bytes.

Each input becomes a user message. Vectors are never put into the call: `usage["vectors"]` says how many there are,
their dimension, encoding and number type, and the SHA-256 of their values as little-endian 32-bit floats in the order
of their index, so that the same vectors are recognised whether they came as numbers or as base64. The bytes themselves
stay in the ledger. (The openai client asks for base64 when its caller says nothing, and decodes it itself.)
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

from auditor.capture.dialects.bodies import json_object, plain_body
from auditor.capture.dialects.openai_stream import error_text
from auditor.capture.exact import exact
from auditor.capture.stream import SseEvent
from auditor.records.exchange import Exchange
from auditor.records.messages import Call, Message, Other, Part, Text

_NOT_SETTINGS = {"input", "model"}


def moment(event: SseEvent) -> None:
    """Embeddings are no stream."""
    del event


def parse(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """The call in these bytes; `unparsed` names what was not understood (request first)."""
    sent, request_fault = _object(request, exchange.request_headers, "request")
    answered, response_fault = _object(response, exchange.response_headers, "response")
    named = sent.get("model") or answered.get("model")
    error = error_text(answered["error"]) if answered.get("error") else None
    usage = answered.get("usage")
    facts = dict(usage) if isinstance(usage, dict) else {}
    data = answered.get("data")
    if isinstance(data, list):
        facts["vectors"] = _vectors(data)
    return Call(
        record=record, model=exact(named) if isinstance(named, str) else exchange.model or "unknown",
        messages=tuple(Message(role="user", parts=(part,)) for part in _inputs(exact(sent.get("input")))), outputs=(),
        settings=exact({key: value for key, value in sent.items() if key not in _NOT_SETTINGS}),
        usage=exact(facts), unparsed=request_fault or response_fault or error,
    )  # fmt: skip


def _object(body: bytes, headers: Mapping[str, str], what: str) -> tuple[dict[str, Any], str | None]:
    plain, fault = plain_body(body, headers, what)
    return ({}, fault) if fault is not None else json_object(plain, what)


def _inputs(sent: Any) -> tuple[Part, ...]:
    """One part per input: a text, or token ids (a list of numbers is one input) as they came."""
    if sent is None:
        return ()
    if isinstance(sent, str):
        return (Text(text=sent),)
    if isinstance(sent, list) and sent and not all(isinstance(one, int) for one in sent):
        return tuple(Text(text=one) if isinstance(one, str) else Other(kind="tokens", data=one) for one in sent)
    return (Other(kind="tokens", data=sent),)


def _vectors(data: list[Any]) -> dict[str, Any]:
    """What can be said of the vectors; `dimension` and `sha256` are None where they differ or cannot be read."""
    rows = sorted(
        (row for row in data if isinstance(row, dict)),
        key=lambda row: row["index"] if isinstance(row.get("index"), int) else 0,
    )
    digest: Any = hashlib.sha256()
    lengths: set[int | None] = set()
    encodings: set[str] = set()
    for row in rows:
        encoding, packed = _packed(row.get("embedding"))
        encodings.add(encoding)
        lengths.add(None if packed is None else len(packed) // 4)
        if packed is None:
            digest = None
        elif digest is not None:
            digest.update(packed)
    same = next(iter(lengths)) if len(lengths) == 1 else None
    return {
        "count": len(rows), "dimension": same, "encoding": encodings.pop() if len(encodings) == 1 else "unknown",
        "dtype": "float32" if same is not None else "unknown",
        "sha256": digest.hexdigest() if digest is not None and rows else None,
    }  # fmt: skip


def _packed(value: Any) -> tuple[str, bytes | None]:
    """(encoding, the values as little-endian float32, None where they are none)."""
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return "base64", None
        return "base64", raw if len(raw) % 4 == 0 else None
    if isinstance(value, list):
        try:
            return "float", struct.pack(f"<{len(value)}f", *value)
        except (struct.error, OverflowError, TypeError):
            return "float", None
    return "unknown", None
