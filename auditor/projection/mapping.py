"""One ledger record → PROV nodes and relations. Pure; it never cuts a run again and never sees a payload.

The graph holds structure, hashes, labels of at most 80 characters and estimates. Relations point from later to earlier.
A record that cannot be read becomes a Gap node, so that one bad record cannot stop the graph.
"""

from collections.abc import Mapping
from typing import Any

from auditor.errors import BadInput
from auditor.ledger.protocol import Stored
from auditor.projection.evidence_mapping import map_audit, map_evidence, map_verdict
from auditor.projection.names import project_key, record_node, run_key, run_node, span_node
from auditor.projection.run_mapping import LABEL, Mapped, map_structure
from auditor.records.evidence import Evidence
from auditor.records.exchange import Exchange, Gap, Transcript
from auditor.records.record import Record
from auditor.records.structure import Structure
from auditor.records.telemetry import RUN_ATTRIBUTE, TelemetrySpan
from auditor.records.verdict import Audit, Verdict
from auditor.records.wire import read
from graph import InvalidGraphValue, Node, Relation, short

NEED_STRUCTURE = frozenset({"evidence", "verdict"})
"""Kinds whose relations end at steps: `project` wants the run's latest structure before them."""


def project(stored: Stored, structure: Structure | None = None) -> tuple[list[Node], list[Relation]]:
    """Nodes and relations of one record.

    Args:
        stored: the record at its place.
        structure: for evidence and verdicts, the latest structure of their run before this record, or None.
    """
    try:
        mapped = _mapped(stored, structure)
    except (BadInput, InvalidGraphValue) as fault:
        mapped = _gap_node(stored.id, stored.record, f"{stored.record.kind} record", str(fault), None)
    return mapped.nodes, mapped.relations


def _mapped(stored: Stored, structure: Structure | None) -> Mapped:
    record, own = stored.record, stored.id
    body: dict[str, Any] = dict(record.body)
    match record.kind:
        case "structure":
            return map_structure(record.project, read(Structure, body))
        case "evidence":
            return map_evidence(record.project, own, read(Evidence, body), structure)
        case "verdict":
            return map_verdict(record.project, own, read(Verdict, body), structure)
        case "audit":
            audit = read(Audit, body)
            return map_audit(record.project, own, audit.run, audit.requested_by, audit.protocol)
        case "exchange":
            return _exchange(own, read(Exchange, body), record)
        case "transcript":
            return _transcript(own, read(Transcript, body), record)
        case "span" if "span_id" in body:
            return _span(read(TelemetrySpan, body), record)
        case "gap":
            gap = read(Gap, body)
            return _gap_node(own, record, gap.what, gap.why, gap.run)
        case _:
            return Mapped()


def _exchange(own: str, exchange: Exchange, record: Record) -> Mapped:
    """The recorded HTTP call; the model call made from it names it as its primary source."""
    joins = exchange.joins
    key = run_key(record.project, joins.run) if joins.run else None
    attrs = {
        "kind": "exchange", "status": exchange.status, "outcome": exchange.outcome, "dialect": exchange.dialect,
        "model": exchange.model and short(exchange.model, 200), "upstream": short(exchange.upstream, 200),
        "purpose": joins.purpose and short(joins.purpose, 200), "request": _address(exchange.request),
        "response": _address(exchange.response), "relayed": exchange.relayed, **_homeless(record, key),
    }  # fmt: skip
    label = short(f"{exchange.method} {exchange.path.partition('?')[0]} {exchange.status or exchange.outcome}", LABEL)
    node = Node(id=record_node("exchange", own), kind="Entity", type="DataObject", run=key, label=label,
                at=exchange.times.started, attrs=attrs)  # fmt: skip
    return Mapped(nodes=[node])


def _transcript(own: str, transcript: Transcript, record: Record) -> Mapped:
    key = run_key(record.project, transcript.run)
    node = Node(
        id=record_node("transcript", own), kind="Entity", type="DataObject", run=key,
        label=short(f"{transcript.format}: {transcript.origin}", LABEL),
        attrs={"kind": "transcript", "format": short(transcript.format, 200), "messages": transcript.messages.address},
    )  # fmt: skip
    relation = Relation(source=run_node(key), target=node.id, type="hadPrimarySource", grade="recorded", run=key)
    return Mapped(nodes=[node], relations=[relation])


def _span(span: TelemetrySpan, record: Record) -> Mapped:
    """A span is a Task; its parent started it."""
    run = _run_of(span.attributes) or _run_of(span.resource)
    key = run_key(record.project, run) if run else None
    own = span_node(record.project, span.trace_id, span.span_id)
    node = Node(id=own, kind="Activity", type="Task", run=key, label=short(span.name, LABEL), at=span.started,
                attrs={"kind": "span", "status": span.status, "ended": span.ended,
                       **_homeless(record, key)})  # fmt: skip
    out = Mapped(nodes=[node])
    if span.parent_span_id:
        parent = span_node(record.project, span.trace_id, span.parent_span_id)
        out.relations.append(Relation(source=own, target=parent, type="wasStartedBy", grade="recorded", run=key))
    if key is not None:
        out.relations.append(
            Relation(source=run_node(key), target=own, type="hasMemberActivity", grade="recorded", run=key)
        )
    return out


def _gap_node(own: str, record: Record, what: str, why: str, run: str | None) -> Mapped:
    key = run_key(record.project, run) if run else None
    node = Node(id=record_node("gap", own), kind="Entity", type="Gap", run=key, label=short(f"{what}: {why}", LABEL),
                at=None, attrs={"kind": "gap", "what": short(what, 200), "why": short(why, 300),
                                **_homeless(record, key)})  # fmt: skip
    if key is None:
        return Mapped(nodes=[node])
    member = Relation(source=run_node(key), target=node.id, type="hadMember", grade="recorded", run=key)
    return Mapped(nodes=[node], relations=[member])


def _homeless(record: Record, key: str | None) -> dict[str, str]:
    """Whose a node is that belongs to no run; a run's key says it itself."""
    return {} if key is not None else {"project": project_key(record.project)}


def _run_of(attributes: Mapping[str, object]) -> str | None:
    value = attributes.get(RUN_ATTRIBUTE)
    return value if isinstance(value, str) and value else None


def _address(payload: Any) -> str | None:
    return None if payload is None else str(payload.address)
