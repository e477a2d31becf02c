"""The read side: incremental, current, and unhurt by records it cannot read."""

import time
from typing import Any

import pytest

from auditor.errors import NotFound
from auditor.ledger.protocol import Entry
from auditor.views.library import Library


class Counting:
    """Counts the records that are read from a ledger."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.read = 0

    def records(self, *args: Any, **more: Any) -> Any:
        for stored in self._ledger.records(*args, **more):
            self.read += 1
            yield stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_listing_again_reads_nothing_again(world: Any, world_module: Any) -> None:
    ledger = Counting(world.ledger)
    library = Library(ledger)
    assert len(library.shelves()) == 28
    once = ledger.read
    library.shelves()
    assert ledger.read == once
    world_module.small_run(world, 901)
    assert len(library.shelves()) == 29
    assert ledger.read == once + 2


def test_a_later_structure_replaces_an_earlier_one_in_place(world: Any, world_module: Any) -> None:
    library = Library(world.ledger)
    before = [shelf.run for shelf in library.shelves()]
    world_module.small_run(world, 3, version=2)
    shelf = library.shelf("small-003")
    assert shelf.version == 2
    assert [item.run for item in library.shelves()] == before
    world_module.small_run(world, 3, version=1)
    assert library.shelf("small-003").version == 2


def test_a_merged_run_is_found_under_both_names(world: Any, world_module: Any) -> None:
    library = Library(world.ledger)
    world_module.small_run(world, 4, version=2, aliases=("small-005",))
    assert library.shelf("small-005").run == "small-004"
    assert "small-005" not in {shelf.run for shelf in library.shelves()}


def test_counterfactual_runs_are_marked(world: Any, world_module: Any) -> None:
    placed = world_module.place(
        [world_module.Message(role=role, parts=(world_module.Text(text=role),)) for role in ("user", "assistant")]
    )
    call = world_module.replace(world_module.call_of("ours", placed), purpose="counterfactual")
    world.structure("ours", placed, [], [], calls=(call,))
    assert Library(world.ledger).shelf("ours").counterfactual


def test_one_unreadable_record_hides_no_other(world: Any) -> None:
    world.ledger.append([Entry(kind="structure", source="intake", body={"run": "future", "shape": "unknown"})])
    library = Library(world.ledger)
    assert len(library.shelves()) == 28
    assert "cannot be read" in library.trouble()[0]
    with pytest.raises(NotFound):
        library.shelf("future")


def test_evidence_before_its_structure_waits_for_it(world: Any, world_module: Any) -> None:
    world.verdict("early", "c" * 64, "decorative")
    library = Library(world.ledger)
    with pytest.raises(NotFound):
        library.shelf("early")
    placed = world_module.place([world_module.Message(role="user", parts=(world_module.Text(text="x"),))])
    world.structure("early", placed, [], [], calls=())
    assert library.shelf("early").run == "early"


@pytest.mark.slow
def test_listing_stays_cheap_with_many_runs(world: Any, world_module: Any) -> None:
    for number in range(300):
        world_module.small_run(world, 1000 + number)
    library = Library(world.ledger)
    library.shelves()
    start = time.perf_counter()
    for _ in range(50):
        library.shelves()
    assert (time.perf_counter() - start) / 50 < 0.02
