"""What one run consists of: calls, steps, claims, value links and findings. Body of a `structure` record.

A later `structure` record of the same run (higher `version`) replaces the earlier one. All ids are content hashes, so
that the same recorded facts give the same ids on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from auditor.records.canonical import content_id
from auditor.records.lines import Line, joined
from auditor.records.messages import Cost, Role, Span, Usage

StepKind = Literal[
    "prompt",  # what the user or system asked
    "model_call",  # one call of the model; parent of what it produced
    "thought",  # reasoning text, one step of a chain
    "tool_call",  # the model asked for a tool
    "tool_result",  # what the tool gave back
    "branch",  # one proposed option of a tree
    "score",  # the value given to a branch
    "selection",  # which branch was taken
    "answer",  # what the run concluded
]

ClaimType = Literal[
    "step_answer", "thought_action", "tool_answer", "tool_action", "prompt_answer", "score_branch", "branch_answer",
    "document_answer",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PlacedPayload:
    """A message of the run and where its JSON (records.wire form) is stored."""

    id: str
    """Chained from a root that covers project and run: the same words in two runs are two messages."""
    parent: str | None
    """The message before it; the run's root for the first."""
    role: Role
    payload: str
    """Ledger payload address."""


@dataclass(frozen=True, kw_only=True)
class ModelCall:
    """One call: which messages went in, which came out. `inputs` ends with the last message the model saw."""

    id: str
    record: str
    model: str
    model_digest: str
    dialect: str | None
    inputs: Line
    outputs: tuple[str, ...]
    tools: str | None
    """Payload address of the tool schemas (JSON array), or None."""
    settings: Mapping[str, object]
    at: str | None
    purpose: str | None = None
    agent: str | None = None
    """Name of the agent that made it, where a span says so."""
    spans: tuple[str, ...] = ()
    """Ids of the span records that tell of this call."""
    logprobs: tuple[float, ...] | None = None
    """Log-probabilities of the output tokens of choice 0 where the upstream gave them, nats; else None."""
    tokens: Usage | None = None
    """What it read and wrote, in one arithmetic for all dialects; None where the provider did not say."""
    cost: Cost | None = None
    """By the price table named in it; None where the table has no entry or tokens are unknown."""
    retry_of: str | None = None
    """Id of the call (a failed attempt) that this one repeats."""
    continues: str | None = None
    """Id of the call whose answer this one named (`previous_response_id`) or that preceded it in its conversation."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing the agent did. `span` is the text it consists of (None for a model call)."""

    id: str
    kind: StepKind
    parent: str | None
    call: str | None
    """Id of the model call that produced it, or None for what came from outside."""
    message: str | None
    span: Span | None
    label: str
    """Short text for lists, at most 80 characters."""
    order: int
    """Position in the run, from 0."""
    at: str | None
    grade: Literal["recorded", "inferred"] = "recorded"
    rule: str = ""
    """The rule that tied it to its parent."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A stated (or merely available) dependence to be tested: these sources moved that decision."""

    id: str
    type: ClaimType
    status: Literal["stated", "available"]
    relation: Literal["depends_on", "independent_of"]
    sources: tuple[Span, ...]
    """What is said to have mattered: the value itself where one is shared, else the whole step."""
    target: Span
    """Decision bytes only: the number, name or argument, never the sentence around it."""
    source_step: str
    target_step: str
    call: str
    """The model call whose output contains the target (for score_branch: the call that scored the chosen branch)."""
    found_by: str
    """Rule and cue that found it, e.g. `shared_value+according_to`."""
    text: str
    """One plain sentence: what is claimed."""


