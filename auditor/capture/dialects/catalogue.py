"""The table of wire dialects: one file per dialect, listed here once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from auditor.capture.dialects import openai_chat
from auditor.records.messages import Call


class Parse(Protocol):
    """(id of the exchange record, request bytes, response bytes, response headers) -> Call; never raises for bytes."""

    def __call__(
        self, record: str, request: bytes, response: bytes, response_headers: Mapping[str, str],
        request_headers: Mapping[str, str] = ...,
    ) -> Call: ...  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Dialect:
    name: str
    upstream: str
    """Name of the upstream that speaks it."""
    paths: tuple[str, ...]
    """Paths (POST) whose bodies it understands."""
    message_spans: Callable[[bytes], list[tuple[int, int]] | None]
    parse: Parse
    error: Callable[[str, str], dict[str, Any]]
    """(message, code) -> JSON of an error in this dialect's envelope."""


DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        name="openai_chat", upstream="openai", paths=("/v1/chat/completions",),
        message_spans=openai_chat.message_spans, parse=openai_chat.parse, error=openai_chat.error,
    ),
)  # fmt: skip


def by_route(method: str, path: str) -> Dialect | None:
    """The dialect of a request, by method and path (without query and project prefix)."""
    if method != "POST":
        return None
    return next((dialect for dialect in DIALECTS if path in dialect.paths), None)


def by_name(name: str | None) -> Dialect | None:
    return next((dialect for dialect in DIALECTS if dialect.name == name), None)
