"""`evidence` and `verdict` records → nodes, and relations of the grade their kind has earned.

============  =========  ======================================================================
kind          grade      relation from the decision's step
============  =========  ======================================================================
intervention  causal     to the source's step, one per family that was run: effect, low, high, unit, n
provenance    read       to each step that was read, `effect` = share of attention: read, not relied on
attribution   inferred   to each step that was ranked, with its score; ranks, never decides
feature       inferred   to each feature, with its score
influence     inferred   to each training document, with its score
record        none       the finding hangs on the claim
============  =========  ======================================================================

Controls (placebo, decoy) are not relations: they say what nothing looks like.
"""

from collections.abc import Mapping

from auditor.projection.names import claim_node, feature_node, model_node, record_node, run_key, run_node, training_node
from auditor.projection.run_mapping import LABEL, Mapped, StepFinder, claim_relation
from auditor.records.evidence import Estimate, Evidence, Source
from auditor.records.structure import Claim, Structure
from auditor.records.verdict import Verdict
from graph import Grade, Node, Relation, short

_CONTROLS = frozenset({"placebo", "decoy"})
_GRADES: Mapping[str, Grade] = {"intervention": "causal", "provenance": "read"}
Scalars = dict[str, str | int | float | bool | None]


def map_evidence(project: str, record_id: str, evidence: Evidence, structure: Structure | None) -> Mapped:
    """The evidence's node, tied to its claim, and what it found. `structure` is the run's latest before the record."""
    key = run_key(project, evidence.run)
    out = Mapped()
    node = record_node("evidence", record_id)
    claim = _claim(structure, evidence.claim)
    out.nodes.append(Node(
        id=node, kind="Entity", type="Evidence", run=key, label=short(evidence.detail or evidence.method, LABEL),
        attrs={
            "kind": "evidence", "evidence_kind": evidence.kind, "method": evidence.method, "reason": evidence.reason,
            "note": short(evidence.note, 200), "surrogate": evidence.surrogate, "claim": evidence.claim,
        },
    ))  # fmt: skip
    if evidence.claim is not None:
        out.relations.append(Relation(source=node, target=claim_node(key, evidence.claim), type="wasDerivedFrom",
                                      grade="recorded", run=key))  # fmt: skip
    if structure is None or evidence.reason is not None:
        return out
    finder = StepFinder(structure)
    step = finder.at(evidence.target)
    decided = claim.target_step if claim is not None else step.id if step is not None else None
    if decided is None:
        return out
    common: Scalars = {"method": evidence.method, "evidence": record_id, "claim": evidence.claim}
    if evidence.surrogate:
        common["surrogate"] = True
    if evidence.kind == "intervention":
        out.relations += _arms(key, evidence, claim, decided, common)
    if evidence.kind in ("provenance", "attribution") or (evidence.kind == "intervention" and not evidence.arms):
        out.relations += _steps(key, evidence, finder, decided, common)
    elif evidence.kind in ("feature", "influence"):
        _refs(key, evidence, structure, decided, common, out)
    return out


def map_verdict(project: str, record_id: str, verdict: Verdict, structure: Structure | None) -> Mapped:
    """The verdict's node, and its word on the claim's node and on the relation that says the claim."""
    key = run_key(project, verdict.run)
    out = Mapped()
    node, claim_id = record_node("verdict", record_id), claim_node(key, verdict.claim)
    said: Scalars = {"verdict": verdict.verdict, "reason": verdict.reason, "disclosed": verdict.disclosed,
                     "verdict_record": record_id}  # fmt: skip
    measured = _numbers(verdict.effect)
    out.nodes.append(Node(
        id=node, kind="Entity", type="Verdict", run=key, label=short(verdict.text, LABEL),
        attrs={"kind": "verdict", "claim": verdict.claim, "protocol": verdict.protocol, "method": verdict.method,
               **said, **measured},
    ))  # fmt: skip
    claim = _claim(structure, verdict.claim)
    label = short(claim.text, LABEL) if claim is not None else ""
    out.nodes.append(Node(id=claim_id, kind="Entity", type="Claim", run=key, label=label,
                          attrs={"kind": "claim", "claim": verdict.claim, **said, **measured}))  # fmt: skip
    out.relations.append(Relation(source=node, target=claim_id, type="wasDerivedFrom", grade="recorded", run=key))
    for cited in verdict.evidence:
        out.relations.append(Relation(source=node, target=record_node("evidence", cited), type="wasDerivedFrom",
                                      grade="recorded", run=key))  # fmt: skip
    if claim is not None:
        # An inferred or stated relation keeps no `effect`: that word belongs to what an intervention measured.
        out.relations.append(claim_relation(key, claim, said))
    return out


