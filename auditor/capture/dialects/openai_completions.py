"""OpenAI's older text completions (`POST /v1/completions`): recorded bytes -> one Call. Never raises for bytes.

Each prompt becomes a user message of its own (a list of prompts is a batch, not a conversation; its answers come in
the prompts' order, `n` to each). Prompts given as token ids are kept as they came, in an Other part. With `echo` the
prompt stands before the answer; it is taken off, its length kept in `extra`, and its log-probabilities left out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from auditor.capture.dialects.bodies import is_event_stream, json_object, plain_body, string
from auditor.capture.dialects.openai_stream import error_text
from auditor.capture.exact import NotJson, exact, parse_json
from auditor.capture.stream import SseEvent, events
from auditor.records.exchange import Exchange
from auditor.records.messages import Call, Message, Other, Part, Text

_NOT_SETTINGS = {"prompt", "model"}
_ROW = {"index", "text", "finish_reason", "logprobs"}
_SAYS = re.compile(r'"text"\s*:\s*"[^"]')


def moment(event: SseEvent) -> Literal["content", "tool"] | None:
    """What a chunk brings: text, or nothing."""
    return "content" if _SAYS.search(event.data) else None


@dataclass
class _Choice:
    texts: list[str] = field(default_factory=list)
    finish: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    logprobs: list[Any] = field(default_factory=list)
    offsets: list[Any] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        if isinstance(row.get("text"), str):
            self.texts.append(row["text"])
        self.finish = string(row.get("finish_reason")) or self.finish
        self.extra |= {key: value for key, value in row.items() if key not in _ROW and value not in (None, [], {})}
        rows = row.get("logprobs")
        if isinstance(rows, dict) and isinstance(rows.get("token_logprobs"), list):
            self.logprobs += rows["token_logprobs"]
            offsets = rows.get("text_offset")
            self.offsets += offsets if isinstance(offsets, list) else [None] * len(rows["token_logprobs"])


@dataclass
class _Answered:
    choices: dict[int, _Choice] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """The latest `id`, `model` and `usage` that say something."""
    error: str | None = None

    def add(self, chunk: Mapping[str, Any]) -> None:
        self.facts |= {key: chunk[key] for key in ("id", "model", "usage") if chunk.get(key)}
        if chunk.get("error"):
            self.error = self.error or error_text(chunk["error"])
        rows = chunk.get("choices")
        for position, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict):
                given = row.get("index")
                index = given if isinstance(given, int) and not isinstance(given, bool) else position
                self.choices.setdefault(index, _Choice()).add(row)


def parse(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """The call in these bytes; `unparsed` names what was not understood (request first)."""
    plain, fault = plain_body(request, exchange.request_headers, "request")
    sent: dict[str, Any] = {}
    if fault is None:
        sent, fault = json_object(plain, "request")
    answered, response_fault = _response(response, exchange.response_headers)
    prompts = _prompts(exact(sent.get("prompt")))
    rows = [answered.choices[index] for index in sorted(answered.choices)]
    given = sent.get("n")
    each = given if isinstance(given, int) and given > 0 else 1
    echoes = sent.get("echo") is True
    outputs, unknown = [], 0
    for number, row in enumerate(rows):
        prompt = _prompt_text(prompts, number // each) if echoes else ""
        unknown += len(row.extra)
        outputs.append(Message(role="assistant", parts=_text(row, prompt)))
    named = sent.get("model") or answered.facts.get("model")
    usage = answered.facts.get("usage")
    return Call(
        record=record, model=exact(named) if isinstance(named, str) else exchange.model or "unknown",
        messages=tuple(Message(role="user", parts=(part,)) for part in prompts), outputs=tuple(outputs),
        settings=exact({key: value for key, value in sent.items() if key not in _NOT_SETTINGS}),
        finish=tuple(row.finish or "unknown" for row in rows), usage=exact(usage) if isinstance(usage, dict) else {},
        response_id=string(exact(answered.facts.get("id"))), unknown=unknown,
        logprobs=_logprobs(rows[0], len(_prompt_text(prompts, 0)) if echoes else 0) if rows else None,
        unparsed=fault or response_fault or answered.error,
    )  # fmt: skip


def _response(body: bytes, headers: Mapping[str, str]) -> tuple[_Answered, str | None]:
    answered = _Answered()
    plain, fault = plain_body(body, headers, "response")
    if fault is not None:
        return answered, fault
    if not (plain.strip() and is_event_stream(plain, headers)):
        whole, fault = json_object(plain, "response")
        answered.add(whole)
        return answered, fault
    for chunk in _chunks(plain, answered):
        answered.add(chunk)
    return answered, None


def _chunks(plain: bytes, answered: _Answered) -> Iterable[Mapping[str, Any]]:
    for event in events(plain):
        data = event.data.strip()
        if not data or data.startswith("[DONE]"):
            continue
        try:
            chunk = parse_json(data)
        except NotJson as fault:
            answered.error = answered.error or f"an event of the stream is no JSON: {fault}"
            continue
        if isinstance(chunk, dict):
            yield chunk


def _prompts(sent: Any) -> tuple[Part, ...]:
    """One part per prompt: a text, or token ids as they came."""
    if sent is None:
        return ()
    if isinstance(sent, str):
        return (Text(text=sent),)
    if isinstance(sent, list) and sent and not all(isinstance(one, int) for one in sent):
        return tuple(Text(text=one) if isinstance(one, str) else Other(kind="tokens", data=one) for one in sent)
    return (Other(kind="tokens", data=sent),)


def _prompt_text(prompts: tuple[Part, ...], number: int) -> str:
    prompt = prompts[number] if number < len(prompts) else None
    return prompt.text if isinstance(prompt, Text) else ""


def _text(row: _Choice, prompt: str) -> tuple[Part, ...]:
    text, extra = exact("".join(row.texts)), exact(row.extra)
    if prompt and text.startswith(prompt):
        text, extra = text[len(prompt) :], {**extra, "echo": len(prompt)}
    return (Text(text=text, extra=extra or None),) if text else ()


def _logprobs(row: _Choice, before: int) -> tuple[float, ...] | None:
    """Log-probabilities of the answer's tokens, where each has one; `before` = characters of an echoed prompt."""
    pairs = list(zip(exact(row.logprobs), exact(row.offsets), strict=False))
    if before:
        if not all(isinstance(offset, int) for _, offset in pairs):
            return None
        pairs = [pair for pair in pairs if pair[1] >= before]
    values = [value for value, _ in pairs]
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    return tuple(float(value) for value in values)
