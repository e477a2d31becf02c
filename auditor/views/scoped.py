"""The ledger and the graph as one project sees them: what belongs to others is not there."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any

from auditor.errors import NotFound
from auditor.ledger.protocol import Entry, Fence, Head, Ledger, Stored
from auditor.records.exchange import Payload
from auditor.views.commands import Health, Watermark
from graph import GraphStore
from graph.model import Grade, Node, Subgraph


class ProjectLedger:
    """Implements ledger.protocol.Ledger; reads are limited to one project. Payload addresses cannot be guessed."""

    def __init__(self, ledger: Ledger, project: str) -> None:
        self._ledger = ledger
        self._project = project

    def records(
        self, after: int = -1, *, kinds: Iterable[str] | None = None, run: str | None = None,
        claim: str | None = None, project: str | None = None, limit: int | None = None, newest_first: bool = False,
    ) -> Iterator[Stored]:  # fmt: skip
        return self._ledger.records(
            after, kinds=kinds, run=run, claim=claim, project=self._project, limit=limit, newest_first=newest_first
        )

    def record(self, record_id: str) -> Stored:
        found = self._ledger.record(record_id)
        if found.record.project != self._project:
            raise NotFound("record", f"{record_id} is not in the ledger", "check the id")
        return found

    def submit(self, entries: Sequence[Entry], fence: Fence | None = None) -> "Future[Sequence[Stored]]":
        return self._ledger.submit([replace(entry, project=self._project) for entry in entries], fence)

    def append(self, entries: Sequence[Entry], fence: Fence | None = None) -> Sequence[Stored]:
        return self.submit(entries, fence).result()

    def put(self, data: bytes) -> str:
        return self._ledger.put(data)

    def put_split(self, data: bytes, spans: Sequence[tuple[int, int]]) -> Payload:
        return self._ledger.put_split(data, spans)

    def put_pieces(self, pieces: Iterable[bytes]) -> Payload:
        return self._ledger.put_pieces(pieces)

    def payload(self, ref: Payload | str) -> bytes:
        return self._ledger.payload(ref)

    def head(self) -> Head:
        return self._ledger.head()

    def tally(self, after: int, upto: int, kinds: Iterable[str]) -> list[tuple[str, str, str | None, int]]:
        return [row for row in self._ledger.tally(after, upto, kinds) if row[1] == self._project]

    def watch(self, after: int, timeout: float) -> bool:
        return self._ledger.watch(after, timeout)

    def close(self) -> None:
        """Nothing: the ledger belongs to the server."""


class ProjectHealth:
    """Implements views.commands.Health: how the server is doing, but how far only one project has come."""

    def __init__(self, health: Health, project: str, jobs: Callable[[], Mapping[str, int]]) -> None:
        """jobs: how many jobs of the project are in each state."""
        self._health = health
        self._project = project
        self._jobs = jobs

    def view(self) -> dict[str, Any]:
        own = next((asdict(one) for one in self.watermarks()), {})
        return uncounted(self._health.view()) | {
            "jobs": dict(self._jobs()), "recorded": {name: own[name] for name in _RECORDED if name in own}
        }  # fmt: skip

    def watermarks(self) -> list[Watermark]:
        return [one for one in self._health.watermarks() if one.project == self._project]


_RECORDED = ("accepted", "durable", "projected", "runs", "evidence_attached")
_COUNTS = ("jobs", "recorded")


def uncounted(view: Mapping[str, Any]) -> dict[str, Any]:
    """A server's health without what counts the facts and jobs of every project."""
    return {name: value for name, value in view.items() if name not in _COUNTS}


class ProjectGraph:
    """What the lineage routes ask of a graph, without what belongs to other projects.

    A node belongs to its run's project or, without a run, to the project it names. What names neither (model builds,
    features, training documents, placeholders) is shown where a relation of one of the project's own runs ends at it.
    """

    def __init__(self, graph: GraphStore, project: str, owner: Callable[[str], str]) -> None:
        """
        Args:
            project: the project as the graph writes it, in run keys and in the attribute `project`.
            owner: gives the project of a run key (`Node.run`), in the same spelling.
        """
        self._graph = graph
        self._project = project
        self._owner = owner

    def position(self) -> int:
        return self._graph.position()

    def neighbourhood(
        self, node_id: str, hops: int = 2, grades: Collection[Grade] | None = None, limit: int = 300
    ) -> Subgraph:
        found = self._kept(self._graph.neighbourhood(node_id, hops, grades, limit))
        return found if any(node.id == node_id for node in found.nodes) else replace(found, nodes=(), relations=())

    def ancestors(
        self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None, limit: int = 300
    ) -> Subgraph:
        return self._kept(self._graph.ancestors(node_id, grades, min_effect, limit))

    def _kept(self, found: Subgraph) -> Subgraph:
        related = [one for one in found.relations if one.run is None or self._owner(one.run) == self._project]
        met = {end for one in related if one.run is not None for end in (one.source, one.target)}
        nodes = tuple(node for node in found.nodes if self._shows(node, met))
        known = {node.id for node in nodes}
        relations = tuple(one for one in related if one.source in known and one.target in known)
        return replace(found, nodes=nodes, relations=relations)

    def _shows(self, node: Node, met: Collection[str]) -> bool:
        if node.run is not None:
            return self._owner(node.run) == self._project
        project = node.attrs.get("project")
        return node.id in met if project is None else project == self._project
