"""What every graph store promises (`graph.store.GraphStore`), held against memory, SQLite and a real Neo4j."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import neo4j
import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph import GraphStore, InvalidGraphValue, Node, Relation, StoreFailure, StoreUnavailable, Subgraph, open_graph
from graph.lineage import FIRMNESS
from graph.memory import MemoryGraph
from graph.model import GRADES, KINDS, Grade, Scalar

Open = Callable[[], GraphStore]
RANDOM = settings(max_examples=12, deadline=None, derandomize=True,
                  suppress_health_check=[HealthCheck.function_scoped_fixture])

HOSTILE = [
    "'; DROP TABLE node; --",
    '"); DELETE FROM relation; --',
    "x'}) DETACH DELETE n //",
    "`) MATCH (n) DETACH DELETE n",
    "$id ${id} {id} %s :start ?1",
    "\\u0027 \\' \\\\",
    "line\nfeed\r\n\ttab",
    "nul\x00inside",
    "emoji 🧾 combining é, right to left שלום, astral 𝄞",
    "\ufeff\u2028\uffff",
    " leading and trailing ",
    '{"json": [1, null]}',
]


KEPT = ["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)]
"""Stores that outlive their process."""


@pytest.fixture(params=["memory", *KEPT])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """A way to open the same store, as often as a test likes."""
    if request.param == "sqlite":
        return lambda: open_graph(f"sqlite:///{tmp_path / 'graph.db'}")
    if request.param == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        return lambda: open_graph(server.uri, server.user, server.password)
    return lambda: open_graph("memory:")


@pytest.fixture
def store(opener: Open) -> Iterator[GraphStore]:
    """An empty store."""
    opened = opener()
    opened.clear()
    yield opened
    opened.close()


def thing(name: str, **more: Any) -> Node:
    return Node(id=name, **{"kind": "Entity", "type": "Message", **more})


def link(source: str, target: str, grade: Grade = "recorded", **more: Any) -> Relation:
    return Relation(source=source, target=target, grade=grade, **{"type": "wasDerivedFrom", **more})


def names(part: Subgraph) -> list[str]:
    return [node.id for node in part.nodes]


def chain(store: GraphStore, length: int) -> None:
    """c0 ← c1 ← c2 …, named so that the text order is the order of the chain."""
    links = [link(f"c{i:05}", f"c{i - 1:05}") for i in range(1, length)]
    store.apply(0, [thing(f"c{i:05}") for i in range(length)], links)


# ------------------------------------------------------------------------------------------------ exactly once


def test_an_empty_store_answers_every_question(store: GraphStore) -> None:
    empty = Subgraph(nodes=(), relations=())
    assert store.position() == -1
    assert store.node("a") is None
    assert store.ancestors("a") == store.descendants("a", limit=3) == store.neighbourhood("a") == empty
    assert store.run_subgraph("a") == empty
    assert store.paths("a", "b") == []
    assert store.counts().nodes == store.counts().relations == 0
    assert store.digest() == hashlib.sha256().hexdigest()


def test_a_record_is_applied_once_and_older_ones_never(store: GraphStore) -> None:
    assert store.apply(5, [thing("a", label="first")], [link("a", "b")]) is True
    before = store.digest()
    assert store.apply(5, [thing("a", label="again")], []) is False
    assert store.apply(2, [thing("z")], []) is False
    assert (store.position(), store.digest()) == (5, before)
    assert store.apply(6, [thing("a", label="second")], []) is True
    node = store.node("a")
    assert node is not None and node.label == "second"


def test_a_batch_is_its_records_one_after_another(store: GraphStore) -> None:
    records = [(0, [thing("a", label="zero")], []), (1, [thing("a", label="one")], [link("a", "b")]), (4, [], [])]
    assert store.apply_batch(records) == 3
    assert store.apply_batch([records[2], (7, [thing("b")], []), (7, [thing("b", label="twin")], []), records[0]]) == 1
    one_by_one = MemoryGraph()
    for position, nodes, relations in [*records, (7, [thing("b")], [])]:
        one_by_one.apply(position, nodes, relations)
    assert (store.position(), store.digest()) == (7, one_by_one.digest())


def test_empty_batches_do_nothing_and_empty_records_move_the_position(store: GraphStore) -> None:
    assert store.apply_batch([]) == 0
    assert store.position() == -1
    assert store.apply(0, [], []) is True
    assert store.position() == 0
    assert store.counts().nodes == 0


def test_a_batch_that_fails_leaves_nothing_behind(store: GraphStore) -> None:
    def broken() -> Iterator[Relation]:
        yield link("a", "b")
        raise RuntimeError("the source of relations broke")

    with pytest.raises(RuntimeError, match="broke"):
        store.apply_batch([(0, [thing("a")], []), (1, [], broken())])
    with pytest.raises(InvalidGraphValue, match="expected a Relation"):
        store.apply(0, [thing("a")], [thing("b")])  # type: ignore[list-item]
    for position in (-1, True, "3"):
        with pytest.raises(InvalidGraphValue, match="position"):
            store.apply(position, [thing("a")], [])  # type: ignore[arg-type]
    assert (store.position(), store.counts().nodes) == (-1, 0)


def test_threads_that_apply_the_same_records_apply_each_once(store: GraphStore) -> None:
    applied: list[bool] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for position in range(12):
                applied.append(store.apply(position, [thing(f"n{position}")], [link(f"n{position}", "hub")]))
                assert len(store.ancestors(f"n{position}").nodes) == 2
        except BaseException as error:  # carried to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert applied.count(True) == 12
    assert (store.position(), store.counts().nodes, store.counts().relations) == (11, 13, 12)


@pytest.mark.parametrize("opener", KEPT, indirect=True)
def test_what_was_applied_is_there_after_opening_again(opener: Open, store: GraphStore) -> None:
    store.apply(3, [thing("a", attrs={"n": 1})], [link("a", "b")])
    again = opener()
    assert (again.position(), again.digest()) == (3, store.digest())
    again.close()


def test_clear_forgets_everything_and_the_ledger_can_be_applied_again(store: GraphStore) -> None:
    chain(store, 30)
    digest = store.digest()
    store.clear()
    assert (store.position(), store.counts().nodes, store.digest()) == (-1, 0, hashlib.sha256().hexdigest())
    chain(store, 30)
    assert store.digest() == digest


# ------------------------------------------------------------------------------------------------ upsert


def test_the_later_record_wins_name_by_name(store: GraphStore) -> None:
    store.apply(0, [thing("a", run="r", label="old", at="2026-01-01T00:00:00Z", attrs={"x": 1, "y": 2})],
                [link("a", "b", "causal", run="r", label="old", attrs={"effect": 1.0, "unit": "nats"})])
    store.apply(1, [thing("a", type="Claim", attrs={"y": 3, "z": None})],
                [link("a", "b", "causal", attrs={"effect": 2.0})])
    assert store.node("a") == thing("a", type="Claim", run="r", label="old", at="2026-01-01T00:00:00Z",
                                    attrs={"x": 1, "y": 3, "z": None})
    assert store.ancestors("a").relations == (
        link("a", "b", "causal", run="r", label="old", attrs={"effect": 2.0, "unit": "nats"}),)


def test_source_type_target_grade_and_key_make_a_relation(store: GraphStore) -> None:
    relations = [link("a", "b"), link("a", "b", key="k"), link("a", "b", "stated"), link("a", "b", type="used"),
                 link("b", "a"), link("a", "a")]
    store.apply(0, [], relations)
    store.apply(1, [], [link("a", "b", key="k", label="again")])
    assert store.counts().relations == 6
    assert {item.key: item.label for item in store.ancestors("a").relations if item.key} == {"k": "again"}


def test_a_placeholder_is_filled_in_and_never_overwrites(store: GraphStore) -> None:
    store.apply(0, [], [link("late", "early")])
    node = store.node("early")
    assert node is not None and node.is_placeholder
    store.apply(1, [thing("early", label="known", run="r")], [])
    store.apply(2, [], [link("other", "early")])
    store.apply(3, [node], [])
    assert store.node("early") == thing("early", label="known", run="r")
    assert names(store.ancestors("late")) == ["early", "late"]


def test_numbers_truth_and_absence_keep_their_type(store: GraphStore) -> None:
    values: dict[str, Scalar] = {"int": 1, "float": 1.0, "true": True, "none": None, "big": 2**53, "tiny": 5e-324,
                                 "sum": 0.1 + 0.2, "empty": "", "minus": -(2**53)}
    store.apply(0, [thing("a", attrs=values)], [link("a", "b", attrs=values)])
    store.apply(1, [thing("c", attrs={"v": 1})], [])
    store.apply(2, [thing("c", attrs={"v": True})], [])
    for attrs in (store.ancestors("a").nodes[0].attrs, store.ancestors("a").relations[0].attrs):
        assert {name: (type(item), item) for name, item in attrs.items()} == {
            name: (type(item), item) for name, item in values.items()}
    node = store.node("c")
    assert node is not None and node.attrs["v"] is True


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(store: GraphStore, text: str) -> None:
    node = thing(text, run=text, label=text, attrs={text: text})
    relation = link(text, "plain", "causal", key=text, run=text, label=text, attrs={text: text, "effect": 1.0})
    store.apply(0, [node, thing("plain")], [relation])
    assert store.node(text) == node
    for part in (store.ancestors(text), store.run_subgraph(text), store.neighbourhood(text),
                 store.ancestors(text, limit=9), store.descendants("plain")):
        assert set(part.nodes) == {node, thing("plain")} and part.relations == (relation,)
        assert dict(part.relations[0].attrs) == {text: text, "effect": 1.0}
    assert store.paths(text, "plain") == [(relation,)]
    assert store.counts().nodes == 2


# ------------------------------------------------------------------------------------------------ random graphs

ASTRAL_AND_OTHERS = "aé\U0001d11e\uffffz"
"""UTF-16 and code points sort the third and fourth of these differently; stores must not."""


def identifier(number: int) -> str:
    return f"{ASTRAL_AND_OTHERS[number % 5]}{number}"


IDENTIFIERS = [identifier(number) for number in range(14)]
identifiers = st.sampled_from(IDENTIFIERS)
random_nodes = st.builds(
    Node, id=identifiers, kind=st.sampled_from(KINDS), type=st.sampled_from(["Step", "Claim"]),
    run=st.sampled_from([None, "r1", "r2"]), label=st.sampled_from(["", "one", "two"]),
    at=st.sampled_from([None, "2026-01-01T00:00:00.000000001Z"]),
    attrs=st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from([1, 1.0, True, 0.0, -0.0, None, "text"])))
random_relations = st.builds(
    Relation, source=identifiers, target=identifiers, type=st.sampled_from(["used", "wasDerivedFrom"]),
    grade=st.sampled_from(get_args(Grade)), run=st.sampled_from([None, "r1"]), key=st.sampled_from(["", "k"]),
    attrs=st.fixed_dictionaries({}, optional={"effect": st.sampled_from([-3.0, 0.5, 2, None])}))
random_records = st.tuples(st.lists(random_nodes, max_size=4), st.lists(random_relations, max_size=9))
random_ledger = st.lists(random_records, max_size=8)
filters = st.tuples(st.none() | st.sets(st.sampled_from(GRADES)), st.none() | st.sampled_from([0.0, 1.0, 2.5]))


def everything(store: MemoryGraph) -> tuple[list[Node], list[Relation]]:
    """All nodes and relations, through the protocol."""
    parts = [store.ancestors(name) for name in IDENTIFIERS]
    return ([*{node.id: node for part in parts for node in part.nodes}.values()],
            [*{item.id: item for part in parts for item in part.relations}.values()])


def admitted(relations: list[Relation], grades: set[Grade] | None, least: float | None) -> list[Relation]:
    def admits(item: Relation) -> bool:
        if grades is not None and item.grade not in grades:
            return False
        return least is None or item.grade != "causal" or (item.effect is not None and abs(item.effect) >= least)

    return [item for item in relations if admits(item)]


@RANDOM
@given(ledger=random_ledger, split=st.integers(0, 8))
def test_equal_ledgers_give_equal_digests_however_they_are_cut(store: GraphStore, ledger: Any, split: int) -> None:
    reference = MemoryGraph()
    store.clear()
    for position, (nodes, relations) in enumerate(ledger):
        reference.apply(position, nodes, relations)
    batch = [(position, *record) for position, record in enumerate(ledger)]
    store.apply_batch(batch[:split])
    store.apply_batch(batch[max(0, split - 2):])
    assert store.digest() == reference.digest()
    assert store.counts() == reference.counts()
    assert store.run_subgraph("r1") == reference.run_subgraph("r1")
    nodes, relations = everything(reference)
    lines = [["node", {"id": n.id, "kind": n.kind, "type": n.type, "run": n.run, "label": n.label, "at": n.at,
                       "attrs": dict(n.attrs)}] for n in nodes]
    lines += [["relation", {"source": r.source, "type": r.type, "target": r.target, "grade": r.grade, "key": r.key,
                            "run": r.run, "label": r.label, "attrs": dict(r.attrs)}] for r in relations]
    texts = [json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() for line in lines]
    assert store.digest() == hashlib.sha256(b"".join(text + b"\n" for text in sorted(texts))).hexdigest()


@RANDOM
@given(nodes=st.lists(random_nodes, unique_by=lambda node: node.id, max_size=10), data=st.data(),
       relations=st.lists(random_relations, unique_by=lambda item: item.id, max_size=12))
def test_the_order_in_which_nodes_and_relations_arrive_does_not_matter(
        store: GraphStore, nodes: list[Node], relations: list[Relation], data: st.DataObject) -> None:
    reference = MemoryGraph()
    reference.apply(0, nodes, relations)
    pieces = data.draw(st.permutations([*nodes, *relations]))
    store.clear()
    for position, piece in enumerate(pieces):
        if isinstance(piece, Node):
            store.apply(position, [piece], [])
        else:
            store.apply(position, [], [piece])
    assert store.digest() == reference.digest()


@RANDOM
@given(ledger=random_ledger, start=identifiers, wanted=filters, limit=st.integers(1, 9), hops=st.integers(0, 4))
def test_slices_and_neighbourhoods_are_those_of_networkx(
        store: GraphStore, ledger: Any, start: str, wanted: tuple[set[Grade] | None, float | None], limit: int,
        hops: int) -> None:
    reference = MemoryGraph()
    batch = [(position, *record) for position, record in enumerate(ledger)]
    reference.apply_batch(batch)
    store.clear()
    store.apply_batch(batch)
    nodes, relations = everything(reference)
    known = {node.id: node for node in nodes}
    kept = admitted(relations, *wanted)
    graph = nx.DiGraph()
    graph.add_nodes_from(known)
    graph.add_edges_from((item.source, item.target) for item in kept)
    narrow = admitted(relations, wanted[0], None)
    around = nx.Graph()
    around.add_nodes_from(known)
    around.add_edges_from((item.source, item.target) for item in narrow)

    def expected(view: Any, reach: int | None, most: int | None, edges: list[Relation]) -> tuple[Any, ...]:
        if start not in known:
            return (), set(), False
        distance = nx.single_source_shortest_path_length(view, start, cutoff=reach)
        near = sorted(distance, key=lambda name: (distance[name], name))[:most]
        inside = set(near)
        return (tuple(known[name] for name in sorted(inside)),
                {item for item in edges if item.source in inside and item.target in inside}, len(distance) > len(near))

    def got(part: Subgraph) -> tuple[Any, ...]:
        return part.nodes, set(part.relations), part.truncated

    for most in (None, limit):
        assert got(store.ancestors(start, *wanted, limit=most)) == expected(graph, None, most, kept)
        assert got(store.descendants(start, *wanted, limit=most)) == expected(graph.reverse(), None, most, kept)
    assert got(store.neighbourhood(start, hops, wanted[0], limit)) == expected(around, hops, limit, narrow)


@RANDOM
@given(ledger=random_ledger, later=identifiers, earlier=identifiers)
def test_paths_are_the_simple_paths_shortest_first(store: GraphStore, ledger: Any, later: str, earlier: str) -> None:
    store.clear()
    store.apply_batch([(position, *record) for position, record in enumerate(ledger)])
    slice_ = store.ancestors(later)
    graph = nx.DiGraph((item.source, item.target) for item in slice_.relations)
    possible = set()
    if later != earlier and later in graph and earlier in graph:
        possible = {tuple(path) for path in nx.all_simple_paths(graph, later, earlier)}
    found = [(later, *(item.target for item in path)) for path in store.paths(later, earlier, limit=len(possible) + 1)]
    assert len(found) == len(possible) and set(found) == possible
    assert [len(path) for path in found] == sorted(len(path) for path in possible)
    few = store.paths(later, earlier, limit=2)
    assert few == store.paths(later, earlier, limit=len(possible) + 1)[:2]
    for path in few:
        for item in path:
            hop = (item.source, item.target)
            twins = [other.grade for other in slice_.relations if (other.source, other.target) == hop]
            assert item.grade == min(twins, key=FIRMNESS.index)


# ------------------------------------------------------------------------------------------------ shapes that hurt


def test_a_ladder_with_a_million_million_routes_is_walked_once(store: GraphStore) -> None:
    links = [link(f"{i}{side}", f"{i + 1}{other}") for i in range(40) for side in "ab" for other in "ab"]
    store.apply(0, [], links)
    part = store.ancestors("0a")
    assert (len(part.nodes), len(part.relations)) == (81, 158)
    assert [len(path) for path in store.paths("0a", "40a", limit=5)] == [40] * 5


def test_a_long_chain_and_a_ring_end(store: GraphStore) -> None:
    chain(store, 3_000)
    assert len(store.ancestors("c02999").nodes) == 3_000
    assert names(store.descendants("c00000", limit=3)) == ["c00000", "c00001", "c00002"]
    store.apply(1, [], [link("c00000", "c02999")])
    assert len(store.descendants("c01500").nodes) == 3_000
    assert len(store.paths("c02999", "c00000")[0]) == 2_999


def test_a_limit_keeps_the_nearest_and_says_what_it_left_out(store: GraphStore) -> None:
    store.apply(0, [thing("hub")], [link(f"u{i:04}", "hub") for i in range(600)] + [link("u0599", "deep")])
    part = store.neighbourhood("hub", hops=2)
    assert part.truncated and names(part) == ["hub", *(f"u{i:04}" for i in range(299))]
    assert store.neighbourhood("hub", hops=0).truncated is False
    exact = store.descendants("hub", limit=601)
    assert (len(exact.nodes), exact.truncated) == (601, False)
    assert store.descendants("hub", limit=600).truncated is True
    assert names(store.ancestors("u0599", limit=1)) == ["u0599"]


def test_the_subgraph_of_a_run_reaches_what_it_shares(store: GraphStore) -> None:
    store.apply(0, [thing("step", run="r1"), thing("model"), thing("other", run="r2"), thing("foreign", run="r2")],
                [link("step", "model", run="r1"), link("other", "model", run="r2"), link("foreign", "step"),
                 link("model", "corpus", run="r1"), link("corpus", "far")])
    part = store.run_subgraph("r1")
    assert names(part) == ["corpus", "model", "step"]
    assert [(item.source, item.target) for item in part.relations] == [("model", "corpus"), ("step", "model")]


def test_wrong_arguments_are_named(store: GraphStore) -> None:
    store.apply(0, [thing("a")], [])
    wrong: list[Callable[[], object]] = [
        lambda: store.ancestors("a", grades=["certain"]),  # type: ignore[list-item]
        lambda: store.descendants("a", min_effect=-1.0),
        lambda: store.ancestors("a", min_effect=float("nan")),
        lambda: store.ancestors("a", limit=0),
        lambda: store.neighbourhood("a", hops=-1),
        lambda: store.neighbourhood("a", limit=0),
        lambda: store.paths("a", "b", limit=0),
    ]
    for call in wrong:
        with pytest.raises(InvalidGraphValue):
            call()


@pytest.mark.neo4j
def test_a_wrong_neo4j_password_is_one_clear_sentence(neo4j_server: Any) -> None:
    with pytest.raises(StoreUnavailable, match="refused the login; check AUDITOR_NEO4J_USER"):
        open_graph(neo4j_server.uri, "neo4j", "wrong-password")


@pytest.mark.neo4j
def test_a_neo4j_clear_that_was_cut_off_refuses_writes_until_it_is_done(neo4j_server: Any) -> None:
    store = open_graph(neo4j_server.uri, neo4j_server.user, neo4j_server.password)
    with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password)) as driver:
        driver.execute_query("MERGE (p:ProvProgress {name: 'ledger'}) SET p.clearing = true, p.position = -1")
    with pytest.raises(StoreFailure, match="clear it again"):
        store.apply(0, [thing("a")], [])
    store.clear()
    assert store.apply(0, [thing("a")], []) is True
    store.close()