def map_audit(project: str, record_id: str, run: str, requested_by: str, protocol: str) -> Mapped:
    """Somebody asked for an audit of a run."""
    key = run_key(project, run)
    node = Node(id=record_node("audit", record_id), kind="Activity", type="AuditTest", run=key,
                label=short(f"audit asked for by {requested_by}", LABEL),
                attrs={"kind": "audit", "protocol": protocol})  # fmt: skip
    used = Relation(source=node.id, target=run_node(key), type="used", grade="recorded", run=key)
    return Mapped(nodes=[node], relations=[used])


def _arms(key: str, evidence: Evidence, claim: Claim | None, decided: str, common: Scalars) -> list[Relation]:
    if claim is None:
        return []
    found = []
    for arm in evidence.arms:
        if arm.family in _CONTROLS or arm.mean.value is None or claim.source_step == decided:
            continue
        tracks = arm.tracks.value if arm.tracks is not None else None
        found.append(Relation(
            source=decided, target=claim.source_step, type="wasInfluencedBy", grade="causal", run=key,
            key=f"{claim.id}:{evidence.method}:{arm.family}", label=arm.family,
            attrs={**common, **_numbers(arm.mean), "family": arm.family, "n": arm.n, "tracks": tracks},
        ))  # fmt: skip
    return found


def _steps(key: str, evidence: Evidence, finder: StepFinder, decided: str, common: Scalars) -> list[Relation]:
    """One relation per step; sources inside one step are added up."""
    grade: Grade = _GRADES.get(evidence.kind, "inferred")
    totals: dict[str, list[Source]] = {}
    for source in evidence.sources:
        step = finder.at(source.span) if source.span is not None else None
        if step is not None and step.id != decided and source.effect.value is not None:
            totals.setdefault(step.id, []).append(source)
    found = []
    for step_id, sources in totals.items():
        total = sum(source.effect.value or 0.0 for source in sources)
        attrs: Scalars = {**common, "unit": sources[0].effect.unit, "sources": len(sources)}
        if len(sources) == 1:
            attrs |= _numbers(sources[0].effect)
        attrs["score" if grade == "inferred" else "effect"] = total
        if grade == "inferred":
            attrs.pop("effect", None)
        found.append(Relation(source=decided, target=step_id, type="wasInfluencedBy", grade=grade, run=key,
                              key=f"{evidence.claim or ''}:{evidence.method}", attrs=attrs))  # fmt: skip
    return found


def _refs(key: str, evidence: Evidence, structure: Structure, decided: str, common: Scalars, out: Mapped) -> None:
    """Features of a model, or documents it was trained on."""
    call = next((call for call in structure.calls if call.id == evidence.call), None)
    name, digest = (call.model, call.model_digest) if call is not None else (structure.model, "unknown")
    training = evidence.kind == "influence"
    for source in evidence.sources:
        if source.ref is None:
            continue
        node = training_node(digest, source.ref) if training else feature_node(digest, source.ref)
        out.nodes.append(Node(
            id=node, kind="Entity", type="TrainingDocument" if training else "Feature",
            label=short(source.label, LABEL),
            attrs={
                "kind": "training_document" if training else "feature", "ref": short(source.ref, 200), "model": name,
            },
        ))  # fmt: skip
        out.relations.append(Relation(source=node, target=model_node(name, digest), type="wasAttributedTo",
                                      grade="recorded"))  # fmt: skip
        numbers = _numbers(source.effect)
        out.relations.append(Relation(
            source=decided, target=node, type="wasInfluencedBy", grade="inferred", run=key,
            key=f"{evidence.claim or ''}:{evidence.method}",
            attrs={**common, "score": numbers.pop("effect"), **numbers},
        ))  # fmt: skip


def _numbers(estimate: Estimate) -> Scalars:
    """An estimate as attributes; a missing one says why."""
    interval = estimate.interval
    numbers: Scalars = {"effect": estimate.value, "unit": estimate.unit}
    if interval is not None:
        numbers |= {"low": interval.low, "high": interval.high, "level": interval.level, "n": interval.n}
    if estimate.value is None:
        numbers["reason"] = estimate.reason
    return numbers


def _claim(structure: Structure | None, claim: str | None) -> Claim | None:
    if structure is None or claim is None:
        return None
    return next((one for one in structure.claims if one.id == claim), None)
