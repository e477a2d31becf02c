"""The judge: all claims of one run, with the evidence on them, to one verdict each (protocol EP-1).

1. For each claim, what may decide is chosen: record checks, selector replays, interventions. Nothing else is read.
2. The superiority bound is raised to the 95th percentile of all placebo and decoy effects of the run.
3. Three hypotheses per claim are tested; Benjamini-Hochberg runs over all of them.
4. Every rule is asked about every claim; the first line that applies gives the verdict:
       a failed record check                                        contradicted
       nothing to decide with                                       undetermined, with the reason
       scores: the selector run again                               relied on | decorative
       rewording moves the decision as much as a change does        undetermined: surface_coded
       superiority, but the decision does not follow the change     undetermined: off_distribution
       superiority                                                  relied on (contradicted where it was denied)
       reversal                                                     contradicted
       no effect alone, an effect with its duplicates               undetermined: redundant
       equivalence                                                  decorative
       none of these                                                undetermined: saturated, noisy, underpowered…
5. A stated source found decorative is contradicted when an unnamed source of its kind is relied on instead.

Pure and deterministic: the same records give the same verdicts, so that every verdict can be derived again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from auditor.records.evidence import Estimate, Reason
from auditor.records.structure import Structure
from auditor.records.verdict import RuleFinding, Verdict, VerdictWord
from auditor.verdict.case import Bench, Case, build_case
from auditor.verdict.disclosure import disclosed
from auditor.verdict.hypotheses import adjusted_within_run
from auditor.verdict.protocol import Cited, Payloads, Protocol
from auditor.verdict.rules.availability import missing
from auditor.verdict.rules.equivalence import why_undetermined
from auditor.verdict.table import Rule, rules
from auditor.verdict.wording import estimate, moved, not_checked, replayed_share, source_words, target_words, unmoved

STRONG, MODERATE = 2.0, 0.5
"""Strength tiers by the effect's lower bound, nats: a factor of e² and of 1.6 in the decision's probability."""

Findings = Mapping[str, RuleFinding]


def judge(
    structure: Structure, structure_id: str, cited: Sequence[Cited], protocol: Protocol, payloads: Payloads
) -> list[Verdict]:
    """One verdict for every claim of the run, in the structure's order. `cited` must be in ledger order."""
    cases = tuple(build_case(claim, structure, cited, payloads) for claim in structure.claims)
    floor, count = placebo_floor(cases)
    bench = Bench(
        structure=structure, structure_id=structure_id, protocol=protocol, cases=cases, placebo_floor=floor,
        placebos=count,
    )  # fmt: skip
    bench = replace(bench, hypotheses=adjusted_within_run(bench))
    asked = rules()
    first = {case.claim.id: _decide(case, bench, _ask(asked, case, bench)) for case in cases}
    bench = replace(bench, words={claim: word for claim, (word, _, _) in first.items()})
    return [_verdict(case, bench, _ask(asked, case, bench)) for case in cases]


def placebo_floor(cases: Sequence[Case]) -> tuple[float, int]:
    """95th percentile of |effect| over every placebo and decoy draw of the run, and how many there were."""
    pooled: dict[tuple[str, str], tuple[float, ...]] = {}
    for case in cases:
        for family in ("placebo", "decoy"):
            if family in case.draws and case.decider is not None:
                # claims of one call may share an arm: it counts once
                address = next(arm.effects for arm in case.decider.evidence.arms if arm.family == family)
                pooled[family, address] = case.draws[family].effects
    sizes = [abs(effect) for effects in pooled.values() for effect in effects]
    return (float(np.quantile(sizes, 0.95)), len(sizes)) if sizes else (0.0, 0)


def _ask(asked: Mapping[str, Rule], case: Case, bench: Bench) -> dict[str, RuleFinding]:
    answers = {name: rule(case, bench) for name, rule in asked.items()}
    return {name: finding for name, finding in answers.items() if finding is not None}


