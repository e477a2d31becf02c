"""One claim with everything that may decide on it, and all claims of a run side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from auditor.errors import NotFound
from auditor.records.evidence import Evidence, Reason
from auditor.records.messages import Span
from auditor.records.structure import Claim, Structure
from auditor.records.verdict import VerdictWord
from auditor.verdict.draws import Draws, read_draws
from auditor.verdict.protocol import Cited, Payloads, Protocol

DECIDING = frozenset({"record", "intervention"})
"""Kinds of evidence that may decide. All others rank, show or name; the judge never reads them."""

KIND_OF_SOURCE: Mapping[str, str] = {
    "tool_answer": "tool", "tool_action": "tool", "document_answer": "document", "step_answer": "step",
    "thought_action": "step", "prompt_answer": "prompt", "score_branch": "score", "branch_answer": "branch",
}  # fmt: skip

REASON_ORDER: tuple[Reason, ...] = (
    "weights_changed", "weights_unavailable", "replay_mismatch", "nondeterministic", "redacted", "sentinel_failed",
    "budget", "off_distribution", "saturated", "noisy", "redundant", "surface_coded", "underpowered", "unsupported",
)  # fmt: skip
"""Where several pieces of evidence are missing for different reasons, the first of these is given."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One claim. `draws` holds the arms that ran; without them `reason` says why."""

    claim: Claim
    decider: Cited | None
    """The evidence whose arms decide: the newest usable intervention (for score_branch: the newest selector replay)."""
    draws: Mapping[str, Draws]
    skipped: Mapping[str, str]
    """Families that were not run, and why."""
    reason: Reason | None
    detail: str
    baseline_margin: float | None = None
    """The decision's log-odds against its strongest alternative as recorded, nats."""

    @property
    def kind(self) -> str:
        return KIND_OF_SOURCE[self.claim.type]

    @property
    def floor(self) -> float:
        return max((draws.floor for draws in self.draws.values()), default=0.0)

    @property
    def change(self) -> Draws | None:
        """S (or R): the source was replaced by something of its type."""
        return self.draws.get("swap") or self.draws.get("resample")

    @property
    def removal(self) -> Draws | None:
        """M: the source was hidden with positions kept; where that did not run, deleted."""
        return self.draws.get("mask") or self.draws.get("delete")

    @property
    def joint(self) -> Draws | None:
        """G: the source together with its duplicates."""
        return self.draws.get("joint")

    @property
    def copies(self) -> Draws | None:
        """The duplicates without the source."""
        return self.draws.get("copies")

    def explained_by_copies(self, bound: float, level: float) -> bool:
        """True when the duplicates move the decision by themselves: the joint arm then says nothing of the source."""
        return self.copies is not None and self.copies.beyond(bound, "greater") <= level


@dataclass(frozen=True, kw_only=True)
class Hypotheses:
    """p-values of one claim, adjusted within the run; rejected where ≤ the protocol's false discovery rate."""

    superiority: float
    reversal: float
    equivalence: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all rules may look at: the run, its cases and the thresholds computed over them."""

    structure: Structure
    structure_id: str
    protocol: Protocol
    cases: tuple[Case, ...]
    placebo_floor: float
    """95th percentile of |placebo and decoy effects|, pooled over the run, nats; 0 where none ran."""
    placebos: int
    """How many effects that percentile comes from."""
    hypotheses: Mapping[str, Hypotheses] = field(default_factory=dict)
    """By claim id, for claims that can be tested."""
    words: Mapping[str, VerdictWord] = field(default_factory=dict)
    """By claim id: verdicts before claims are compared with each other; empty until then."""

    def superiority_bound(self, case: Case) -> float:
        """Smallest effect of interest: raised by what irrelevant edits do, and by what the machine's noise does."""
        p = self.protocol
        return max(p.superiority_margin, self.placebo_floor, p.noise_factor * case.floor)

    def margin_bound(self, case: Case) -> float:
        """Largest change of the decision's margin that still counts as none."""
        p = self.protocol
        return max(p.margin_shift, p.margin_share * abs(case.baseline_margin or 0.0))


def overlap(one: Span, other: Span) -> bool:
    same = (one.message, one.part) == (other.message, other.part)
    return same and one.start < other.end and other.start < one.end


def sources_overlap(one: Claim, other: Claim) -> bool:
    return any(overlap(a, b) for a in one.sources for b in other.sources)


