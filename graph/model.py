"""Values of the provenance graph: nodes, graded relations, subgraphs.

The vocabulary is W3C PROV (PROV-DM, 2013): *entities* are things (messages, tool outputs, claims), *activities* are
what happened (model and tool calls, steps), *agents* bear responsibility (an AI agent, a model build, a user). Class
names follow PROV-AGENT (arXiv:2508.02866) where it has them.

Relations point from later to earlier, effect to cause. Each carries a *grade* that says how it is known:

========  ===================================================================
recorded  joined by an id or by containment of content: a fact
inferred  a guess from a shared prefix, similarity or time
stated    the agent says so: a claim
read      attention looked there; never proof of reliance
causal    an intervention moved the target; ``attrs["effect"]`` is in nats
========  ===================================================================
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from graph.errors import InvalidGraphValue

Scalar = str | int | float | bool | None
Kind = Literal["Entity", "Activity", "Agent"]
Grade = Literal["recorded", "inferred", "stated", "read", "causal"]

KINDS: tuple[Kind, ...] = get_args(Kind)
GRADES: tuple[Grade, ...] = get_args(Grade)

NODE_TYPES: Mapping[str, Kind] = MappingProxyType({
    # PROV-AGENT
    "AIModelInvocation": "Activity", "AgentTool": "Activity", "Task": "Activity", "Workflow": "Activity",
    "Prompt": "Entity", "ResponseData": "Entity", "DataObject": "Entity", "Model": "Entity", "AIAgent": "Agent",
    # ours
    "Run": "Activity", "Step": "Activity", "AuditTest": "Activity", "Message": "Entity", "Claim": "Entity",
    "Evidence": "Entity", "Verdict": "Entity", "Feature": "Entity", "TrainingDocument": "Entity", "Gap": "Entity",
    "ModelBuild": "Agent", "User": "Agent", "Worker": "Agent",
})
"""Known node types and the PROV kind each usually has. Further names are allowed; these are the ones views know."""

RELATION_TYPES: frozenset[str] = frozenset({
    # PROV-DM
    "used", "wasGeneratedBy", "wasDerivedFrom", "wasInformedBy", "wasAssociatedWith", "wasAttributedTo",
    "actedOnBehalfOf", "hadMember", "wasStartedBy", "wasEndedBy", "wasInvalidatedBy", "wasInfluencedBy",
    "wasRevisionOf", "wasQuotedFrom", "hadPrimarySource", "specializationOf", "alternateOf",
    # PROV-AGENT
    "hasMemberActivity",
    # ours
    "retryOf",
})
"""The closed list of relation types; ``retryOf`` is ours: this call repeats that one."""

PLACEHOLDER_TYPE = "Unknown"
"""Type of a node that a relation named before any record described it."""

ID_LIMIT = 1_000
LABEL_LIMIT = 1_000
VALUE_LIMIT = 20_000
"""Longest id, label and attribute text, in characters. Payload text belongs in the ledger's blobs, not here."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_INTEGER_LIMIT = 2**53


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing, happening or bearer of responsibility.

    Raises:
        InvalidGraphValue: an unknown kind, a malformed type or time, text too long or not Unicode, an attribute that
            is not a scalar, a float that is not finite, an integer beyond 2⁵³.
    """

    id: str
    kind: Kind
    type: str
    """A name of `NODE_TYPES`, or another in the same spelling (letters and digits)."""
    run: str | None = None
    """Run it belongs to; None for what several runs share (a model build, a training document)."""
    label: str = ""
    """A few words for people."""
    at: str | None = None
    """When, RFC 3339 text; None where nobody recorded it."""
    attrs: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _text(self.id, self, what="id", limit=ID_LIMIT, empty=False)
        if self.kind not in KINDS:
            raise InvalidGraphValue(f"{_where(self)}: kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if not isinstance(self.type, str) or not _NAME.fullmatch(self.type):
            raise InvalidGraphValue(f"{_where(self)}: type must be a name of letters and digits, not {self.type!r:.80}")
        if self.at is not None and not (isinstance(self.at, str) and _TIME.fullmatch(self.at)):
            raise InvalidGraphValue(
                f"{_where(self)}: at must be RFC 3339 text such as 2026-01-31T12:00:00Z or None, not {self.at!r:.80}")
        _check_common(self)

    @property
    def is_placeholder(self) -> bool:
        """True for a node that relations name but no record has described yet."""
        return self.type == PLACEHOLDER_TYPE

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form, as used in the digest."""
        return {"id": self.id, "kind": self.kind, "type": self.type, "run": self.run, "label": self.label,
                "at": self.at, "attrs": dict(self.attrs)}


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One directed, graded relation from a later node to an earlier one.

    Two relations are the same when `source`, `type`, `target`, `grade` and `key` are; a later record then replaces
    the rest.

    Raises:
        InvalidGraphValue: as for `Node`; also a type outside `RELATION_TYPES`, an unknown grade, or an ``effect``
            attribute that is neither a number nor None.
    """

    source: str
    target: str
    type: str
    grade: Grade
    run: str | None = None
    key: str = ""
    """Tells apart several relations of one type and grade between the same two nodes: a claim id, a method."""
    label: str = ""
    attrs: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    """method, effect, low, high, unit, verdict, evidence, rule … ``effect`` is what `min_effect` filters on."""

    def __post_init__(self) -> None:
        _text(self.source, self, what="source", limit=ID_LIMIT, empty=False)
        _text(self.target, self, what="target", limit=ID_LIMIT, empty=False)
        _text(self.key, self, what="key", limit=ID_LIMIT)
        if self.type not in RELATION_TYPES:
            raise InvalidGraphValue(f"{_where(self)}: type must be one of {', '.join(sorted(RELATION_TYPES))}")
        if self.grade not in GRADES:
            raise InvalidGraphValue(f"{_where(self)}: grade must be one of {', '.join(GRADES)}, not {self.grade!r}")
        _check_common(self)
        effect = self.attrs.get("effect")
        if effect is not None and (isinstance(effect, bool) or not isinstance(effect, int | float)):
            raise InvalidGraphValue(f"{_where(self)}: attrs['effect'] must be a number or None, not {effect!r:.80}")

    @property
    def id(self) -> str:
        """SHA-256 (hex) of what makes this relation itself: source, type, target, grade, key."""
        identity = json.dumps([self.source, self.type, self.target, self.grade, self.key])
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def effect(self) -> float | None:
        """Measured effect on the target, in nats unless ``attrs["unit"]`` differs; None where none was measured."""
        value = self.attrs.get("effect")
        return None if value is None else float(value)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form, as used in the digest."""
        return {"source": self.source, "type": self.type, "target": self.target, "grade": self.grade, "key": self.key,
                "run": self.run, "label": self.label, "attrs": dict(self.attrs)}


