"""Routes over the provenance graph, and "why this step?"."""

from collections.abc import Callable, Collection
from typing import Annotated, Protocol

from fastapi import APIRouter, Query

from auditor.errors import NotFound, Unavailable
from auditor.ledger.protocol import Ledger
from auditor.views import forms
from auditor.views.api.paths import Id
from auditor.views.api.shapes import outcome_of
from auditor.views.library import Library
from auditor.views.why import node_view, relation_view, why_view
from graph.model import Grade, Subgraph

MOST_NODES = 300


class LineageGraph(Protocol):
    """What of a graph store is asked here."""

    def position(self) -> int: ...

    def neighbourhood(
        self, node_id: str, hops: int = 2, grades: Collection[Grade] | None = None, limit: int = 300
    ) -> Subgraph: ...

    def ancestors(
        self, node_id: str, grades: Collection[Grade] | None = None, min_effect: float | None = None, limit: int = 300
    ) -> Subgraph: ...


Grades = Annotated[list[forms.Grade] | None, Query(description="Follow only these grades; all when left out.")]
MinEffect = Annotated[float | None, Query(ge=0, description="Leave out causal relations with a smaller effect, nats.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Largest number of nodes, nearest first.")]


def lineage_routes(
    library: Library, ledger: Ledger, graph: LineageGraph, node_of_step: Callable[[str], str]
) -> APIRouter:
    """`node_of_step` turns a step id into the id of its node."""
    router = APIRouter(tags=["graph"])

    def why(
        step: str, run: str, grades: list[forms.Grade] | None, min_effect: float | None, limit: int
    ) -> forms.WhyView:
        node = node_of_step(step)
        slice_ = graph.ancestors(node, grades, min_effect, limit)
        behind = max(0, ledger.head().position - graph.position())
        if not slice_.nodes:
            raise Unavailable(
                "step",
                f"the graph does not hold this step yet; it is {behind} records behind the ledger",
                "try again in a moment, or run `auditor rebuild`",
            )
        return why_view(slice_, node, run=run, behind=behind)

    @router.get("/graph/{node:path}/neighbourhood", summary="What lies around a node")
    def neighbourhood(
        node: Id, hops: Annotated[int, Query(ge=1, le=6)] = 2, grades: Grades = None, limit: Limit = MOST_NODES
    ) -> forms.GraphView:
        found = graph.neighbourhood(node, hops, grades, limit)
        if not found.nodes:
            raise NotFound("node", f"the graph has no node {node!r:.200}", "take ids from /steps/{id}/why")
        return forms.GraphView(
            nodes=[node_view(item) for item in found.nodes],
            truncated=found.truncated,
            relations=[relation_view(item) for item in found.relations],
        )

    @router.get("/steps/{step}/why", summary="Why this step? Its backward slice, kinds of knowledge told apart")
    def step_why(
        step: Id, grades: Grades = None, min_effect: MinEffect = None, limit: Limit = MOST_NODES
    ) -> forms.WhyView:
        structure, found = library.step(step)
        return why(found.id, structure.run, grades, min_effect, limit)

    @router.get("/runs/{run:path}/why", summary="Why this outcome? The backward slice of the run's last answer")
    def run_why(
        run: Id, grades: Grades = None, min_effect: MinEffect = None, limit: Limit = MOST_NODES
    ) -> forms.WhyView:
        structure = library.structure(run)
        outcome = outcome_of(structure)
        if outcome is None:
            raise NotFound(
                "run", f"run {structure.run!r:.200} has no steps", "see its gaps with GET /api/v1/runs/{run}"
            )
        return why(outcome.id, structure.run, grades, min_effect, limit)

    return router
