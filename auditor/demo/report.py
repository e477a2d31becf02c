"""What a demo found: verdicts beside the planted truth, as a table for people and one JSON object for machines."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from auditor.ledger.protocol import Ledger
from auditor.records import wire
from auditor.records.evidence import Estimate, Evidence
from auditor.records.messages import Message, span_text
from auditor.records.structure import Claim, Structure
from auditor.records.verdict import Verdict
from auditor.structure.build import messages_of

RIGHT = {"used": {"relied_on"}, "unused": {"decorative", "contradicted"}}
"""Truth -> right verdicts (design §10). `contradicted` is right for an unused source only under a condition that
`is_wrong` looks up in the verdict's findings."""


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    run: str
    claim: str
    source: str
    target: str
    truth: str
    """`used`, `unused`, `grey` or `unknown`."""
    verdict: str
    reason: str | None
    effect: dict[str, Any]
    method: str
    family: str
    type: str
    status: str
    text: str
    right: bool | None
    """None where the truth is grey or unknown, or nothing was decided."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    run: str
    agent: str
    family: str | None
    model: str
    steps: int
    fidelity: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    runs: list[RunRow]
    verdicts: list[VerdictRow]
    evidence: dict[str, int]
    ledger: dict[str, Any]
    seconds: dict[str, float]
    version: int = 1
    summary: dict[str, Any] = field(default_factory=dict)


def collect(
    ledger: Ledger, labels: Iterable[Mapping[str, Any]], families: Mapping[str, tuple[str, str]],
    verified: Mapping[str, Any], seconds: Mapping[str, float],
) -> Report:  # fmt: skip
    """Read everything back from the ledger. `families` is run -> (family, item); `labels` are the truth tables'."""
    truth = {(one["family"], one["item"], one["source"], one["target"], one.get("value")): one for one in labels}
    structures = {str(s.record.body["run"]): s for s in ledger.records(kinds=["structure"])}
    verdicts = {str(s.record.body["claim"]): wire.read(Verdict, dict(s.record.body))
                for s in ledger.records(kinds=["verdict"])}  # fmt: skip
    evidence = [wire.read(Evidence, dict(s.record.body)) for s in ledger.records(kinds=["evidence"])]
    runs, rows = [], []
    for run, stored in sorted(structures.items()):
        structure = wire.read(Structure, dict(stored.record.body))
        messages = messages_of(structure, ledger.payload)
        family = families.get(run)
        mine = [one for one in evidence if one.run == run]
        runs.append(RunRow(
            run=run, agent=structure.agent, family=family[0] if family else None, model=structure.model,
            steps=len(structure.steps), fidelity=_fidelity(mine),
        ))  # fmt: skip
        for claim in structure.claims:
            verdict = verdicts.get(claim.id)
            rows.append(_row(structure, claim, verdict or _never(structure, claim), messages, family, truth))
    kinds: dict[str, int] = {}
    for one in evidence:
        if one.reason is None:
            kinds[one.kind] = kinds.get(one.kind, 0) + 1
    return Report(
        runs=runs, verdicts=rows, evidence=kinds, ledger=dict(verified), seconds=dict(seconds),
        summary=_summary(rows) | {"failed": failures(runs, rows, verified)},
    )  # fmt: skip


def _never(structure: Structure, claim: Claim) -> Verdict:
    """Stands where no verdict was recorded: a claim that was lost counts as undecided, not as absent."""
    nothing = Estimate(name="effect", value=None, unit="nats", reason="budget")
    return Verdict(
        run=structure.run, claim=claim.id, verdict="undetermined", reason="budget", text="No verdict was recorded.",
        effect=nothing, method="none", findings=(), evidence=(), protocol="none",
    )  # fmt: skip


def as_json(report: Report) -> str:
    """The report with the fields of its version first."""
    value = asdict(report)
    return json.dumps({"version": value.pop("version"), **value}, indent=1, ensure_ascii=False)


