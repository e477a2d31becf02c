"""Nodes and relations refuse what the vocabulary does not allow, and say what is wrong."""

import dataclasses
import hashlib
from typing import Any

import pytest

from graph import InvalidGraphValue, Node, Relation, Subgraph, placeholder, short
from graph.model import ID_LIMIT, KINDS, LABEL_LIMIT, NODE_TYPES, RELATION_TYPES, VALUE_LIMIT

NODE: dict[str, Any] = {"id": "a", "kind": "Entity", "type": "Message"}
RELATION: dict[str, Any] = {"source": "a", "target": "b", "type": "used", "grade": "recorded"}


@pytest.mark.parametrize(("change", "complaint"), [
    ({"id": ""}, "id must not be empty"),
    ({"id": 3}, "id must be text, not int"),
    ({"id": "x" * (ID_LIMIT + 1)}, "more than"),
    ({"id": "\ud800"}, "lone surrogate"),
    ({"kind": "Thing"}, "kind must be one of Entity, Activity, Agent"),
    ({"type": "no spaces"}, "type must be a name"),
    ({"type": "Ünicode"}, "type must be a name"),
    ({"run": ""}, "run must not be empty"),
    ({"label": "x" * (LABEL_LIMIT + 1)}, "label has"),
    ({"at": "yesterday"}, "RFC 3339"),
    ({"at": "2026-01-01 00:00:00"}, "RFC 3339"),
    ({"attrs": [1]}, "attrs must be a mapping"),
    ({"attrs": {1: 2}}, "attribute name must be text"),
    ({"attrs": {"x": float("inf")}}, "must be finite"),
    ({"attrs": {"x": 2**53 + 1}}, r"beyond 2\^53"),
    ({"attrs": {"x": {"nested": 1}}}, "must be text, number, bool or None, not dict"),
    ({"attrs": {"x": "y" * (VALUE_LIMIT + 1)}}, "more than"),
])  # fmt: skip
def test_a_wrong_node_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidGraphValue, match=complaint):
        Node(**{**NODE, **change})


@pytest.mark.parametrize(("change", "complaint"), [
    ({"source": ""}, "source must not be empty"),
    ({"target": None}, "target must be text"),
    ({"type": "USED]->() DELETE n //"}, "type must be one of"),
    ({"grade": "certain"}, "grade must be one of recorded, inferred, stated, read, causal"),
    ({"key": 1}, "key must be text"),
    ({"attrs": {"effect": "large"}}, "must be a number or None"),
    ({"attrs": {"effect": True}}, "must be a number or None"),
])  # fmt: skip
def test_a_wrong_relation_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidGraphValue, match=complaint):
        Relation(**{**RELATION, **change})


def test_values_are_frozen_and_keep_no_hold_on_the_callers_mapping() -> None:
    attrs: dict[str, Any] = {"x": 1}
    node = Node(**NODE, attrs=attrs)
    attrs["x"] = 2
    assert node.attrs["x"] == 1
    with pytest.raises(TypeError):
        node.attrs["x"] = 3  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.label = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Node("a", "Entity", "Message")  # type: ignore[misc]
    assert {node, Node(**NODE, attrs={"x": 1})} == {node}


def test_a_relation_is_named_by_its_five_identifying_parts() -> None:
    relation = Relation(**RELATION, key="é")
    assert relation.id == hashlib.sha256(b'["a", "used", "b", "recorded", "\\u00e9"]').hexdigest()
    assert relation.id == Relation(**RELATION, key="é", label="x", run="r", attrs={"effect": 1}).id
    others = [{"source": "b"}, {"target": "a"}, {"type": "hadMember"}, {"grade": "causal"}, {"key": "other"}]
    assert len({Relation(**{**RELATION, "key": "é", **other}).id for other in others} | {relation.id}) == 6


def test_effect_is_a_number_or_absent() -> None:
    assert Relation(**RELATION).effect is None
    assert Relation(**RELATION, attrs={"effect": None}).effect is None
    assert Relation(**RELATION, attrs={"effect": -2}).effect == -2.0


def test_vocabulary_and_placeholders() -> None:
    assert set(NODE_TYPES.values()) == set(KINDS)
    assert {"used", "wasGeneratedBy", "wasDerivedFrom", "retryOf"} <= RELATION_TYPES
    assert placeholder("p").is_placeholder and not Node(**NODE).is_placeholder
    part = Subgraph(nodes=(Node(**NODE),), relations=(Relation(**RELATION),))
    assert part.as_dict()["nodes"][0] == {**NODE, "run": None, "label": "", "at": None, "attrs": {}}
    assert part.as_dict()["relations"][0] == {**RELATION, "key": "", "run": None, "label": "", "attrs": {}}


def test_a_label_is_cut_to_one_short_line() -> None:
    assert short("  two\n lines ") == "two lines"
    assert short("x" * 200, 10) == "x" * 9 + "…"
    assert Node(**NODE, label=short("bad \ud800")).label == "bad ?"
