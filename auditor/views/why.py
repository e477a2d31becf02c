"""A backward slice in words: what a step may come from, each relation a sentence that says how it is known. Pure."""

from collections.abc import Mapping
from typing import get_args

from auditor.records.structure import StepKind
from auditor.views import forms
from graph.lineage import FIRMNESS, explanation, graded_slice
from graph.model import Node, Relation, Subgraph
from graph.model import short as shorten

NEGLIGIBLE = 0.10
"""Nats below which a change counts as none: the equivalence margin of protocol EP-1."""

_CANDIDATES = 5
_MERE_CONTEXT = frozenset({"echoed_output", "in_request"})
_STEP_KINDS = frozenset(get_args(StepKind))
_VERBS: Mapping[str, str] = {
    "used": "used",
    "wasGeneratedBy": "was produced by",
    "wasDerivedFrom": "came from",
    "wasInformedBy": "followed",
    "wasAssociatedWith": "was done by",
    "wasAttributedTo": "is attributed to",
    "actedOnBehalfOf": "acted for",
    "hadMember": "contains",
    "wasStartedBy": "was started by",
    "wasEndedBy": "was ended by",
    "wasInvalidatedBy": "was made invalid by",
    "wasInfluencedBy": "was influenced by",
    "wasRevisionOf": "revises",
    "wasQuotedFrom": "quotes",
    "hadPrimarySource": "has its source in",
    "specializationOf": "is a form of",
    "alternateOf": "is another form of",
    "hasMemberActivity": "contains",
    "retryOf": "repeats",
}


def why_view(slice_: Subgraph, start: str, *, run: str | None, behind: int, most: int = 200) -> forms.WhyView:
    """`slice_` is what the store calls the ancestors of `start`; at most `most` sentences are written."""
    graded = graded_slice(slice_, start)
    support = graded_slice(_moving(slice_), start).support
    nodes = {node.id: node for node in slice_.nodes}
    sentences = [sentence(item, nodes) for item in graded.strongest]
    told = {item.relation for item in sentences}
    for grade in FIRMNESS:
        nearest = sorted(
            graded.by_grade[grade], key=lambda item: (graded.distance.get(item.source, 0), item.source, item.target)
        )
        sentences.extend(sentence(item, nodes) for item in nearest if item.id not in told)
    counts = {grade: len(graded.by_grade[grade]) for grade in FIRMNESS}
    return forms.WhyView(
        nodes=[node_view(node, graded.distance, support) for node in slice_.nodes],
        relations=[relation_view(item) for item in slice_.relations],
        truncated=slice_.truncated or len(sentences) > most,
        start=start,
        run=run,
        counts=counts,
        sentences=sentences[:most],
        chain=_chain(slice_, start, nodes, graded.distance),
        behind=behind,
        summary=_summary(counts, len(graded.support)),
    )


def sentence(item: Relation, nodes: Mapping[str, Node]) -> forms.Sentence:
    """One relation as a sentence; numbers come with unit and interval, or with the word that none was measured."""
    later, earlier = _name(nodes.get(item.source), item.source), _name(nodes.get(item.target), item.target)
    low, high = _number(item, "low"), _number(item, "high")
    unit = str(item.attrs.get("unit") or "nats")
    verb = _VERBS.get(item.type, item.type)
    if item.grade == "causal":
        moved = "hardly moved" if item.effect is not None and abs(item.effect) < NEGLIGIBLE else "moved"
        text = f"Changing {earlier} {moved} {later}: {_measured(item.effect, unit, low, high)}{_by(item)}."
    elif item.grade == "read":
        share = "" if item.effect is None else f" ({item.effect:.3g} {unit})"
        text = f"{later} read {earlier}{share}{_by(item)}: read, not relied on."
    elif item.grade == "stated":
        verdict = item.attrs.get("verdict")
        text = f"The agent says {later} depends on {earlier}" + (
            f"; verdict: {str(verdict).replace('_', ' ')}." if verdict else "."
        )
    elif item.grade == "inferred":
        text = _guess(item, later, verb, earlier)
    else:
        text = f"{later} {verb} {earlier}{_rule(item)}."
    return forms.Sentence(
        grade=item.grade,
        text=text,
        relation=item.id,
        source=item.source,
        target=item.target,
        effect=item.effect,
        unit=unit if item.effect is not None else None,
        low=low,
        high=high,
    )


def node_view(
    node: Node, distance: Mapping[str, int] | None = None, support: Mapping[str, forms.Grade] | None = None
) -> forms.NodeView:
    return forms.NodeView(
        id=node.id,
        kind=node.kind,
        type=node.type,
        run=node.run,
        label=node.label,
        at=node.at,
        attrs=dict(node.attrs),
        distance=(distance or {}).get(node.id),
        support=(support or {}).get(node.id),
    )