@dataclass(frozen=True, kw_only=True)
class Subgraph:
    """A piece of the graph, nodes sorted by id and relations by (source, type, target, grade, key)."""

    nodes: tuple[Node, ...]
    relations: tuple[Relation, ...]
    truncated: bool = False
    """True when the limit left out nodes that belong to the answer."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {"nodes": [node.as_dict() for node in self.nodes],
                "relations": [relation.as_dict() for relation in self.relations], "truncated": self.truncated}


def placeholder(node_id: str) -> Node:
    """The node that stands in for one a relation names before any record describes it."""
    return Node(id=node_id, kind="Entity", type=PLACEHOLDER_TYPE)


def short(text: str, limit: int = 120) -> str:
    """`text` on one line and at most `limit` characters long, for a label."""
    line = " ".join(text.split()).encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _check_common(value: Node | Relation) -> None:
    """Check run, label and attributes, and put a read-only copy of the attributes in place."""
    if value.run is not None:
        _text(value.run, value, what="run", limit=ID_LIMIT, empty=False)
    _text(value.label, value, what="label", limit=LABEL_LIMIT)
    if not isinstance(value.attrs, Mapping):
        raise InvalidGraphValue(f"{_where(value)}: attrs must be a mapping, not {type(value.attrs).__name__}")
    for name, item in value.attrs.items():
        _text(name, value, what="an attribute name", limit=ID_LIMIT)
        _scalar(item, value, name=name)
    object.__setattr__(value, "attrs", MappingProxyType(dict(value.attrs)))


def _scalar(item: Any, owner: Node | Relation, *, name: str) -> None:
    if item is None or isinstance(item, bool):
        return
    if isinstance(item, str):
        _text(item, owner, what="an attribute", limit=VALUE_LIMIT)
    elif isinstance(item, int):
        if abs(item) > _INTEGER_LIMIT:
            raise InvalidGraphValue(f"{_where(owner)}: attrs[{name!r:.60}] is beyond 2^53; write it as text")
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise InvalidGraphValue(f"{_where(owner)}: attrs[{name!r:.60}] must be finite, not {item!r}")
    else:
        problem = f"attrs[{name!r:.60}] must be text, number, bool or None, not {type(item).__name__}"
        raise InvalidGraphValue(f"{_where(owner)}: {problem}")


def _text(value: Any, owner: Node | Relation, *, what: str, limit: int, empty: bool = True) -> None:
    if not isinstance(value, str):
        raise InvalidGraphValue(f"{_where(owner)}: {what} must be text, not {type(value).__name__}")
    if not value and not empty:
        raise InvalidGraphValue(f"{_where(owner)}: {what} must not be empty")
    if len(value) > limit:
        raise InvalidGraphValue(f"{_where(owner)}: {what} has {len(value)} characters, more than {limit}")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidGraphValue(f"{_where(owner)}: {what} holds a lone surrogate, not text") from error


def _where(owner: Node | Relation) -> str:
    """What an error is about; written only when there is one."""
    if isinstance(owner, Node):
        return f"node {owner.id!r:.80}"
    return f"relation {owner.source!r:.60} -{owner.type!r:.40}-> {owner.target!r:.60}"
