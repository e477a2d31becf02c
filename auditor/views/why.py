"""A backward slice in words: what a step may come from, each relation a sentence that says how it is known. Pure."""

from collections.abc import Mapping

from auditor.views.api import forms
from graph.lineage import FIRMNESS, explanation, graded_slice
from graph.model import Node, Relation, Subgraph
from graph.model import short as shorten

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
        nodes=[node_view(node, graded.distance, graded.support) for node in slice_.nodes],
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
        text = f"Changing {earlier} moved {later} {_measured(item.effect, unit, low, high)}{_by(item)}."
    elif item.grade == "read":
        share = "" if item.effect is None else f" ({item.effect:.3g} {unit})"
        text = f"{later} read {earlier}{share}{_by(item)}: read, not relied on."
    elif item.grade == "stated":
        verdict = item.attrs.get("verdict")
        text = f"The agent says {later} depends on {earlier}" + (
            f"; verdict: {str(verdict).replace('_', ' ')}." if verdict else "."
        )
    elif item.grade == "inferred":
        text = f"{later} probably {verb} {earlier}{_rule(item)}: a guess."
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
    """The firmest chain back to the farthest step there is, or to the farthest node where no step is known."""
    steps = [name for name in distance if nodes[name].type not in ("Run", "Model", "ModelBuild", "AIAgent")]
    if not steps:
        return []
    farthest = min(steps, key=lambda name: (-distance[name], nodes[name].at or "", name))
    return [sentence(item, nodes) for item in explanation(slice_, start, farthest)]


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
    parts = [f"{counts[grade]} {words[grade]}" for grade in FIRMNESS if counts[grade]]
    return f"{reached} earlier thing{'s' if reached != 1 else ''} connected by relations that are {', '.join(parts)}."


def _name(node: Node | None, fallback: str) -> str:
    if node is None or not (node.label or node.type):
        return shorten(fallback, 16)
    kind = str(node.attrs.get("kind") or node.attrs.get("step_kind") or node.type).replace("_", " ")
    return f"{kind} “{shorten(node.label, 60)}”" if node.label else kind


def _measured(effect: float | None, unit: str, low: float | None, high: float | None) -> str:
    if effect is None:
        return "by an amount that was not measured"
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"by {effect:.2f}{interval} {unit}"


def _by(item: Relation) -> str:
    method = item.attrs.get("method")
    return f" ({method})" if method else ""


def _rule(item: Relation) -> str:
    rule = item.attrs.get("rule")
    return f" ({str(rule).replace('_', ' ')})" if rule else ""


def _number(item: Relation, name: str) -> float | None:
    value = item.attrs.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
