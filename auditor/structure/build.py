"""From a thread to the body of a `structure` record, and back to messages. Deterministic: same thread, same bytes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from auditor.records.canonical import canonical_bytes
from auditor.records.messages import Message, part_text
from auditor.records.structure import ModelCall, PlacedPayload, Structure
from auditor.records.wire import read, write
from auditor.structure.claims import find_claims
from auditor.structure.document_claims import document_claims
from auditor.structure.inputs import Thread
from auditor.structure.layout import Layout, short
from auditor.structure.links import Places, value_links
from auditor.structure.record_checks import check_record
from auditor.structure.retrieval import retrieve
from auditor.structure.samples import mark_samples
from auditor.structure.segment import lay_out
from auditor.structure.tree import mark

CODE = "structure@1"

Store = Callable[[bytes], str]
"""Keeps bytes and gives their ledger payload address."""


def build(thread: Thread, store: Store, version: int) -> Structure:
    """Cut one run into steps, find claims, links and findings.

    Args:
        thread: everything recorded of the run, from threads.group.
        store: called once per message (canonical JSON of its records.wire form) and once per set of tool schemas.
        version: 1 for the first structure of a run, one more each time it is made again.
    """
    layout = lay_out(thread)
    mark(layout, thread)
    mark_samples(layout, thread)
    places = Places(layout)
    documents, citations = retrieve(layout)
    claims = find_claims(layout, places)
    claims += document_claims(layout, places, documents, citations)
    links = value_links(layout, places)
    findings = check_record(
        layout, places, claims, documents=documents, citations=citations, branches=layout.branches,
        samples=layout.samples,
    )  # fmt: skip
    calls = _with_tools(layout.calls, thread, store)
    times = [call.times for call in thread.calls]
    return Structure(
        run=thread.run, version=version, code=CODE, agent=agent_kind(layout), model=_model(calls, thread),
        origin=_origin(thread), records=_records(thread),
        messages=tuple(
            PlacedPayload(
                id=one.id, parent=one.parent, role=one.message.role, payload=store(message_bytes(one.message))
            )  # fmt: skip
            for one in layout.placed.values()
        ),
        calls=tuple(calls), steps=tuple(layout.steps), claims=tuple(claims), links=tuple(links),
        findings=tuple(findings), selections=tuple(layout.selections), branches=tuple(layout.branches),
        samples=tuple(layout.samples), documents=tuple(documents), citations=tuple(citations), title=_title(layout),
        started=min((one.started for one in times), default=None),
        ended=max((one.last_byte for one in times if one.last_byte is not None), default=None),
        tags=next((call.joins.tags for call in thread.calls if call.joins.tags), None),
        gaps=tuple(dict.fromkeys(layout.gaps)), aliases=thread.aliases,
    )  # fmt: skip


def messages_of(structure: Structure, payload: Callable[[str], bytes]) -> dict[str, Message]:
    """Every message of a run by id, read back from the ledger's payloads."""
    return {one.id: message_from(payload(one.payload)) for one in structure.messages}


def message_bytes(message: Message) -> bytes:
    """How a message is stored: canonical JSON of its wire form."""
    return canonical_bytes(write(message))


def message_from(data: bytes) -> Message:
    """Inverse of message_bytes; BadInput names the first field that is wrong."""

    return read(Message, json.loads(data))


def agent_kind(layout: Layout) -> str:
    """`tree`, `react` or `chain` by shape; `unknown` where the run has no output."""
    kinds = {step.kind for step in layout.steps}
    if layout.selections or "branch" in kinds:
        return "tree"
    if "tool_call" in kinds or "tool_result" in kinds:
        return "react"
    if "thought" in kinds or "answer" in kinds:
        return "chain"
    return "unknown"


def _with_tools(calls: Sequence[ModelCall], thread: Thread, store: Store) -> list[ModelCall]:
    schemas: dict[str, Sequence[Mapping[str, object]]] = {one.id: one.call.tools for one in thread.calls}
    if thread.transcript is not None:
        schemas[thread.transcript.id] = thread.transcript.tools
    kept: dict[str, str] = {}
    for record, tools in schemas.items():
        if tools:
            kept[record] = store(canonical_bytes([dict(tool) for tool in tools]))
    return [replace(call, tools=kept.get(call.record)) for call in calls]


def _records(thread: Thread) -> tuple[str, ...]:
    seen = [one for one in thread.calls if one.origin == "proxy"]
    own = [(one.position, one.id) for one in (*seen, *thread.fetched)]
    own += [(one.position, one.id) for one in thread.spans]
    own += [log for one in thread.spans for log in one.logs]
    if thread.transcript is not None:
        own.append((thread.transcript.position, thread.transcript.id))
    return tuple(record for _, record in sorted(own))


def _origin(thread: Thread) -> Literal["proxy", "otlp", "import"]:
    """Where the calls come from; one that the proxy saw is the stronger fact."""
    if thread.transcript is not None:
        return "import"
    return "proxy" if any(one.origin == "proxy" for one in thread.calls) or not thread.spans else "otlp"


def _model(calls: Sequence[ModelCall], thread: Thread) -> str:
    if thread.transcript is not None:
        return thread.transcript.transcript.model
    return calls[0].model if calls else "unknown"


def _title(layout: Layout) -> str:
    """The first thing the user said, else the first thing anybody said."""
    for role in ("user", None):
        for one in layout.placed.values():
            text = " ".join(part_text(part) for part in one.message.parts)
            if text.strip() and role in (None, one.message.role):
                return short(text)
    return ""


__all__ = ["CODE", "agent_kind", "build", "message_bytes", "message_from", "messages_of"]
