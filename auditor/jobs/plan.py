"""What has to be done to audit a run: pure, so that the same question always gives the same jobs.

    prepare (once per model digest, only where a method needs a dictionary or an influence index)
       └── evidence (one per model call that has claims, or whose replay can be checked)
              └── judge (one per run; waits for all the others)

A job's id is its content key: the hash of everything its answer depends on (claims, method versions, model digest,
budget). The same audit asked twice is therefore the same jobs, and is not run twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.evidence.protocol import MethodSpec, Need
from auditor.models import ModelEntry, ModelsTable
from auditor.records.canonical import content_id
from auditor.records.structure import Claim, ModelCall, Structure

PREPARED: tuple[Need, ...] = ("dictionary", "influence_index")
"""What has to be built from a model before a method can use it."""


@dataclass(frozen=True, kw_only=True)
class Requires:
    """What a worker must have. `model` is a weights digest; None when no weights are needed or none are known."""

    model: str | None = None
    device: str = "cpu"
    memory: int | None = None
    """MiB; None when unknown."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One unit of work. `payload` is JSON and is all that its handler is told."""

    id: str
    """Content key, 64 hexadecimal digits."""
    kind: str
    """`prepare`, `evidence` or `judge`; names the handler."""
    run: str | None
    """None for `prepare`, which serves every run of a model."""
    payload: Mapping[str, Any]
    requires: Requires = field(default_factory=Requires)
    depends: tuple[str, ...] = ()
    """Ids of jobs that must have ended (well or not) before this one may start."""
    project: str = "default"


def plan(
    structure: Structure,
    structure_id: str,
    claims: Sequence[Claim],
    models: ModelsTable,
    methods: Sequence[MethodSpec],
    options: Mapping[str, Any],
    *,
    protocol: str = "EP-1.0",
    project: str = "default",
) -> list[JobSpec]:
    """Jobs in an order that respects their dependencies; the last is the judge's.

    `structure_id` is the id of the structure record; `options` is the audit's budget (`replicates`, `max_seconds`,
    `device`, `memory`…), JSON. Claims whose call is not in the structure get no evidence job: the judge says so.
    """
    about_calls = [spec for spec in methods if spec.per_call]
    preparations: dict[str, JobSpec] = {}
    answers: list[JobSpec] = []
    for call in structure.calls:
        asked = sorted(claim.id for claim in claims if claim.call == call.id)
        entry = models.match(call.model)
        chosen = list(methods) if asked else about_calls if entry is not None else []
        if not chosen:
            continue
        needed = _prepare(entry, chosen, options, project) if entry is not None else None
        if needed is not None:
            preparations[needed.id] = needed
        payload = {
            "run": structure.run, "structure": structure_id, "call": call.id, "claims": asked,
            "methods": [spec.name for spec in chosen],
            "options": dict(options),
        }  # fmt: skip
        answers.append(JobSpec(
            id=_evidence_key(structure, call, asked, chosen, entry, options),
            kind="evidence", run=structure.run, payload=payload, requires=_requires(entry, options), project=project,
            depends=(needed.id,) if needed is not None else (),
        ))  # fmt: skip
    judge = {"run": structure.run, "structure": structure_id, "protocol": protocol}
    depends = tuple(job.id for job in answers)
    key = content_id({"kind": "judge", **judge, "project": project, "evidence": depends})
    return [
        *preparations.values(), *answers,
        JobSpec(id=key, kind="judge", run=structure.run, payload=judge, depends=depends, project=project),
    ]  # fmt: skip


def _evidence_key(
    structure: Structure, call: ModelCall, claims: list[str], methods: Sequence[MethodSpec],
    entry: ModelEntry | None, options: Mapping[str, Any],
) -> str:  # fmt: skip
    # the structure record's id is left out on purpose: a run that grew keeps the evidence on its earlier calls
    return content_id({
        "kind": "evidence", "run": structure.run, "code": structure.code, "call": call.id, "claims": claims,
        "methods": [spec.id for spec in methods], "digest": entry.digest if entry else None,
        "recorded_digest": call.model_digest, "options": dict(options),
    })  # fmt: skip


def _prepare(
    entry: ModelEntry, methods: Sequence[MethodSpec], options: Mapping[str, Any], project: str
) -> JobSpec | None:
    wanted = sorted({need for spec in methods for need in spec.needs if need in PREPARED})
    if entry.training_corpus is None:
        # both are built from the corpus; a dictionary that ships with the model needs no building either
        wanted = []
    if not wanted:
        return None
    payload = {"model": entry.name, "digest": entry.digest, "what": wanted}
    key = content_id({"kind": "prepare", **payload})
    return JobSpec(
        id=key, kind="prepare", run=None, payload=payload, requires=_requires(entry, options), project=project
    )


def _requires(entry: ModelEntry | None, options: Mapping[str, Any]) -> Requires:
    return Requires(
        model=entry.digest if entry is not None else None,
        device=str(options.get("device", "cpu")),
        memory=options.get("memory"),
    )