def _row(
    structure: Structure, claim: Claim, verdict: Verdict, messages: Mapping[str, Message],
    family: tuple[str, str] | None, truth: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> VerdictRow:  # fmt: skip
    source, target = label_key(structure, claim, messages)
    found = None
    if family is not None:
        said = span_text(messages[claim.sources[0].message], claim.sources[0])
        found = truth.get((*family, source, target, said)) or _only(truth, (*family, source, target))
    word = str(found["truth"]) if found else "unknown"
    interval = verdict.effect.interval
    return VerdictRow(
        run=structure.run, claim=claim.id, source=source, target=target, truth=word, verdict=verdict.verdict,
        reason=verdict.reason,
        effect={
            "value": verdict.effect.value, "unit": verdict.effect.unit,
            "interval": [interval.low, interval.high] if interval else None,
            "confidence": interval.level if interval else None,
            "reason": verdict.effect.reason if verdict.effect.value is None else None,
        },
        method=verdict.method, family=family[0] if family else "", type=claim.type, status=claim.status,
        text=verdict.text, right=_right(word, verdict),
    )  # fmt: skip


def _only(
    truth: Mapping[tuple[Any, ...], Mapping[str, Any]], key: tuple[str, str, str, str]
) -> Mapping[str, Any] | None:
    """The label of a link when the tables know just one value for it."""
    found = [label for known, label in truth.items() if known[:4] == key]
    return found[0] if len(found) == 1 else None


def _right(word: str, verdict: Verdict) -> bool | None:
    if word not in RIGHT or verdict.verdict == "undetermined":
        return None
    if word == "unused" and verdict.verdict == "contradicted":
        # DESIGN §10: only when another source of the same kind was relied on, or a denial was made
        return any(one.rule == "same_kind" and one.conclusion == "holds" for one in verdict.findings)
    return verdict.verdict in RIGHT[word]


def label_key(structure: Structure, claim: Claim, messages: Mapping[str, Message]) -> tuple[str, str]:
    """The truth tables' names of a claim's source and target: `tool:0`, `step:1`, … and `answer`, `action:1`."""
    steps = {step.id: step for step in structure.steps}
    kinds: dict[str, list[str]] = {}
    for step in sorted(structure.steps, key=lambda one: one.order):
        kinds.setdefault(step.kind, []).append(step.id)
    source, target = steps[claim.source_step], steps[claim.target_step]
    if claim.type == "score_branch":
        return "score", "choice"
    name: str = source.kind
    if source.kind == "tool_result":
        name = f"tool:{kinds['tool_result'].index(source.id)}"
    elif source.kind == "thought":
        name = _thought(source.label, kinds["thought"].index(source.id))
    elif claim.type == "branch_answer":
        name = "branch"
    end = f"action:{kinds['tool_call'].index(target.id)}" if target.kind == "tool_call" else "answer"
    return name, end


def _thought(label: str, index: int) -> str:
    numbered = re.match(r"\s*Step (\d+)", label)
    if numbered:
        return f"step:{numbered[1]}"
    return "thought" if label.lstrip().startswith("Thought") else f"step:{index + 1}"


def _fidelity(evidence: Sequence[Evidence]) -> dict[str, Any]:
    known = {one.call: one.fidelity for one in evidence if one.fidelity is not None}
    refused = {one.call: str(one.reason) for one in evidence if one.reason and one.call not in known}
    gaps = [one.max_logprob_gap for one in known.values() if one.max_logprob_gap is not None]
    return {
        "tokens": sum(one.tokens for one in known.values()) if known else None,
        "argmax_agreement": min((one.argmax_agreement for one in known.values()), default=None),
        "max_logprob_gap": max(gaps, default=None),
        "calls": len(known),
        "refused": len(refused),
        "reason": next(iter(refused.values()), None)
        or (None if gaps else "the upstream gave no log-probabilities" if known else "no call was replayed"),
    }


def failures(runs: Sequence[RunRow], rows: Sequence[VerdictRow], verified: Mapping[str, Any]) -> list[str]:
    """What must not happen in a demo, as sentences; empty when all went well."""
    found = [f"{row.run}: {row.source} -> {row.target} is {row.truth}, judged {row.verdict}"
             for row in rows if row.right is False]  # fmt: skip
    found += [f"{row.run}: no verdict was recorded" for row in rows if row.method == "none" and row.reason == "budget"]
    for run in runs:
        if run.family is not None and (run.fidelity["refused"] or run.fidelity["argmax_agreement"] != 1.0):
            found.append(f"{run.run}: a call was not reproduced ({run.fidelity['reason']})")
    return found + ([] if verified.get("verified") else ["the ledger did not verify"])


def _summary(rows: Sequence[VerdictRow]) -> dict[str, Any]:
    known = [row for row in rows if row.truth in RIGHT]
    return {
        "claims_with_known_truth": len(known),
        "distinct_items": len({(row.family, row.run) for row in known}),
        "used": sum(row.truth == "used" for row in known),
        "unused": sum(row.truth == "unused" for row in known),
        "grey": sum(row.truth == "grey" for row in rows),
        "unknown": sum(row.truth == "unknown" for row in rows),
        "families": len({row.family for row in known}),
        "wrong": sum(row.right is False for row in known),
        "undetermined": sum(row.verdict == "undetermined" for row in known),
    }
