"""The graph follows the ledger, and a rebuild gives the same graph in every store."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from auditor.projection.follower import Follower, rebuild
from graph import GraphStore, StoreUnavailable, open_graph
from graph.memory import MemoryGraph
from graph.store import Batch


def wait_for(what: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_rebuild_equals_live_in_both_stores(world: Any, stores: list[GraphStore]) -> None:
    """Live: record by record while the ledger grows. Rebuilt: all at once, in batches of another size."""
    live = [Follower(world.ledger, store, batch=1) for store in stores]
    append = world.add

    def add_and_follow(*arguments: Any, **named: Any) -> Any:
        stored = append(*arguments, **named)
        for follower in live:
            follower.catch_up()
        return stored

    world.add = add_and_follow
    world.everything()
    assert all(follower.catch_up() >= 0 for follower in live)
    digests = {store.digest() for store in stores}
    assert len(digests) == 1
    records = world.ledger.head().position + 1
    for store in stores:
        assert store.position() == records - 1
        assert rebuild(world.ledger, store) == records
    assert {store.digest() for store in stores} == digests


@pytest.mark.neo4j
def test_neo4j_holds_the_same_graph(world: Any, stores: list[GraphStore], neo4j_server: Any) -> None:
    world.everything()
    server = open_graph(neo4j_server.uri, neo4j_server.user, neo4j_server.password)
    try:
        digests = []
        for store in (*stores, server):
            store.clear()
            Follower(world.ledger, store, batch=3).catch_up()
            digests.append(store.digest())
        rebuild(world.ledger, server)
        assert set(digests) == {server.digest()}
    finally:
        server.close()


def test_an_older_structure_does_not_win_on_rebuild(world: Any, memory: MemoryGraph) -> None:
    """Evidence is mapped against the structure that was current when it came, also when newer ones exist by then."""
    shop = world.structure(world.runs.one_tool(run="shop"))
    claim = next(one for one in shop.claims if one.type == "tool_answer")
    follower = Follower(world.ledger, memory)
    world.evidence(shop, claim, "intervention")
    follower.catch_up()
    world.structure(world.runs.stepwise(run="shop"), version=2)
    world.evidence(shop, claim, "provenance", effect=0.2)
    follower.catch_up()
    live = memory.digest()
    rebuild(world.ledger, memory)
    assert memory.digest() == live
    assert any(one.grade == "causal" for one in memory.run_subgraph("shop").relations)


def test_a_limit_is_kept_and_nothing_is_applied_twice(world: Any, memory: MemoryGraph) -> None:
    world.everything()
    follower = Follower(world.ledger, memory, batch=2)
    assert follower.catch_up(limit=3) == 3
    assert memory.position() == follower.position == 2
    rest = follower.catch_up()
    assert rest == world.ledger.head().position - 2
    assert follower.catch_up() == 0


class Flaky(MemoryGraph):
    """A store that is down until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True
        self.attempts = 0

    def apply_batch(self, batch: Batch) -> int:
        self.attempts += 1
        if self.down:
            raise StoreUnavailable("the graph database does not answer")
        return super().apply_batch(batch)


def test_a_store_that_is_down_is_tried_again(world: Any) -> None:
    world.structure(world.runs.one_tool(run="shop"))
    store, stop = Flaky(), threading.Event()
    follower = Follower(world.ledger, store, poll_seconds=0.05, patience=0.2)
    thread = threading.Thread(target=follower.run_forever, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: store.attempts >= 3)
        assert follower.trouble == "StoreUnavailable: the graph database does not answer"
        store.down = False
        wait_for(lambda: follower.position == world.ledger.head().position)
        wait_for(lambda: follower.trouble is None)
        world.everything()
        wait_for(lambda: store.position() == world.ledger.head().position)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    fresh = MemoryGraph()
    rebuild(world.ledger, fresh)
    assert fresh.digest() == store.digest()


def test_stop_is_quick(world: Any, memory: MemoryGraph) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=Follower(world.ledger, memory, poll_seconds=0.1).run_forever, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