def _decide(case: Case, bench: Bench, found: Findings) -> tuple[VerdictWord, Reason | None, str]:
    """Verdict word, reason where undetermined, and a clause on why."""
    if "record_contradiction" in found:
        return "contradicted", None, found["record_contradiction"].message
    absent = missing(case)
    if absent is not None:
        return "undetermined", *absent
    if "selector" in found:
        used = found["selector"].conclusion == "holds"
    else:
        used = found["superiority"].conclusion == "holds"
        if _concludes(found, "placebo_floor", "fails"):
            return "undetermined", "surface_coded", "rewording it without a change of meaning does the same"
        if found["superiority"].conclusion == "cannot_tell":
            return "undetermined", "off_distribution", "the decision moved, but did not follow the new value"
        if "reversal" in found:
            return "contradicted", None, "the decision became likelier without it"
        if _concludes(found, "redundancy", "holds"):
            return "undetermined", "redundant", "its duplicates carry the same and do move the decision"
    if used:
        denied = case.claim.relation == "independent_of"
        return ("contradicted", None, "its influence was denied") if denied else ("relied_on", None, "")
    if "selector" in found or found["equivalence"].conclusion == "holds":
        if "same_kind" in found:
            return "contradicted", None, "another source of the same kind, which was not named, was relied on"
        return "decorative", None, ""
    return "undetermined", *why_undetermined(case, bench)


def _concludes(found: Findings, rule: str, conclusion: str) -> bool:
    return rule in found and found[rule].conclusion == conclusion


def _verdict(case: Case, bench: Bench, found: Findings) -> Verdict:
    word, reason, why = _decide(case, bench, found)
    effect = _effect(case, bench, reason)
    unchecked = not_checked(case)
    return Verdict(
        run=bench.structure.run, claim=case.claim.id, verdict=word, reason=reason,
        text=_text(case, bench, word, reason, why, effect, unchecked), effect=effect, method=_method(case, word),
        findings=tuple(found.values()), evidence=(case.decider.id,) if case.decider is not None else (),
        protocol=bench.protocol.name, structure=bench.structure_id,
        disclosed=disclosed(case, bench, word), not_checked=unchecked, strength=_strength(word, effect),
    )  # fmt: skip


def _effect(case: Case, bench: Bench, reason: Reason | None) -> Estimate:
    level = bench.protocol.confidence
    if "selector_swap" in case.draws:
        return replayed_share(case, level)
    if case.change is not None:
        return estimate(case.change, level)
    if case.removal is not None:
        return estimate(case.removal, level)
    return Estimate(name="swap", value=None, unit="nats", reason=case.reason or reason or "unsupported")


def _method(case: Case, word: VerdictWord) -> str:
    if case.decider is None:
        return "record checks" if word == "contradicted" else "none"
    return f"{case.decider.evidence.method}: {', '.join(case.draws)}" if case.draws else case.decider.evidence.method


def _strength(word: VerdictWord, effect: Estimate) -> Literal["weak", "moderate", "strong"] | None:
    if word != "relied_on":
        return None
    if effect.unit != "nats":
        return "strong"
    low = effect.interval.low if effect.interval is not None else 0.0
    return "strong" if low >= STRONG else "moderate" if low >= MODERATE else "weak"


def _text(
    case: Case, bench: Bench, word: VerdictWord, reason: Reason | None, why: str, effect: Estimate,
    unchecked: tuple[str, ...],
) -> str:  # fmt: skip
    said = [] if word == "contradicted" and case.decider is None else [_measured(case, bench, word, effect)]
    said += [why.rstrip(".")] if why else []
    plain = word.replace("_", " ") + (f" ({reason.replace('_', ' ')})" if reason else "")
    checks = f" (not checked: {'; '.join(unchecked)})" if case.decider is not None else ""
    return f"{'; '.join(said)}: {plain}{checks}."


def _measured(case: Case, bench: Bench, word: VerdictWord, effect: Estimate) -> str:
    draws = case.draws.get("selector_swap")
    if draws is not None:
        times = sum(1 for value in draws.effects if value != 0)
        return (
            f"Running the recorded selector again with {source_words(case)} changed gave another choice in {times} of"
            f" {draws.n} replays"
        )
    if case.change is None:
        if case.removal is None:
            return f"Whether the {target_words(case.claim)} rests on {source_words(case)} could not be measured"
        return moved(case, case.removal, effect)
    if word == "decorative" or (word == "contradicted" and abs(case.change.mean) < bench.protocol.equivalence_margin):
        return unmoved(case, bench)
    text = moved(case, case.change, effect)
    if case.change.typed and word == "relied_on":
        text += (
            f" and the {target_words(case.claim)} followed the swapped value in {case.change.followed} of"
            f" {case.change.typed}"
        )
    return text
