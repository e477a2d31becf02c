"""Bodies of the records that capture writes: proxied exchanges, imported transcripts, gaps; and payload references."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MASKED = re.compile(r"\[redacted:[a-z][a-z0-9_-]{0,31}:[0-9a-f]{8}\]")
"""What stands in a recorded text where something was masked before it was stored."""

Outcome = Literal["complete", "client_cancelled", "upstream_failed", "refused", "crashed"]


@dataclass(frozen=True, kw_only=True)
class Payload:
    """Reference to stored bytes.

    `address` = SHA-256(salt || bytes) with an erasable salt. When the bytes were stored as a skeleton plus messages,
    `address` names the skeleton, `context` the last link of the prefix chain of its messages and `messages` their
    number; otherwise both are None.
    """

    address: str
    size: int
    context: str | None = None
    messages: int | None = None


@dataclass(frozen=True, kw_only=True)
class Times:
    """Wall-clock times (RFC 3339, nine digits); None when the moment never came."""

    started: str
    upstream_headers: str | None
    first_byte: str | None
    last_byte: str | None
    first_content: str | None = None
    """First text or reasoning of a stream."""
    first_tool: str | None = None
    """First piece of a tool call of a stream."""


@dataclass(frozen=True, kw_only=True)
class Joins:
    """What ties an exchange to a run; stored as received, decided on by structure alone."""

    run: str | None = None
    step: str | None = None
    tags: str | None = None
    purpose: str | None = None
    traceparent: str | None = None
    credential: str | None = None
    """Keyed fingerprint of the credential that was sent; never the credential."""
    body: str | None = None
    """Keyed fingerprint of the request's bytes: equal ones were retries when `retry` rises."""
    retry: int | None = None
    """The client's own retry count (`x-stainless-retry-count`)."""
    session: str | None = None
    """Session id the client sent (`x-claude-code-session-id`, `session-id`…)."""
    key: str | None = None
    """Id of the project key that was used; never the key."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One HTTP call through the proxy."""

    dialect: str | None
    """Name in the table of dialects (`openai_chat`, …), or None for pass-through routes."""
    method: str
    """HTTP method, or `WEBSOCKET`: then request and response are JSON text sequences (RFC 7464), a frame each."""
    path: str
    """Path and query as received, without the project prefix."""
    upstream: str
    """Name of the upstream in the allow-list."""
    status: int | None
    outcome: Outcome
    request: Payload | None
    response: Payload | None
    request_headers: Mapping[str, str]
    response_headers: Mapping[str, str]
    times: Times
    joins: Joins
    model: str | None
    """Model name as asked for, where the dialect shows one."""
    model_digest: str
    """Weights digest declared in the models file at capture time, or `unknown`."""
    relayed: int
    """Response bytes the client was sent."""
    unparsed: str | None = None
    redacted: tuple["Redaction", ...] = ()
    """What was masked before it was stored. A redacted call cannot be replayed."""


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """Something masked before disk: `count` occurrences of one value under one rule."""

    rule: str
    where: Literal["request", "response", "header", "path"]
    hash: str
    """Salted hash of the value: equal values are seen to be equal, nothing else is told."""
    count: int


@dataclass(frozen=True, kw_only=True)
class MessageUsage:
    """What a trace file says the call that gave one message of a transcript used."""

    message: int
    """Place of the message in the transcript, from 0."""
    dialect: str
    """Wire dialect in which the usage is written."""
    model: str
    usage: Mapping[str, object]
    """As the provider sent it."""


CHOICES_FACT = "auditor.choices"
"""Fact of a transcript: `[[first, count], …]`, places of messages that are choices of one call, answers to the messages
before them. What comes behind such a range goes on from its first choice."""


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A run imported from a trace file that somebody else recorded: messages in order, no wire bytes."""

    format: str
    run: str
    model: str
    messages: Payload
    """JSON array of messages in records.messages' wire form."""
    tools: Payload | None
    origin: str
    """Where it came from and under which licence."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Whatever the file says beside messages, e.g. reward and expected actions."""
    usages: tuple[MessageUsage, ...] = ()
    """Of the messages whose usage the file gives."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something known to be missing, and why. Recording trouble becomes a record, never silence."""

    what: str
    why: str
    run: str | None = None
    record: str | None = None
