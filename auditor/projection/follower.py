"""Keeps a graph store behind the ledger, record by record. The graph can be dropped at any time and rebuilt."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from auditor.errors import AuditorError
from auditor.ledger.protocol import Ledger, Stored
from auditor.projection.mapping import NEED_STRUCTURE, project
from auditor.records.structure import Structure
from auditor.records.wire import read
from graph import GraphError, GraphStore

_KEPT = 64
"""Structures kept at hand; evidence comes in bursts per run."""


class Follower:
    """Applies ledger records to a graph store, each exactly once. `trouble` says why it stands still, or None."""

    def __init__(
        self, ledger: Ledger, graph: GraphStore, *, batch: int = 100, poll_seconds: float = 0.5, patience: float = 10.0,
        turn: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """
        Args:
            batch: records per transaction of the graph store.
            poll_seconds: longest wait for a new record before `stop` is looked at again.
            patience: longest wait between two attempts at a store that fails; the first is a twentieth of it.
            turn: called before each batch; it may wait, because recording comes before projecting.
        """
        self._ledger = ledger
        self._turn = turn
        self._graph = graph
        self._batch = batch
        self._poll = poll_seconds
        self._patience = patience
        self._structures: OrderedDict[tuple[str, str], tuple[int, Structure | None]] = OrderedDict()
        self.position = -1
        """Ledger position applied last, as far as this process knows."""
        self.trouble: str | None = None

    def catch_up(self, limit: int | None = None) -> int:
        """Apply what lies behind the graph's position, at most `limit` records; gives how many were new.

        Raises GraphError or AuditorError when a store fails; what was applied before stays applied.
        """
        self.position = self._graph.position()
        records = self._ledger.records(self.position, limit=limit)
        done = 0
        while batch := list(islice(records, self._batch)):
            self._turn()
            done += self._graph.apply_batch([(one.position, *project(one, self._structure(one))) for one in batch])
            self.position = batch[-1].position
        return done

    def run_forever(self, stop: threading.Event) -> None:
        """Follow until `stop` is set. A store that is down is tried again, ever more slowly up to `patience`."""
        wait = self._patience / 20
        while not stop.is_set():
            try:
                done = self.catch_up()
            except (GraphError, AuditorError) as fault:
                self.trouble = f"{type(fault).__name__}: {fault}"
                stop.wait(wait)
                wait = min(2 * wait, self._patience)
                continue
            self.trouble = None
            wait = self._patience / 20
            if not done:
                self._ledger.watch(self.position, self._poll)

    def forget(self) -> None:
        """Drop what is kept at hand; needed after the graph was cleared."""
        self._structures.clear()
        self.position = -1

    def _structure(self, stored: Stored) -> Structure | None:
        """The run's latest structure before this record: kept from the way, else looked up."""
        record = stored.record
        run = record.body.get("run")
        if not isinstance(run, str):
            return None
        key = (record.project, run)
        if record.kind == "structure":
            self._structures.pop(key, None)
            return None
        if record.kind not in NEED_STRUCTURE:
            return None
        kept = self._structures.get(key)
        if kept is None or kept[0] > stored.position:
            kept = (stored.position, self._look_up(key, stored.position))
            self._structures[key] = kept
            if len(self._structures) > _KEPT:
                self._structures.popitem(last=False)
        self._structures.move_to_end(key)
        return kept[1]

    def _look_up(self, key: tuple[str, str], before: int) -> Structure | None:
        found = self._ledger.records(kinds=["structure"], run=key[1], project=key[0], newest_first=True)
        for stored in found:
            if stored.position < before:
                try:
                    return read(Structure, dict(stored.record.body))
                except AuditorError:
                    return None  # it became a Gap node in its place
        return None


def rebuild(ledger: Ledger, graph: GraphStore) -> int:
    """Drop the graph and apply every record from the first; gives how many records there were."""
    graph.clear()
    return Follower(ledger, graph).catch_up()
