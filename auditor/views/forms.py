"""Answers of the audit API, as types: the OpenAPI document and the dashboard are both drawn from them."""

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from auditor.records.evidence import Evidence
from auditor.records.exchange import Gap, Outcome, Times
from auditor.records.messages import Cost, Part, Role, Usage
from auditor.records.structure import (
    Branch,
    Citation,
    Claim,
    Document,
    Finding,
    SampleSet,
    Selection,
    Step,
    ValueLink,
)
from auditor.records.verdict import Verdict
from auditor.views.commands import Watermark

T = TypeVar("T")
Grade = Literal["recorded", "inferred", "stated", "read", "causal"]
Where = Literal["request", "response", "header", "path"]
NoCost = Literal["no price", "not given"]
"""The price table has no entry for the model (or not for all of its usage), or the provider gave no usage."""
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


class UsageView(BaseModel):
    """Sums over the calls that say so; null where no call does. `input` counts what was read from cache too."""

    calls: int
    input: int | None
    output: int | None
    cache_read: int | None = Field(description="Part of input.")
    cache_write: int | None = Field(description="Part of input.")
    reasoning: int | None = Field(description="Part of output.")
    without_tokens: int = Field(description="Calls for which the provider gave no usage: the sums leave them out.")
    without_output: int = Field(description="Those of them that have no output either, e.g. failed attempts.")
    cost: str | None = Field(description="US dollars, exact decimal text, over the calls that have a cost.")
    without_price: int = Field(description="Calls with usage for which the price table has no entry.")
    prices: list[str] = Field(description="Versions of the price tables that were used.")


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
    usage: UsageView


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


class BranchView(BaseModel):
    """One state of a tree of thoughts."""

    branch: Branch
    text: str | None = Field(description="Recorded text (at most 400 characters): untrusted. Null where it was erased.")


class DocumentView(BaseModel):
    """One retrieved text, with the citations that resolve to it."""

    document: Document
    text: str | None = Field(description="Recorded text (at most 400 characters): untrusted. Null where it was erased.")
    cited: int = Field(description="Citations in answers that resolve to it.")


class ShapeView(BaseModel):
    """The forms a run's reasoning takes beside the plain order of its steps; empty lists where it has none."""

    branches: list[BranchView]
    selections: list[Selection]
    samples: list[SampleSet]
    documents: list[DocumentView]
    citations: list[Citation]


class RedactionView(BaseModel):
    """What one rule masked in one place before anything was stored."""

    rule: str
    where: Where
    count: int = Field(description="Places that were masked.")
    values: int = Field(description="Different values among them.")


class CallView(BaseModel):
    """One model call: what it used and cost, how long it took, how it ended."""

    id: str
    number: int = Field(description="Its place among the calls of the run, from 1.")
    record: str = Field(description="The exchange, span or transcript it was read from.")
    step: str | None = Field(description="The step that stands for it.")
    model: str = Field(description="Recorded text: untrusted.")
    dialect: str | None
    at: str | None
    purpose: str | None
    agent: str | None = Field(description="Recorded text: untrusted.")
    spans: int = Field(description="Spans that tell of the same call.")
    outputs: int
    retry_of: str | None = Field(description="The failed attempt it repeats, a call id.")
    continues: str | None = Field(
        description="The call whose answer it named (`previous_response_id`), or the one before it in its conversation."
    )
    tokens: Usage | None = Field(description="Null where the provider gave no usage.")
    cost: Cost | None
    no_cost: NoCost | None = Field(description="Why there is no cost.")
    status: int | None = Field(description="HTTP status; null for calls known from spans or transcripts only.")
    outcome: Outcome | None = Field(description="How the exchange ended; null where there was none.")
    unparsed: str | None = Field(description="Why its body could not be read.")
    times: Times | None
    first_content_ms: float | None = Field(description="Milliseconds from the request to the first text or reasoning.")
    total_ms: float | None = Field(description="Milliseconds from the request to the last byte.")
    redactions: list[RedactionView]
    missing: str | None = Field(description="Why the record's own facts (times, outcome) cannot be shown.")


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