def build_case(claim: Claim, structure: Structure, cited: Sequence[Cited], payloads: Payloads) -> Case:
    """Choose what decides on a claim; `cited` is in ledger order, later evidence of one method replaces earlier."""
    wanted = "selector_swap" if claim.type == "score_branch" else None
    newest: dict[str, Cited] = {}
    for piece in cited:
        if piece.evidence.claim == claim.id and _may_decide(piece.evidence, wanted):
            newest.pop(piece.evidence.method, None)
            newest[piece.evidence.method] = piece
    refusals = []
    for piece in reversed(newest.values()):
        reason, detail = _unusable(piece.evidence, claim, structure)
        if reason is None:
            try:
                return _case(claim, piece, payloads)
            except NotFound:
                reason, detail = "redacted", "its raw effects were erased from the ledger"
        refusals.append((REASON_ORDER.index(reason), reason, detail))
    if refusals:
        _, reason, detail = min(refusals)
    else:
        reason, detail = _nothing(claim, structure, cited)
    return Case(claim=claim, decider=None, draws={}, skipped={}, reason=reason, detail=detail)


def _may_decide(evidence: Evidence, wanted: str | None) -> bool:
    """Selector replays decide on scores only, interventions on all else; a method that found nothing has no arms."""
    if evidence.kind not in DECIDING:
        return False
    families = {arm.family for arm in evidence.arms}
    if wanted is not None:
        return wanted in families or (evidence.kind == "record" and evidence.reason is not None)
    return evidence.kind == "intervention" and "selector_swap" not in families


def _unusable(evidence: Evidence, claim: Claim, structure: Structure) -> tuple[Reason | None, str]:
    if evidence.reason is not None:
        return evidence.reason, evidence.detail
    if evidence.surrogate:
        return "weights_unavailable", "only a surrogate model was tested, and it is not the model that decided"
    fidelity = evidence.fidelity
    if fidelity is not None and fidelity.argmax_agreement < 1:
        share = f"{fidelity.argmax_agreement:.3f}"
        return "replay_mismatch", f"the replay reproduced a share of {share} of the recorded tokens"
    recorded = next((call.model_digest for call in structure.calls if call.id == claim.call), "unknown")
    if fidelity is not None and recorded.startswith("sha256:") and fidelity.weights_digest != recorded:
        return "weights_changed", "the weights that were tested are not those that were recorded"
    for check in evidence.checks:
        if check.passed is False and check.name == "sentinel":
            return "sentinel_failed", check.note or "a claim with known truth was judged wrongly"
        if check.passed is False and check.name == "determinism":
            return "nondeterministic", check.note or "the same pass gave different answers"
    return (None, "") if evidence.arms else ("unsupported", "the method ran no intervention on this claim")


def _nothing(claim: Claim, structure: Structure, cited: Sequence[Cited]) -> tuple[Reason, str]:
    call = next((one for one in structure.calls if one.id == claim.call), None)
    if claim.type != "score_branch" and (call is None or call.model_digest == "unknown"):
        return "weights_unavailable", "the model's weights are not known, so nothing could be changed and measured"
    return "unsupported", "no intervention on this claim is in the ledger"


def _case(claim: Claim, piece: Cited, payloads: Payloads) -> Case:
    evidence = piece.evidence
    tokens = evidence.target_tokens
    # the floor is per token and an effect is a sum over the decision's tokens
    length = max(1, tokens.end - tokens.start) if tokens is not None else 1
    floor = evidence.fidelity.noise_floor * length if evidence.fidelity is not None else 0.0
    draws: dict[str, Draws] = {}
    skipped: dict[str, str] = {}
    for arm in evidence.arms:
        found = read_draws(arm, floor, payloads)
        if found is None:
            skipped[arm.family] = arm.skipped or "no draw was made"
        else:
            draws[arm.family] = found
    margins = [one.value for one in evidence.estimates if one.name in BASELINE_NAMES and one.value is not None]
    return Case(
        claim=claim, decider=piece, draws=draws, skipped=skipped, reason=None, detail="",
        baseline_margin=margins[0] if margins else None,
    )  # fmt: skip


BASELINE_NAMES = frozenset({"margin", "decision_margin", "baseline_margin"})
"""Names under which an intervention states the decision's recorded margin."""