def claim_id(type: str, sources: tuple[Span, ...], target: Span, relation: str) -> str:
    """Hash of {type, sources, target, relation}; how the claim was found is not part of it."""
    return content_id({
        "type": type, "sources": [vars(span) for span in sources], "target": vars(target), "relation": relation,
    })  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ValueLink:
    """The same recorded value at two places; the later one may have come from the earlier one."""

    earlier: Span
    later: Span
    value: str
    """Normal form of the value."""
    rule: Literal["copy", "sum", "difference", "product", "quotient"]
    others: tuple[Span, ...] = ()
    """Further operands of a derivation."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What an exact record check found; `places` are quoted side by side."""

    check: str
    holds: bool
    """False when the record contradicts what was said."""
    message: str
    places: tuple[Span, ...]
    claim: str | None = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A branch selector's recorded inputs and choice."""

    step: str
    selector: str
    scores: tuple[float, ...]
    candidates: tuple[str, ...]
    """Branch step ids, in the order of scores; empty text where a branch could not be found."""
    chosen: int
    """Index of the one taken; of several that were kept, the first."""
    kept: tuple[int, ...] = ()
    """Indices of all that were kept, in the selector's order; empty where only `chosen` was."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A node of a tree of thoughts. Its text is its step's span: what it adds to its parent's state."""

    step: str
    parent: str | None
    """Step of the branch it grows from; None at the root."""
    depth: int
    """From 1."""
    score: float | None
    """What it was valued at; None where nobody scored it."""
    scored_by: str | None
    """Step that scored it; None where only a recorder's event says the score, or nothing does."""
    fate: Literal["kept", "pruned", "open"]
    """`open` where no selection says what became of it."""


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """Several answers to one prompt (n > 1 choices, or a call repeated) and how they agree. Rows are parallel."""

    prompt: str
    """Id of the last message all samples saw."""
    calls: tuple[str, ...]
    steps: tuple[str, ...]
    """Answer step of each sample; empty text where it gave none."""
    answers: tuple[str | None, ...]
    """Normal form of each answer (values compare, wording does not); None where it gave none."""
    votes: Mapping[str, int]
    """Normal form -> how many gave it."""
    winner: str | None
    """The answer with most votes; None where none was given or several share the most."""
    agreement: float
    """Share of all samples that gave the winner (or one of the tied), 0 to 1."""
    stated: Span | None
    """Where the run itself says what was voted for."""
    grade: Literal["recorded", "inferred"]
    rule: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """A retrieved text, cut out of a tool result or a prompt."""

    id: str
    """Hash of {step, span}."""
    step: str
    """The tool result or prompt it stands in."""
    span: Span
    name: str | None
    """Its id, title or address as recorded."""
    digest: str
    """SHA-256 of its text: the same text retrieved twice has one digest."""
    score: float | None
    """The retriever's score, where recorded."""
    rank: int
    """Place among the documents of its step, from 0."""
    rule: str


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A mark in an answer (`[2]`, `(Doe 2020)`, `source: handbook.md`) and the document it resolves to."""

    mark: Span
    sentence: Span
    """What the mark is there to support."""
    document: str | None
    """Id of the document; None where the mark resolves to none."""
    rule: str


@dataclass(frozen=True, kw_only=True)
class Structure:
    run: str
    version: int
    code: str
    """Version of the structure rules, e.g. `structure@1`."""
    agent: str
    """`react`, `chain`, `tree` or `unknown`, by shape."""
    model: str
    origin: Literal["proxy", "otlp", "import"]
    records: tuple[str, ...]
    """Ids of the records it was made from."""
    messages: tuple[PlacedPayload, ...]
    calls: tuple[ModelCall, ...]
    steps: tuple[Step, ...]
    claims: tuple[Claim, ...]
    links: tuple[ValueLink, ...]
    findings: tuple[Finding, ...]
    selections: tuple[Selection, ...] = ()
    branches: tuple[Branch, ...] = ()
    samples: tuple[SampleSet, ...] = ()
    documents: tuple[Document, ...] = ()
    citations: tuple[Citation, ...] = ()
    title: str = ""
    started: str | None = None
    ended: str | None = None
    tags: str | None = None
    gaps: tuple[str, ...] = field(default_factory=tuple)
    """Sentences: what is known to be missing."""
    aliases: tuple[str, ...] = ()
    """Other run ids that were merged into this one."""

    def __post_init__(self) -> None:
        parents = {message.id: message.parent for message in self.messages}
        calls = zip(self.calls, joined([call.inputs for call in self.calls], parents), strict=True)
        object.__setattr__(self, "calls", tuple(
            call if call.inputs is line else replace(call, inputs=line) for call, line in calls
        ))  # fmt: skip