def relation_view(item: Relation) -> forms.RelationView:
    return forms.RelationView(
        id=item.id,
        source=item.source,
        target=item.target,
        type=item.type,
        grade=item.grade,
        label=item.label,
        attrs=dict(item.attrs),
    )


def _chain(
    slice_: Subgraph, start: str, nodes: Mapping[str, Node], distance: Mapping[str, int]
) -> list[forms.Sentence]:
    """The firmest chain back to the first step of the run that is connected.

    Relations that say only "it was in the request" are tried last: every call has read all that came before it. What
    attribution merely ranks is left out: it would lead straight to any early token.
    """
    steps = [name for name in distance if nodes[name].attrs.get("kind") in _STEP_KINDS]
    first = sorted(steps, key=lambda name: (_order(nodes[name]), -distance[name], name))[:_CANDIDATES]
    moving = _moving(slice_)
    tested = tuple(item for item in moving.relations if item.attrs.get("score") is None)
    moving = Subgraph(nodes=slice_.nodes, relations=tested, truncated=slice_.truncated)
    kept = tuple(
        item
        for item in moving.relations
        if item.attrs.get("rule") not in _MERE_CONTEXT and item.grade not in {"read", "stated"}
    )
    direct = Subgraph(nodes=slice_.nodes, relations=kept, truncated=slice_.truncated)
    for place, name in ((place, name) for place in (direct, moving) for name in first):
        chain = explanation(place, start, name)
        if chain:
            return [sentence(item, nodes) for item in chain]
    return []


def _moving(slice_: Subgraph) -> Subgraph:
    """Without the interventions that moved next to nothing: they are known causally, but they are no cause."""
    kept = [item for item in slice_.relations if item.grade != "causal" or abs(item.effect or 0.0) >= NEGLIGIBLE]
    return Subgraph(nodes=slice_.nodes, relations=tuple(kept), truncated=slice_.truncated)


def _order(node: Node) -> float:
    value = node.attrs.get("order")
    return float(value) if isinstance(value, int | float) else float("inf")


def _summary(counts: Mapping[forms.Grade, int], reached: int) -> str:
    if not reached:
        return "Nothing earlier is connected to this step."
    words = {
        "causal": "causal (tested)",
        "recorded": "recorded",
        "inferred": "inferred (guesses)",
        "read": "read (attention)",
        "stated": "stated (claims)",
    }
    found = [grade for grade in FIRMNESS if counts[grade]]
    total = sum(counts[grade] for grade in found)
    things = f"{reached} earlier thing{'s' if reached != 1 else ''}"
    relations = f"{total} relation{'s' if total != 1 else ''}"
    if len(found) == 1:
        return f"{things}, connected by {relations}, {'all ' if total > 1 else ''}{words[found[0]]}."
    return f"{things}, connected by {relations}: {', '.join(f'{counts[grade]} {words[grade]}' for grade in found)}."


def _name(node: Node | None, fallback: str) -> str:
    if node is None or not (node.label or node.type):
        return shorten(fallback, 16)
    kind = str(node.attrs.get("kind") or node.attrs.get("step_kind") or node.type).replace("_", " ")
    # A model that is a folder is named by its last part.
    label = node.label.rstrip("/").rpartition("/")[2] if node.label.startswith("/") else node.label
    return f"{kind} “{shorten(label, 60)}”" if label else kind


def _guess(item: Relation, later: str, verb: str, earlier: str) -> str:
    """An inferred relation: a ranking by a method, a dependence nobody stated, or a guess by a rule."""
    score, verdict = _number(item, "score"), item.attrs.get("verdict")
    if item.attrs.get("method"):
        size = "" if score is None else f" with {score:.3g} {item.attrs.get('unit') or ''}".rstrip()
        return f"{earlier} is a candidate for {later}{size}{_by(item)}: ranked, not tested."
    if item.attrs.get("claim"):
        told = f"verdict: {str(verdict).replace('_', ' ')}" if verdict else "not tested"
        return f"{later} could depend on {earlier}; nobody said so; {told}."
    return f"{later} probably {verb} {earlier}{_rule(item)}: a guess."


def _measured(effect: float | None, unit: str, low: float | None, high: float | None) -> str:
    if effect is None:
        return "not measured"
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{effect:.2f}{interval} {unit}"


def _by(item: Relation) -> str:
    parts = [str(item.attrs[name]).replace("_", " ") for name in ("method", "family") if item.attrs.get(name)]
    return f" ({', '.join(parts)})" if parts else ""


def _rule(item: Relation) -> str:
    rule = item.attrs.get("rule")
    return f" ({str(rule).replace('_', ' ')})" if rule else ""


def _number(item: Relation, name: str) -> float | None:
    value = item.attrs.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
