"""What was said: messages, their parts, and spans into the text of a part.

Identity is not a property of a value: a message's id covers its parent's id, so that the same words said twice in
one conversation are two messages, and two calls that share a prefix share the ids of that prefix.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.records.canonical import content_id

Role = Literal["system", "developer", "user", "assistant", "tool", "event", "other"]
"""`event` marks what an agent's recorder said (a selector's inputs and choice), not a chat message."""


@dataclass(frozen=True, kw_only=True)
class Text:
    text: str
    extra: Mapping[str, object] | None = None
    """Fields beside those we have words for (citations, annotations, cache marks), as they came. No part of identity:
    clients move or drop them when they send a message again."""
    type: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class Reasoning:
    """Thinking the provider marked as such; `text` is empty when it was redacted or encrypted."""

    text: str
    signature: str | None = None
    """The provider's opaque continuity token: Anthropic's signature or redacted data, OpenAI's encrypted content."""
    redacted: bool = False
    summary: bool = False
    """The text is the provider's summary of the thinking, not the thinking. No part of identity."""
    extra: Mapping[str, object] | None = None
    type: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    call_id: str | None
    name: str
    arguments: str
    """The arguments as received: JSON text, byte for byte."""
    extra: Mapping[str, object] | None = None
    """Also says where the tool runs when that is not the client: `{"server": "web_search"}`, `{"server": "mcp"}`.

    `{"form": "object"}`: the dialect carries arguments as an object and streamed this text of it, which a client that
    sends the call back cannot know; identity then covers the object's compact form (object_text)."""
    type: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    call_id: str | None
    name: str | None
    text: str
    is_error: bool | None = None
    """None when the dialect does not say."""
    extra: Mapping[str, object] | None = None
    type: Literal["tool_result"] = "tool_result"


@dataclass(frozen=True, kw_only=True)
class Other:
    """A part this version has no word for, kept as it came."""

    kind: str
    data: object
    type: Literal["other"] = "other"


Part = Text | Reasoning | ToolCall | ToolResult | Other


def part_text(part: Part) -> str:
    """The recorded text that spans point into: arguments for a tool call, empty for unknown parts."""
    if isinstance(part, ToolCall):
        return part.arguments
    if isinstance(part, Other):
        return ""
    return part.text


@dataclass(frozen=True, kw_only=True)
class Message:
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of a recorded part. `start` and `end` are UTF-8 byte offsets, half-open, in part_text(part).

    `pointer` is an RFC 6901 JSON pointer when the piece is a JSON field of that text (offsets still given), else None.
    """

    message: str
    part: int
    start: int
    end: int
    pointer: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlacedMessage:
    """A message at its place in a conversation; `parent` is None for the first."""

    id: str
    parent: str | None
    message: Message


_NOT_IDENTITY = {"extra", "summary"}
OBJECT_FORM = "object"
"""Value of `form` in a tool call's `extra`: its arguments are an object, their text is not theirs alone."""
COUNT_ONLY = "count_tokens"
"""Value of `Call.about` when a call only asks how long a context is."""


def object_text(value: object) -> str:
    """A JSON value as compact text, keys in their order; escapes only what UTF-8 cannot hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def _object_form(arguments: str) -> str:
    """Compact form of arguments; themselves when they are no JSON."""
    try:
        return object_text(json.loads(arguments))
    except (ValueError, RecursionError):
        return arguments


def message_json(message: Message) -> dict[str, object]:
    """The normal form that is hashed: empty texts and unset fields dropped, so that an echo keeps its id."""
    parts: list[object] = []
    for part in message.parts:
        body = {key: value for key, value in vars(part).items() if value is not None and key not in _NOT_IDENTITY}
        if isinstance(part, Text) and not part.text:
            continue
        if isinstance(part, Reasoning) and not (part.text or part.signature or part.redacted):
            continue
        if isinstance(part, ToolCall) and part.extra and part.extra.get("form") == OBJECT_FORM:
            body["arguments"] = _object_form(part.arguments)
        parts.append(body)
    form: dict[str, object] = {"role": message.role, "parts": parts}
    if message.name is not None:
        form["name"] = message.name
    return form


def message_id(message: Message, parent: str | None) -> str:
    """SHA-256 of {parent, message in normal form}."""
    return content_id({"parent": parent, "message": message_json(message)})


def place(messages: "tuple[Message, ...] | list[Message]", parent: str | None = None) -> tuple[PlacedMessage, ...]:
    """Give each message of a conversation its id, in order, starting after `parent`."""
    placed = []
    for message in messages:
        own = message_id(message, parent)
        placed.append(PlacedMessage(id=own, parent=parent, message=message))
        parent = own
    return tuple(placed)


def span_text(message: Message, span: Span) -> str:
    """The text a span covers; raises UnicodeDecodeError when it cuts a character."""
    return part_text(message.parts[span.part]).encode()[span.start : span.end].decode()


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one call in one arithmetic, whatever the dialect; None where the provider did not say.

    `input` counts everything that was read, from cache or not; `cache_read` and `cache_write` are parts of it.
    `output` includes `reasoning`. (Anthropic's own `input_tokens` excludes the cache; it is added here.)
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a call cost by a price table; `usd` is a decimal text, exact. `prices` names the table's version."""

    usd: str
    prices: str
    model: str
    """The table's entry that matched."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One model call as a dialect parsed it from recorded bytes (or an importer from a trace file)."""

    record: str
    """Id of the exchange or transcript record it came from."""
    model: str
    messages: tuple[Message, ...]
    outputs: tuple[Message, ...]
    """One assistant message per choice; empty when the call failed before any output."""
    tools: tuple[Mapping[str, object], ...] = ()
    """Tool schemas as sent (OpenAI form: {"type":"function","function":{…}})."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Sampling settings as sent: temperature, max_tokens, seed…; absent keys were not sent."""
    finish: tuple[str, ...] = ()
    usage: Mapping[str, object] = field(default_factory=dict)
    """Usage as the provider sent it."""
    tokens: Usage | None = None
    cost: Cost | None = None
    """None when the price table has no entry or the provider gave no usage."""
    response_id: str | None = None
    """The provider's id of the answer."""
    previous: str | None = None
    """`previous_response_id`: id of the answer whose whole context comes before `messages`."""
    conversation: str | None = None
    """Id of the server-side conversation whose items come before `messages`."""
    about: str | None = None
    """Id of an earlier answer that this call only fetches, continues to stream, or cancels: its outputs replace that
    answer's, it is no model call of its own. COUNT_ONLY when the call only asks how many tokens a context has: it
    has no answer and is no step of a run."""
    unknown: int = 0
    """Parts and fields this version has no word for; all are kept, in `Other` parts or `extra`."""
    logprobs: tuple[float, ...] | None = None
    """Log-probabilities of the output tokens of choice 0 where the upstream gave them, else None."""
    unparsed: str | None = None
    """Why the bytes could not be understood, or None."""
