"""What the library keeps in memory about one run: a few hundred bytes and the ids of its records."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from auditor.views.totals import Totals, totals


class VerdictMark(NamedTuple):
    """A verdict in short, and the record that says it in full."""

    position: int
    record: str
    word: str
    reason: str | None


class CallFidelity(NamedTuple):
    """How well one call was reproduced; `refused` is the reason when it was not."""

    tokens: int
    argmax_agreement: float | None
    max_logprob_gap: float | None
    refused: str | None


@dataclass(kw_only=True)
class RunShelf:
    """Mutable; only the library writes to it, under its lock."""

    run: str
    structure: str | None = None
    """Record id of the latest structure; None while only evidence or verdicts have been seen."""
    version: int = -1
    first_position: int = 0
    last_position: int = 0
    title: str = ""
    agent: str = "unknown"
    model: str = ""
    origin: str = ""
    tags: str | None = None
    started: str | None = None
    ended: str | None = None
    recorded_at: str = ""
    steps: int = 0
    calls: int = 0
    messages: int = 0
    failed_findings: int = 0
    findings: int = 0
    gaps: int = 0
    usage: Totals = Totals()
    counterfactual: bool = False
    """True when every call was made by our own continuations; such runs stay out of lists."""
    claims: tuple[str, ...] = ()
    verdicts: dict[str, list[VerdictMark]] = field(default_factory=dict)
    evidence: dict[str | None, list[tuple[int, str]]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    """Evidence records that carry a number, by kind."""
    fidelity: dict[str, CallFidelity] = field(default_factory=dict)
    audits: list[str] = field(default_factory=list)

    def take_structure(self, position: int, record: str, recorded_at: str, body: Mapping[str, Any]) -> None:
        if self.structure is not None and body["version"] < self.version:
            return
        if self.structure is None:
            self.first_position, self.recorded_at = position, recorded_at
        calls = body["calls"]
        self.structure, self.version, self.last_position = record, body["version"], position
        self.title, self.agent, self.model, self.origin = body["title"], body["agent"], body["model"], body["origin"]
        self.tags, self.started, self.ended = body["tags"], body["started"], body["ended"]
        self.steps, self.calls, self.messages = len(body["steps"]), len(calls), len(body["messages"])
        self.usage = totals(calls)
        self.findings = len(body["findings"])
        self.failed_findings = sum(1 for finding in body["findings"] if not finding["holds"])
        self.gaps = len(body["gaps"])
        self.claims = tuple(claim["id"] for claim in body["claims"])
        self.counterfactual = bool(calls) and all(call.get("purpose") == "counterfactual" for call in calls)

    def take_verdict(self, position: int, record: str, body: Mapping[str, Any]) -> None:
        self.last_position = position
        mark = VerdictMark(position, record, body["verdict"], body.get("reason"))
        self.verdicts.setdefault(body["claim"], []).append(mark)

    def take_evidence(self, position: int, record: str, body: Mapping[str, Any]) -> None:
        self.last_position = position
        self.evidence.setdefault(body.get("claim"), []).append((position, record))
        fidelity, reason = body.get("fidelity"), body.get("reason")
        if reason is None:
            self.kinds[body["kind"]] += 1
        if fidelity is not None:
            self.fidelity[body["call"]] = CallFidelity(
                fidelity["tokens"],
                fidelity["argmax_agreement"],
                fidelity["max_logprob_gap"],
                "replay_mismatch" if reason == "replay_mismatch" else None,
            )
        elif reason in ("replay_mismatch", "weights_unavailable", "weights_changed", "redacted"):
            self.fidelity.setdefault(body["call"], CallFidelity(0, None, None, reason))

    def absorb(self, other: "RunShelf") -> None:
        """Take over what was appended under another id of the same run."""
        for claim, marks in other.verdicts.items():
            self.verdicts[claim] = sorted([*self.verdicts.get(claim, []), *marks])
        for about, records in other.evidence.items():
            self.evidence[about] = sorted([*self.evidence.get(about, []), *records])
        self.kinds.update(other.kinds)
        self.fidelity.update(other.fidelity)
        self.audits.extend(other.audits)

    def verdict_counts(self) -> dict[str, int]:
        """Current verdicts over the claims of the latest structure; `untested` counts claims without one."""
        counts = Counter(
            self.verdicts[claim][-1].word if self.verdicts.get(claim) else "untested" for claim in self.claims
        )
        return {
            word: counts.get(word, 0)
            for word in ("relied_on", "decorative", "contradicted", "undetermined", "untested")
        }
