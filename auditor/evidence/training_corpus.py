"""A model's training documents: JSON Lines -> token ids and which of them carried loss.

One line is `{"id", "text"}` (loss on every token) or `{"id", "messages", "tools"?, "unscored"?}` (rendered with the
model's chat template, loss on what the assistant wrote). `unscored` lists `[message, start, end]`, character offsets
in that message's content that carried no loss; end -1 means the whole message.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.errors import BadSetup

LONGEST = 1024
"""Tokens kept of one document; the rest is cut and said so in `cut`."""


@dataclass(frozen=True, kw_only=True)
class TrainingDocument:
    """One document as the model saw it. `ids` and `scored` have equal length; `scored[t]`: token t carried loss."""

    id: str
    label: str
    """At most 80 characters, untrusted."""
    text: str
    ids: tuple[int, ...]
    scored: tuple[bool, ...]
    cut: bool = False


def corpus_digest(path: Path) -> str:
    """`sha256:` + hex of the file's bytes."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return f"sha256:{total.hexdigest()}"


def read_corpus(
    path: Path, tokenizer: Any, *, template: str | None = None, limit: int | None = None
) -> list[TrainingDocument]:
    """The documents in file order, or `limit` evenly spaced ones. BadSetup names the line that cannot be used.

    `template` is the chat template; by default the tokenizer's own.
    """
    lines = [(number, line) for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip()]
    if limit is not None and len(lines) > limit:
        lines = [lines[index * len(lines) // limit] for index in range(limit)]
    documents = []
    for number, line in lines:
        try:
            row = json.loads(line)
            documents.append(document(row, tokenizer, template))
        except (ValueError, KeyError, TypeError) as fault:
            fix = 'write one {"id", "text"} or {"id", "messages"} per line'
            raise BadSetup(f"{path}:{number}", f"not a training document: {fault!r}", fix) from fault
    return documents


def document(row: Mapping[str, Any], tokenizer: Any, template: str | None = None) -> TrainingDocument:
    """One line of the file as tokens. ValueError when it has neither text nor messages."""
    identity = str(row["id"])
    if row.get("text"):
        text = str(row["text"])
        spans = [(0, len(text))]
        label = text
    elif row.get("messages"):
        settings = {"tools": row.get("tools") or None, "chat_template": template or tokenizer.chat_template}
        text, spans = _dialogue(row["messages"], row.get("unscored") or (), tokenizer, settings)
        label = _dialogue_label(row["messages"])
    else:
        raise ValueError(f"document {identity} has neither text nor messages")
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = coded["input_ids"], coded["offset_mapping"]
    scored = [any(low < end and high > start for start, end in spans) for low, high in offsets]
    return TrainingDocument(
        id=identity, label=" ".join(label.split())[:80], text=text, ids=tuple(ids[:LONGEST]),
        scored=tuple(scored[:LONGEST]), cut=len(ids) > LONGEST,
    )  # fmt: skip


def _dialogue_label(messages: Sequence[Mapping[str, Any]]) -> str:
    """What was asked and what was answered."""
    asked = next((str(m.get("content") or "") for m in messages if m["role"] == "user"), "")
    said = next((str(m["content"]) for m in reversed(messages) if m["role"] == "assistant" and m.get("content")), "")
    return f"{asked} → {said}" if said else asked


def _dialogue(
    messages: Sequence[Mapping[str, Any]], unscored: Sequence[Sequence[int]], tokenizer: Any, settings: dict[str, Any]
) -> tuple[str, list[tuple[int, int]]]:
    """The rendered dialogue and the character ranges that carried loss."""

    def render(upto: int, opened: bool) -> str:
        text = tokenizer.apply_chat_template(
            list(messages[:upto]), tokenize=False, add_generation_prompt=opened, **settings
        )
        return str(text)

    whole = render(len(messages), False)
    spans: list[tuple[int, int]] = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start, end = _written(whole, render(number, True), render(number + 1, False), message)
        spans.extend(_minus((start, end), _holes(whole, message, number, start, end, unscored)))
    return whole, spans


def _written(whole: str, opening: str, closed: str, message: Mapping[str, Any]) -> tuple[int, int]:
    """Characters the assistant wrote: between the opened turn and its end.

    Some templates rewrite earlier turns (they drop old thinking), so that a prefix is no prefix of the whole; then
    only the message's content is looked for.
    """
    if whole.startswith(opening) and whole.startswith(closed):
        return len(opening), len(closed.rstrip())
    content = message.get("content") or ""
    place = whole.find(content) if content else -1
    return (place, place + len(content)) if place >= 0 else (0, 0)


def _holes(
    whole: str, message: Mapping[str, Any], number: int, start: int, end: int, unscored: Sequence[Sequence[int]]
) -> Iterator[tuple[int, int]]:
    content = message.get("content") or ""
    base = whole.find(content, start) if content else start
    for where, low, high in unscored:
        if where == number:
            yield (start, end) if high == -1 else (base + low, base + high)


def _minus(span: tuple[int, int], holes: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """A half-open range without the holes."""
    pieces = [span]
    for low, high in holes:
        pieces = [
            piece
            for start, end in pieces
            for piece in ((start, min(end, low)), (max(start, high), end))
            if piece[0] < piece[1]
        ]
    return pieces
