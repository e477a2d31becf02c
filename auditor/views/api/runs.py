"""Routes under /runs: lists, steps, messages, verdicts, findings, audits and their progress."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from auditor.errors import AuditorError, BadInput
from auditor.evidence.catalogue import METHODS
from auditor.records.messages import part_text
from auditor.records.structure import Finding, Step, Structure
from auditor.views import forms
from auditor.views.api.paths import Cursor, Id, Limit, decode_cursor, encode_cursor
from auditor.views.api.shapes import (
    claim_row,
    claims_by_step,
    gap_views,
    outcome_of,
    run_row,
    total_counts,
    verdict_view,
)
from auditor.views.calls import call_views
from auditor.views.commands import FINISHED_STATES, Audits
from auditor.views.library import Library
from auditor.views.shelf import RunShelf

_EXCERPT = 400
Word = Literal["relied_on", "decorative", "contradicted", "undetermined", "untested"]


def run_routes(library: Library, audits: Audits) -> APIRouter:
    router = APIRouter(tags=["runs"])
    _list_routes(router, library)
    _audit_routes(router, library, audits)
    _part_routes(router, library)
    _detail_route(router, library)
    return router


def _list_routes(router: APIRouter, library: Library) -> None:
    @router.get("/runs", summary="List runs, newest first")
    def list_runs(
        limit: Limit = 50,
        cursor: Cursor = None,
        q: Annotated[str | None, Query(max_length=500, description="Text in the title, run id, model or tags.")] = None,
        model: Annotated[str | None, Query(max_length=500)] = None,
        agent: Annotated[str | None, Query(max_length=100)] = None,
        verdict: Annotated[
            Word | None, Query(description="Only runs with a claim that has this current verdict.")
        ] = None,
    ) -> forms.Page[forms.RunRow]:
        before = decode_cursor(cursor)
        wanted = q.casefold() if q else ""
        rows: list[RunShelf] = []
        for shelf in library.shelves():
            if before is not None and shelf.first_position >= before:
                continue
            if _matches(shelf, wanted, model, agent, verdict):
                rows.append(shelf)
            if len(rows) > limit:
                break
        more = encode_cursor(rows[limit - 1].first_position) if len(rows) > limit else None
        return forms.Page(items=[run_row(shelf) for shelf in rows[:limit]], next=more)

    @router.get("/facets", summary="Models, agents and totals over all runs")
    def facets() -> forms.FacetsView:
        shelves = [shelf for shelf in library.shelves() if not shelf.counterfactual]
        return forms.FacetsView(
            models=sorted({shelf.model for shelf in shelves}),
            agents=sorted({shelf.agent for shelf in shelves}),
            runs=len(shelves),
            verdicts=total_counts(shelves),
        )


def _matches(shelf: RunShelf, wanted: str, model: str | None, agent: str | None, verdict: str | None) -> bool:
    if shelf.counterfactual or (model and shelf.model != model) or (agent and shelf.agent != agent):
        return False
    if verdict and not shelf.verdict_counts()[verdict]:
        return False
    return not wanted or any(
        wanted in text.casefold() for text in (shelf.title, shelf.run, shelf.model, shelf.tags or "")
    )


def _part_routes(router: APIRouter, library: Library) -> None:
    @router.get("/runs/{run:path}/steps", summary="Steps of a run, in order")
    def steps(run: Id, limit: Limit = 200, cursor: Cursor = None) -> forms.Page[forms.StepView]:
        structure = library.structure(run)
        start = decode_cursor(cursor) or 0
        ordered = sorted(structure.steps, key=lambda step: step.order)
        depths = _depths(ordered)
        children: dict[str | None, int] = {}
        for step in ordered:
            children[step.parent] = children.get(step.parent, 0) + 1
        claims = claims_by_step(structure)
        items = [
            forms.StepView(
                step=step,
                depth=depths[step.id],
                children=children.get(step.id, 0),
                claims=claims.get(step.id, []),
                excerpt=_excerpt(library, step),
            )
            for step in ordered[start : start + limit]
        ]
        return forms.Page(items=items, next=_next(start, limit, len(ordered)))

    @router.get("/runs/{run:path}/messages", summary="Messages of a run, in order of appearance")
    def messages(
        run: Id,
        limit: Limit = 200,
        cursor: Cursor = None,
        call: Annotated[str | None, Query(description="Only what this model call saw and said.")] = None,
    ) -> forms.Page[forms.MessageView]:
        structure = library.structure(run)
        start = decode_cursor(cursor) or 0
        placed = {message.id: message for message in structure.messages}
        wanted = list(placed) if call is None else _messages_of(structure, call)
        items = []
        for name in wanted[start : start + limit]:
            own = placed.get(name)
            items.append(message_view(library, name, own.parent if own else None, own.role if own else "other"))
        return forms.Page(items=items, next=_next(start, limit, len(wanted)))

    @router.get("/runs/{run:path}/claims", summary="Claims of a run with their current verdicts")
    def claims(run: Id, limit: Limit = 200, cursor: Cursor = None) -> forms.Page[forms.ClaimRow]:
        structure = library.structure(run)
        start = decode_cursor(cursor) or 0
        items = [claim_row(library, structure, claim) for claim in structure.claims[start : start + limit]]
        return forms.Page(items=items, next=_next(start, limit, len(structure.claims)))

    @router.get("/runs/{run:path}/calls", summary="Model calls of a run: tokens, cost, times, outcome, redactions")
    def calls(run: Id, limit: Limit = 200, cursor: Cursor = None) -> forms.Page[forms.CallView]:
        structure = library.structure(run)
        start = decode_cursor(cursor) or 0
        items = call_views(library, structure, start, limit)
        return forms.Page(items=items, next=_next(start, limit, len(structure.calls)))

    @router.get("/runs/{run:path}/verdicts", summary="Current verdicts of a run")
    def verdicts(run: Id, limit: Limit = 200, cursor: Cursor = None) -> forms.Page[forms.VerdictView]:
        start = decode_cursor(cursor) or 0
        found = library.current_verdicts(run)
        items = [verdict_view(stored, verdict) for stored, verdict in found[start : start + limit]]
        return forms.Page(items=items, next=_next(start, limit, len(found)))

    @router.get("/runs/{run:path}/shape", summary="Trees, sample sets, retrieved documents and citations of a run")
    def shape(run: Id) -> forms.ShapeView:
        structure = library.structure(run)
        steps = {step.id: step for step in structure.steps}
        cited = Counter(citation.document for citation in structure.citations)
        return forms.ShapeView(
            branches=[
                forms.BranchView(branch=one, text=_excerpt(library, steps[one.step]) if one.step in steps else None)
                for one in structure.branches
            ],
            selections=list(structure.selections),
            samples=list(structure.samples),
            documents=[
                forms.DocumentView(document=one, text=_cut(library.quote(one.span)), cited=cited[one.id])
                for one in structure.documents
            ],
            citations=list(structure.citations),
        )

    @router.get("/runs/{run:path}/findings", summary="What the exact record checks found")
    def findings(run: Id, limit: Limit = 200, cursor: Cursor = None) -> forms.Page[Finding]:
        found = library.structure(run).findings
        start = decode_cursor(cursor) or 0
        return forms.Page(items=list(found[start : start + limit]), next=_next(start, limit, len(found)))


def _audit_routes(router: APIRouter, library: Library, audits: Audits) -> None:
    @router.post("/runs/{run:path}/audits", status_code=202, summary="Audit a run", tags=["audits"])
    def start(run: Id, order: forms.AuditOrder | None = None) -> forms.TicketView:
        order = order or forms.AuditOrder()
        name = library.shelf(run).run
        for method in order.methods or ():
            if method.partition("@")[0] not in METHODS:
                raise BadInput("methods", f"no method is called {method!r:.100}", f"use {', '.join(sorted(METHODS))}")
        if order.methods == []:
            raise BadInput("methods", "the list is empty", "name at least one method, or leave the field out for all")
        ticket = audits.start(name, order.methods, order.options)
        return forms.TicketView(audit=ticket.audit, jobs=list(ticket.jobs), progress="jobs")

    @router.get(
        "/runs/{run:path}/jobs", summary="Progress of the jobs of a run; ask at most once a second", tags=["audits"]
    )
    def jobs(run: Id) -> forms.JobsView:
        views = audits.progress(library.shelf(run).run)
        active = [view for view in views if view.state not in FINISHED_STATES]
        return forms.JobsView(
            active=bool(active), done=len(views) - len(active), total=len(views), jobs=[asdict(view) for view in views]
        )


def _detail_route(router: APIRouter, library: Library) -> None:
    # Last, because a run id may contain slashes: this pattern would also match all addresses above.
    @router.get("/runs/{run:path}", summary="One run in short")
    def detail(run: Id) -> forms.RunView:
        shelf = library.shelf(run)
        structure = library.structure(run)
        outcome = outcome_of(structure)
        return forms.RunView(
            **run_row(shelf).model_dump(),
            structure=shelf.structure or "",
            structure_version=structure.version,
            code=structure.code,
            records=list(structure.records),
            aliases=list(structure.aliases),
            messages=shelf.messages,
            known_gaps=gap_views(library, structure),
            evidence=dict(shelf.kinds),
            audits=list(shelf.audits),
            outcome=outcome.id if outcome else None,
            selections=list(structure.selections),
            links=list(structure.links),
        )


def message_view(library: Library, message: str, parent: str | None, role: str) -> forms.MessageView:
    """A message, or why it cannot be shown: one erased payload must not hide the rest of the run."""
    try:
        found = library.message(message)
    except AuditorError as fault:
        return forms.MessageView(id=message, parent=parent, role=role, parts=None, missing=fault.problem)  # type: ignore[arg-type]
    return forms.MessageView(id=message, parent=parent, role=found.role, name=found.name, parts=list(found.parts))


def _messages_of(structure: Structure, call: str) -> list[str]:
    for found in structure.calls:
        if found.id == call:
            return [*found.inputs, *found.outputs]
    raise BadInput("call", f"the run has no call {call!r:.100}", "take a call id from the run's steps")


def _excerpt(library: Library, step: Step) -> str | None:
    if step.span is not None:
        text = library.quote(step.span)
        if text is not None and step.span.pointer is not None:
            text = _unescaped(text)
    elif step.kind == "model_call" or step.message is None:
        return None
    else:
        try:
            text = "\n".join(part_text(part) for part in library.message(step.message).parts)
        except AuditorError:
            return None
    return _cut(text)


def _unescaped(text: str) -> str:
    """The inside of a JSON string as it is read; itself where it is none."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def _depths(ordered: list[Step]) -> dict[str, int]:
    """Depth by parents; a parent that is missing or comes later counts as none, so that no cycle can hang us."""
    depths: dict[str, int] = {}
    for step in ordered:
        depths[step.id] = depths[step.parent] + 1 if step.parent in depths else 0
    return depths


def _next(start: int, limit: int, size: int) -> str | None:
    return encode_cursor(start + limit) if start + limit < size else None
