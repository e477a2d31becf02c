"""Answers of the audit API, as types: the OpenAPI document and the dashboard are both drawn from them."""

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from auditor.records.evidence import Evidence
from auditor.records.exchange import Gap
from auditor.records.messages import Part, Role
from auditor.records.structure import Claim, Finding, Selection, Step, ValueLink
from auditor.records.verdict import Verdict
from auditor.views.commands import Watermark

T = TypeVar("T")
Grade = Literal["recorded", "inferred", "stated", "read", "causal"]
_RUN: dict[str, JsonValue] = {
    "run": "shop-042",
    "title": "How much are four lamps?",
    "agent": "react",
    "model": "tool-user",
}


class Page(BaseModel, Generic[T]):
    """One page of a list whose order never changes; give `next` back as `cursor`, null means the end."""

    items: list[T]
    next: str | None = None


class Problem(BaseModel):
    """RFC 9457 problem details, with a stable `code`, the `field` that is wrong and what to do about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "no run is called 'shop-9'",
                    "instance": "/api/v1/runs/shop-9",
                    "code": "not_found",
                    "field": "run",
                    "fix": "list the runs with GET /api/v1/runs",
                }
            ]
        }
    )
    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    field: str | None
    fix: str


class VerdictCounts(BaseModel):
    """Claims of the run by current verdict; `untested` claims have none yet."""

    relied_on: int
    decorative: int
    contradicted: int
    undetermined: int
    untested: int


class FidelityView(BaseModel):
    """How well the calls of the run could be reproduced. Numbers are null where no call was compared; see `reason`."""

    calls: int = Field(description="Calls that were compared.")
    tokens: int = Field(description="Output tokens compared.")
    argmax_agreement: float | None = Field(description="Share of tokens the replay puts first, worst call, 0 to 1.")
    max_logprob_gap: float | None = Field(
        description="Largest gap to the recorded ones, nats; null where none were recorded."
    )
    refused: int = Field(description="Calls that could not be reproduced.")
    reason: str | None = Field(description="Why there is no figure, or why calls were refused.")


class RunRow(BaseModel):
    """A run in a list."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RUN]})
    run: str
    title: str = Field(description="Recorded text: untrusted.")
    agent: str
    model: str
    origin: str
    tags: str | None
    started: str | None
    ended: str | None
    recorded_at: str
    position: int = Field(description="Ledger position of the latest record about the run.")
    steps: int
    calls: int
    claims: int
    verdicts: VerdictCounts
    failed_findings: int
    gaps: int
    fidelity: FidelityView


class GapView(BaseModel):
    record: str | None
    gap: Gap


class RunView(RunRow):
    """A run in full, without its steps and messages."""

    structure: str = Field(description="Record id of the structure shown.")
    structure_version: int
    code: str
    records: list[str] = Field(description="Records it was made from.")
    aliases: list[str]
    messages: int
    known_gaps: list[GapView]
    evidence: Mapping[str, int] = Field(description="Evidence records that carry a number, by kind.")
    audits: list[str]
    outcome: str | None = Field(description="Step that concluded the run: its last answer, else its last step.")
    selections: list[Selection]
    links: list[ValueLink]


class StepView(BaseModel):
    """One step, with how deep it lies in the tree and the text it consists of (at most 400 characters)."""

    step: Step
    depth: int
    children: int
    excerpt: str | None = Field(description="Recorded text: untrusted. Null where a step has no text or it was erased.")
    claims: list[str] = Field(description="Claims whose source or decision this step is.")


class MessageView(BaseModel):
    """A message; `parts` is null when its text is gone, and `missing` says why."""

    id: str
    parent: str | None
    role: Role
    name: str | None = None
    parts: list[Part] | None
    missing: str | None = None


class VerdictView(BaseModel):
    """A verdict and the record that holds it."""

    record: str
    position: int
    recorded_at: str
    verdict: Verdict


class ClaimRow(BaseModel):
    """A claim with its current verdict, null while it is untested, and the recorded texts it speaks of."""

    claim: Claim
    current: VerdictView | None
    source_texts: list[str | None]
    target_text: str | None


class ClaimView(ClaimRow):
    run: str
    model: str
    agent: str
    history: list[VerdictView] = Field(description="Every verdict, oldest first; the last one counts.")
    findings: list[Finding]
    evidence: Mapping[str, int] = Field(description="Evidence records on this claim by kind, with and without numbers.")


class MethodView(BaseModel):
    """One method of the catalogue."""

    id: str
    name: str
    kind: str
    title: str
    needs: list[str]
    unit: str
    cost: str
    reference: str
    blind_spots: str
    note: str


class EvidenceView(BaseModel):
    """Evidence with what its kind may prove."""

    record: str
    position: int
    recorded_at: str
    title: str
    may: str = Field(description="What this kind of evidence may do.")
    evidence: Evidence


class Replicate(BaseModel):
    """One draw of an arm; effect in nats."""

    effect: float | None = None
    margin: float | None = None
    tracks: bool | float | None = None
    replacement: str | None = None
    seed: str | int | None = None


class NodeView(BaseModel):
    id: str
    kind: str
    type: str
    run: str | None
    label: str
    at: str | None
    attrs: Mapping[str, Any]
    distance: int | None = Field(default=None, description="Fewest relations from where the question was asked.")
    support: Grade | None = Field(default=None, description="Weakest link of the firmest chain to the start.")


class RelationView(BaseModel):
    """Points from later to earlier."""

    id: str
    source: str
    target: str
    type: str
    grade: Grade
    label: str
    attrs: Mapping[str, Any]


class GraphView(BaseModel):
    nodes: list[NodeView]
    relations: list[RelationView]
    truncated: bool


class Sentence(BaseModel):
    """One relation in words."""

    grade: Grade
    text: str
    relation: str
    source: str
    target: str
    effect: float | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None


class WhyView(GraphView):
    """Backward slice of a step: everything it may come from, the kinds of knowledge told apart."""

    start: str
    run: str | None
    summary: str
    counts: Mapping[Grade, int]
    sentences: list[Sentence] = Field(
        description="Causal ones first, by size; then recorded, inferred, read, stated, nearest first."
    )
    chain: list[Sentence] = Field(description="The firmest chain from this step back to the earliest thing known.")
    behind: int = Field(description="Ledger records the graph has not applied yet.")


class AuditOrder(BaseModel):
    """What to audit; leave `methods` out for all that apply."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"methods": ["ablation", "attention"], "options": {"replicates": 32}}, {}]},
    )
    methods: list[str] | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class TicketView(BaseModel):
    audit: str
    jobs: list[str]
    progress: str = Field(description="Where to watch it.")


class JobsView(BaseModel):
    active: bool
    done: int
    total: int
    jobs: list[dict[str, Any]]


class RecordView(BaseModel):
    """A ledger record as it was hashed."""

    id: str
    position: int
    chain: str
    record: dict[str, Any]


class LedgerView(BaseModel):
    position: int = Field(description="Position of the last record, -1 when empty.")
    chain: str
    records: int


class Watermarks(BaseModel):
    """How far the facts of each project have come."""

    items: list[Watermark]


class VerificationView(BaseModel):
    """Integrity and completeness are two answers."""

    records: int
    payloads: int
    intact: bool
    complete: bool
    first_bad: int | None
    problems: list[str]
    position: int
    chain: str


class FacetsView(BaseModel):
    """What the filters of the run list can be set to, and totals over all runs."""

    models: list[str]
    agents: list[str]
    runs: int
    verdicts: VerdictCounts
