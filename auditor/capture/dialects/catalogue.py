"""The table of wire dialects: one file per dialect, listed here once."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

from auditor.capture.dialects import (
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from auditor.capture.stream import SseEvent
from auditor.records.exchange import Exchange
from auditor.records.messages import Call

Moment = Literal["content", "tool"]


class Parse(Protocol):
    """(id of the exchange record, the record's body, its bytes as stored) -> Call; never raises for bytes.

    Bodies are as on the wire, encodings included. An exchange with method WEBSOCKET holds JSON text sequences
    (RFC 7464: each frame is RS, text, LF) in both directions.
    """

    def __call__(self, record: str, exchange: Exchange, request: bytes, response: bytes) -> Call: ...


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One wire dialect. It sees the routes it lists and no others."""

    name: str
    upstream: str
    """Name of the upstream that speaks it."""
    routes: tuple[str, ...]
    """`METHOD /path/{placeholder}` of the calls it understands."""
    array: bytes | None
    """Name of the request's top-level array that grows with a conversation: storage is cut at its elements."""
    parse: Parse
    error: Callable[[str, str], dict[str, Any]]
    """(message, code) -> JSON of an error in this dialect's envelope."""
    moment: Callable[[SseEvent], Moment | None]
    """What a stream event brings: text or reasoning (`content`), a piece of a tool call (`tool`), or neither."""


DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        name="openai_chat", upstream="openai", routes=("POST /v1/chat/completions",), array=b"messages",
        parse=openai_chat.parse, error=openai_chat.error, moment=openai_chat.moment,
    ),
    Dialect(
        name="anthropic_messages", upstream="anthropic",
        routes=("POST /v1/messages", "POST /v1/messages/count_tokens"), array=b"messages",
        parse=anthropic_messages.parse, error=anthropic_messages.error, moment=anthropic_messages.moment,
    ),
    Dialect(
        name="openai_responses", upstream="openai",
        routes=(
            "POST /v1/responses", "WEBSOCKET /v1/responses", "POST /v1/responses/compact",
            "POST /v1/responses/input_tokens", "GET /v1/responses/{id}", "DELETE /v1/responses/{id}",
            "POST /v1/responses/{id}/cancel", "GET /v1/responses/{id}/input_items",
        ),
        array=b"input", parse=openai_responses.parse, error=openai_chat.error, moment=openai_responses.moment,
    ),
    Dialect(
        name="openai_completions", upstream="openai", routes=("POST /v1/completions",), array=None,
        parse=openai_completions.parse, error=openai_chat.error, moment=openai_completions.moment,
    ),
    Dialect(
        name="openai_embeddings", upstream="openai", routes=("POST /v1/embeddings",), array=None,
        parse=openai_embeddings.parse, error=openai_chat.error, moment=openai_embeddings.moment,
    ),
)  # fmt: skip


@cache
def _table() -> tuple[dict[str, Dialect], list[tuple[re.Pattern[str], Dialect]]]:
    """Plain routes by text, those with placeholders as patterns. ValueError when two dialects claim one route."""
    plain: dict[str, Dialect] = {}
    patterns: list[tuple[re.Pattern[str], Dialect]] = []
    for dialect in DIALECTS:
        for route in dialect.routes:
            if "{" in route:
                patterns.append((re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(route))), dialect))
            elif plain.setdefault(route, dialect) is not dialect:
                raise ValueError(f"{route} is claimed by {plain[route].name} and {dialect.name}")
    return plain, patterns


def by_route(method: str, path: str) -> Dialect | None:
    """The dialect of a request, by method (or WEBSOCKET) and path (without query and project prefix)."""
    plain, patterns = _table()
    route = f"{method} {path}"
    found = plain.get(route)
    return found or next((dialect for pattern, dialect in patterns if pattern.fullmatch(route)), None)


def upstream_names() -> tuple[str, ...]:
    """Names of upstreams that routes lead to."""
    return tuple(dict.fromkeys(dialect.upstream for dialect in DIALECTS))


def by_name(name: str | None) -> Dialect | None:
    return next((dialect for dialect in DIALECTS if dialect.name == name), None)
