"""One `structure` record → the run, its steps and claims as PROV.

=============  ==========================  =====================================================
step kind      node                        relation to what caused it
=============  ==========================  =====================================================
prompt         Entity Prompt               none
model_call     Activity AIModelInvocation  used its new inputs, wasInformedBy the call it continues
thought …      Entity ResponseData         wasGeneratedBy the model call
tool_call      Activity AgentTool          wasInformedBy the model call
tool_result    Entity DataObject           wasGeneratedBy the tool call
selection      Activity Step               used the scores and branches
=============  ==========================  =====================================================

A stated claim is a `stated` relation from the decision's step to the source's step; an available one is `inferred`,
because nobody said it. Nodes carry the structure's version: what a later version no longer has keeps the older number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from auditor.projection.names import claim_node, model_node, record_node, run_key, run_node
from auditor.records.messages import Span
from auditor.records.structure import Claim, ModelCall, Step, Structure
from graph import Grade, Kind, Node, Relation, short

LABEL = 80
_NODES: Mapping[str, tuple[Kind, str]] = {
    "prompt": ("Entity", "Prompt"), "tool_result": ("Entity", "DataObject"), "thought": ("Entity", "ResponseData"),
    "branch": ("Entity", "ResponseData"), "score": ("Entity", "ResponseData"), "answer": ("Entity", "ResponseData"),
    "model_call": ("Activity", "AIModelInvocation"), "tool_call": ("Activity", "AgentTool"),
    "selection": ("Activity", "Step"),
}  # fmt: skip


@dataclass
class Mapped:
    """What a record becomes, in the order it was said."""

    nodes: list[Node] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)


class StepFinder:
    """The step whose text a span lies in; the smallest where several do."""

    def __init__(self, structure: Structure) -> None:
        self._by_part: dict[tuple[str, int], list[Step]] = {}
        self._by_message: dict[str, list[Step]] = {}
        for step in structure.steps:
            if step.span is not None:
                self._by_part.setdefault((step.span.message, step.span.part), []).append(step)
                self._by_message.setdefault(step.span.message, []).append(step)

    def at(self, span: Span) -> Step | None:
        inside = [
            step
            for step in self._by_part.get((span.message, span.part), ())
            if step.span is not None and step.span.start <= span.start and span.end <= step.span.end
        ]
        return min(inside, key=_extent, default=None)

    def of_message(self, message: str) -> list[Step]:
        return self._by_message.get(message, [])


def map_structure(project: str, structure: Structure) -> Mapped:
    """Nodes and relations of one run. Pure; the same record gives the same graph."""
    key = run_key(project, structure.run)
    out = Mapped()
    out.nodes.append(_run(key, structure))
    for alias in structure.aliases:
        out.relations.append(_link(run_node(run_key(project, alias)), run_node(key), "alternateOf", key))
    steps = {step.id: step for step in structure.steps}
    own_calls = {step.call: step for step in structure.steps if step.kind == "model_call"}
    for step in structure.steps:
        kind, type_ = _NODES[step.kind]
        attrs = {"kind": step.kind, "order": step.order, "version": structure.version, "message": step.message}
        out.nodes.append(
            Node(id=step.id, kind=kind, type=type_, run=key, label=short(step.label, LABEL), at=step.at, attrs=attrs)
        )
        member = "hasMemberActivity" if kind == "Activity" else "hadMember"
        out.relations.append(_link(run_node(key), step.id, member, key))
        out.relations += _cause(step, steps, own_calls, key)
    out.relations += _calls(structure, own_calls, key, out)
    out.relations += _selections(structure, key)
    out.relations += _values(structure, key)
    for claim in structure.claims:
        out.nodes.append(_claim(key, claim, structure))
        out.relations += claim_relations(key, claim)
    return out


def claim_relation(key: str, claim: Claim, attrs: Mapping[str, str | int | float | bool | None]) -> Relation:
    """The relation that says a claim; `stated` where the agent said it, else `inferred`."""
    grade: Grade = "stated" if claim.status == "stated" else "inferred"
    return Relation(source=claim.target_step, target=claim.source_step, type="wasInfluencedBy", grade=grade, run=key,
                    key=claim.id, attrs={"claim": claim.id, "claim_type": claim.type, **attrs})  # fmt: skip


def claim_relations(key: str, claim: Claim) -> list[Relation]:
    """The claim itself, and its node tied to both of its ends."""
    node = claim_node(key, claim.id)
    own = claim_relation(key, claim, {"rule": claim.found_by, "status": claim.status})
    ends = [("target", claim.target_step), ("source", claim.source_step)]
    return [own, *(_link(node, step, "wasDerivedFrom", key, name=end) for end, step in ends)]


def _run(key: str, structure: Structure) -> Node:
    broken = sum(not finding.holds for finding in structure.findings)
    return Node(
        id=run_node(key), kind="Activity", type="Run", run=key, label=short(structure.title, LABEL),
        at=structure.started,
        attrs={
            "kind": "run", "agent": structure.agent, "model": structure.model, "origin": structure.origin,
            "version": structure.version, "steps": len(structure.steps), "claims": len(structure.claims),
            "findings": len(structure.findings), "findings_broken": broken, "gaps": len(structure.gaps),
            "ended": structure.ended,
        },
    )  # fmt: skip


def _cause(step: Step, steps: Mapping[str, Step], own_calls: Mapping[str | None, Step], key: str) -> Iterator[Relation]:
    """From a step to its parent; and to the model call that wrote it, where that is not the parent."""
    parent = steps.get(step.parent or "")
    if parent is not None:
        yield Relation(source=step.id, target=parent.id, type=_type(step, parent), grade=step.grade, run=key,
                       attrs={"rule": step.rule})  # fmt: skip
    writer = own_calls.get(step.call)
    if writer is not None and step.kind != "model_call" and (parent is None or parent.id != writer.id):
        yield _link(step.id, writer.id, _type(step, writer), key)


def _type(step: Step, earlier: Step) -> str:
    ends = (_NODES[step.kind][0], _NODES[earlier.kind][0])
    return {
        ("Entity", "Activity"): "wasGeneratedBy", ("Entity", "Entity"): "wasDerivedFrom",
        ("Activity", "Entity"): "used", ("Activity", "Activity"): "wasInformedBy",
    }[ends]  # type: ignore[index]  # fmt: skip


def _calls(structure: Structure, own_calls: Mapping[str | None, Step], key: str, out: Mapped) -> Iterator[Relation]:
    """What each call read that the call it continues had not read, which model ran it, and which record it is from."""
    finder = StepFinder(structure)
    writers: dict[str, ModelCall] = {}
    builds: set[str] = set()
    known = {call.id for call in structure.calls}
    for call in structure.calls:
        step = own_calls[call.id]
        build = model_node(call.model, call.model_digest)
        if build not in builds:
            builds.add(build)
            attrs = {"kind": "model", "digest": call.model_digest}
            out.nodes.append(
                Node(id=build, kind="Agent", type="ModelBuild", label=short(call.model, LABEL), attrs=attrs)
            )
        yield _link(step.id, build, "wasAssociatedWith", key)
        kind = "transcript" if structure.origin == "import" else "exchange"
        yield _link(step.id, record_node(kind, call.record), "hadPrimarySource", key)
        if call.retry_of in known:
            attrs_retry = {"rule": "retry", "link_type": "RETRY_OF"}
            yield Relation(source=step.id, target=own_calls[call.retry_of].id, type="wasInformedBy", grade="recorded",
                           run=key, key="RETRY_OF", attrs=attrs_retry)  # fmt: skip
        fresh, told = call.inputs, False
        for index in range(len(call.inputs) - 1, -1, -1):
            before = writers.get(call.inputs[index])
            if before is not None and before.id != call.id:
                fresh = call.inputs[index:]
                yield _link(step.id, own_calls[before.id].id, "wasInformedBy", key, rule="echoed_output")
                told = before.id == call.continues
                break
        if call.continues in known and not told:
            yield _link(step.id, own_calls[call.continues].id, "wasInformedBy", key, rule="previous_response_id",
                        name="continues")  # fmt: skip
        for message in fresh:
            for read in finder.of_message(message):
                if read.id != step.parent:
                    yield _link(step.id, read.id, _type(step, read), key, rule="in_request")
        for output in call.outputs:
            writers.setdefault(output, call)


def _selections(structure: Structure, key: str) -> Iterator[Relation]:
    scores = {step.parent: step for step in structure.steps if step.kind == "score"}
    parents = {step.id: step.parent for step in structure.steps}
    for selection in structure.selections:
        for candidate in selection.candidates:
            for used in (candidate, scores[candidate].id if candidate in scores else ""):
                if used and used != parents.get(selection.step):
                    yield _link(selection.step, used, "used", key, rule="selection_event")


def _values(structure: Structure, key: str) -> Iterator[Relation]:
    """The same value at two places: a guess that the later one came from the earlier one."""
    finder = StepFinder(structure)
    for link in structure.links:
        later = finder.at(link.later)
        for span in (link.earlier, *link.others):
            earlier = finder.at(span)
            if later is not None and earlier is not None and later.id != earlier.id:
                value = short(link.value, 60)
                yield Relation(source=later.id, target=earlier.id, type="wasDerivedFrom", grade="inferred", run=key,
                               key=f"value:{value}", label=value, attrs={"rule": f"value_{link.rule}"})  # fmt: skip


def _claim(key: str, claim: Claim, structure: Structure) -> Node:
    attrs: dict[str, str | int | float | bool | None] = {
        "kind": "claim", "claim": claim.id, "claim_type": claim.type, "status": claim.status,
        "relation": claim.relation, "found_by": claim.found_by, "version": structure.version,
    }  # fmt: skip
    return Node(id=claim_node(key, claim.id), kind="Entity", type="Claim", run=key, label=short(claim.text, LABEL),
                attrs=attrs)  # fmt: skip


def _link(source: str, target: str, type_: str, key: str | None, *, rule: str = "", name: str = "") -> Relation:
    """A recorded relation."""
    return Relation(source=source, target=target, type=type_, grade="recorded", run=key, key=name,
                    attrs={"rule": rule} if rule else {})  # fmt: skip


def _extent(step: Step) -> tuple[int, int]:
    return (step.span.end - step.span.start if step.span is not None else 0, step.order)
