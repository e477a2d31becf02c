"""Change a source, keep the recorded output, and measure how much less likely the decision becomes.

Algorithm. The recorded output is forced. Replicate r redraws an irrelevant span of the prompt (the decoy) with seed r;
that is its context. effect_r = log p(y | context_r) - log p(y | context_r with the source changed), summed over the
decision tokens y, in nats; margin_r is the same difference of the log-odds of y against its strongest alternative.
Both arms of a pair share their context (common random numbers). Families:

| family | change | population of its replicates |
|---|---|---|
| swap | other values of the same type, in the rendered text, re-tokenised | values x contexts |
| mask | no later token may look at the source; positions kept | contexts |
| delete | the source's characters removed; positions shift | contexts |
| joint | swap of the source and of every earlier copy of its value alike | values x contexts |
| copies | the same swap of the copies alone, the source left as recorded | values x contexts |
| decoy | the context alone against the recorded call | values of the decoy |
| placebo | spacing around the source doubled where that keeps the meaning | places x contexts |

tracks: of the draws whose value implies another decision y' by copying, the share with log p(y' | changed) >
log p(y | changed). Where y' follows by recorded arithmetic instead, the same share is told apart as `computed`.

Reference: controlled direct effect by teacher forcing; masking as in ContextCite/AttriBoT style ablation
(arXiv 2409.00729, 2411.15102); attention knockout (arXiv 2304.14767). Blind spots: output tokens after the source
and before the decision stay as recorded, so what reaches the decision only through them is not seen when the source
is in the prompt and they repeat it (`joint` covers recorded copies); deletion and masking are off-distribution.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auditor.evidence.answering import about, refused
from auditor.evidence.interventions import (
    Bench,
    Case,
    Draw,
    bench_of,
    case_of,
    changed,
    deletions,
    distinct,
    is_copy,
    swaps,
)
from auditor.evidence.masking import no_masks
from auditor.evidence.measures import mean_estimate, share_estimate
from auditor.evidence.protocol import MethodSpec, Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Replay
from auditor.evidence.scoring import Score, Scorer, Variant
from auditor.evidence.sources import Edit, Place
from auditor.evidence.specs import SPECS
from auditor.records.canonical import canonical_bytes
from auditor.records.evidence import Arm, Check, Cost, Estimate, Evidence, Source
from auditor.records.messages import Part, Span, part_text

REPLICATES = 32
TINY_VOCABULARY = 4096
"""Below it no placebo rewrite exists: such models know one spelling of each text."""


class Ablation:
    """Implements evidence.protocol.Method; needs weights. One Evidence per claim of the call."""

    spec = SPECS["ablation"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        told: Replay = replay
        answers: list[Evidence] = []
        cases: list[Case] = []
        for claim in question.claims:
            try:
                cases.append(case_of(told, claim))
            except ReplayRefused as refusal:
                answers.append(refused(question, claim, self.spec, refusal))
        if not cases:
            return answers
        began = time.perf_counter()
        limit = question.options.get("max_seconds")
        bench = bench_of(told, cases, int(question.options.get("replicates", REPLICATES)))
        for case in cases:
            if limit is not None and time.perf_counter() - began > float(limit):
                spent = ReplayRefused("budget", f"the audit's {limit} seconds were spent on earlier claims")
                answers.append(refused(question, case.claim, self.spec, spent))
                continue
            answers.append(_evidence(self.spec, bench, case))
        return answers


def _evidence(spec: MethodSpec, bench: Bench, case: Case) -> Evidence:
    began, ran = time.perf_counter(), bench.scorer.forwards
    recorded, contexts = bench.baselines(case.decision)
    measure = _Measure(bench=bench, case=case, contexts=contexts)
    arms = [
        measure.arm("swap", swaps(bench, case, case.places), f"same-type values x {bench.jitter}"),
        _mask_arm(measure),
        measure.arm("delete", deletions(bench, case), bench.jitter),
        _placebo_arm(measure),
        _decoy_arm(measure, recorded),
        _copies_arm(measure, "joint", (*case.places, *case.copies)),
        _copies_arm(measure, "copies", case.copies),
    ]
    swap = arms[0] if not arms[0].skipped else arms[1]
    replay = bench.replay
    estimates = [
        _named(swap.mean, "effect"), Estimate(name="baseline_log_prob", value=recorded.log_prob, unit="nats"),
        Estimate(name="baseline_margin", value=recorded.margin, unit="nats"),
        *(_named(arm.mean, f"{arm.family}_effect") for arm in arms if arm.mean.value is not None),
    ]  # fmt: skip
    estimates += [arms[0].tracks] if arms[0].tracks is not None else []
    estimates += [measure.computed] if measure.computed is not None else []
    return about(
        replay, case.claim, spec, case.decision,
        sources=tuple(
            Source(label=place.text[:80], span=place.claimed, effect=_named(swap.mean, "effect"),
                   tokens=replay.token_range(place.start, place.end), detail=_whereabouts(place))
            for place in case.places
        ),
        arms=tuple(arms), estimates=tuple(estimates), checks=(_reuse_check(bench, case),),
        cost=Cost(seconds=time.perf_counter() - began, forwards=bench.scorer.forwards - ran),
        detail=f"{arms[0].n} swaps, {arms[1].n} masks over {bench.jitter}.",
    )  # fmt: skip


def _named(estimate: Estimate, name: str) -> Estimate:
    return replace(estimate, name=name)


def _whereabouts(place: Place) -> dict[str, object]:
    return {} if place.found == place.claimed else {"measured_at": vars(place.found)}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measure:
    """Turns draws of one claim into arms."""

    bench: Bench
    case: Case
    contexts: Sequence[Score]
    notes: dict[str, Estimate] = field(default_factory=dict)

    @property
    def computed(self) -> Estimate | None:
        """Share of swaps after which the decision became what the recorded arithmetic gives for the new value.

        It tests the model's arithmetic as well as its use of the source, so no rule asks for it.
        """
        return self.notes.get("computed")

    @property
    def floor(self) -> float:
        """Nats, for the sum over the decision tokens."""
        return self.bench.replay.noise_floor * len(self.case.decision.positions)

    def arm(self, family: Any, draws: Sequence[Draw], population: str, why: str = "") -> Arm:
        """Score the draws against their contexts."""
        if not draws:
            return self.skipped(family, why or "no same-type replacement exists for this source")
        scores = self.bench.scorer.scores([draw.variant for draw in draws])
        rows: list[dict[str, object]] = []
        for draw, score in zip(draws, scores, strict=True):
            base = self.contexts[draw.replicate]
            rows.append(self.row(draw.replicate, draw.replacement, base, score))
        return self.written(family, rows, population)

    def row(self, replicate: int, replacement: str, base: Score, score: Score) -> dict[str, object]:
        followed = None if score.follow is None else score.follow > score.log_prob
        copied = is_copy(self.bench, self.case)
        return {
            "replacement": replacement, "effect": base.log_prob - score.log_prob, "margin": base.margin - score.margin,
            "tracks": followed if copied else None, "computed": None if copied else followed,
            "seed": str(self.bench.seeds[replicate]),
        }  # fmt: skip

    def written(self, family: Any, rows: list[dict[str, Any]], population: str) -> Arm:
        """Keep the replicates and state their mean."""
        tracked = [row["tracks"] for row in rows if row["tracks"] is not None]
        computed = [row["computed"] for row in rows if row["computed"] is not None]
        if family == "swap" and computed:
            self.notes["computed"] = share_estimate("computed", sum(computed), len(computed), population)
        return Arm(
            family=family, n=len(rows), effects=self.bench.replay.question.keep(canonical_bytes(rows)),
            mean=mean_estimate("effect", [row["effect"] for row in rows], "nats", self.floor, population),
            margin=mean_estimate("margin", [row["margin"] for row in rows], "nats", self.floor, population),
            tracks=share_estimate("tracks", sum(tracked), len(tracked), population) if tracked else None,
        )  # fmt: skip

    def skipped(self, family: Any, why: str) -> Arm:
        nothing = Estimate(name="effect", value=None, unit="nats", reason="unsupported")
        return Arm(family=family, n=0, effects="", mean=nothing, margin=None, skipped=why)


def _mask_arm(measure: _Measure) -> Arm:
    """Every replicate hides the same tokens, each in its own context."""
    bench, case = measure.bench, measure.case
    why = no_masks(bench.replay)
    if why:
        return measure.skipped("mask", why)
    ranges = [bench.replay.token_range(place.start, place.end) for place in case.places]
    hidden = tuple(sorted({(tokens.start, tokens.end) for tokens in ranges}))
    if any(end > case.decision.positions[0] - 1 for _, end in hidden):
        return measure.skipped("mask", "the decision follows the source without a token between them")
    draws = [
        Draw(
            replicate=replicate, replacement="",
            variant=Variant(context=bench.numbers[replicate], ids=bench.contexts[replicate].ids,
                            positions=case.decision.positions, start=min(end for _, end in hidden), hidden=hidden),
        )
        for replicate in distinct(bench, len(bench.seeds))
    ]  # fmt: skip
    return measure.arm("mask", draws, bench.jitter)


def _decoy_arm(measure: _Measure, recorded: Score) -> Arm:
    """What redrawing the irrelevant span alone does."""
    bench = measure.bench
    rows = [
        measure.row(replicate, " ".join(e.text for e in context.edits), recorded, measure.contexts[replicate])
        for replicate, context in enumerate(bench.contexts)
        if context.edits
    ]
    if not rows:
        return measure.skipped("decoy", "nothing in the prompt can be redrawn without changing the number of tokens")
    return measure.written("decoy", rows, bench.jitter)


def _copies_arm(measure: _Measure, family: Any, places: Sequence[Place]) -> Arm:
    """The copies with or without the source: only both together tell redundant from unused."""
    if not measure.case.copies:
        return measure.skipped(family, "the value has no other recorded copy before the decision")
    draws = swaps(measure.bench, measure.case, places)
    return measure.arm(family, draws, f"same-type values x {measure.bench.jitter}")


def _placebo_arm(measure: _Measure) -> Arm:
    """Doubled spaces around the source, in text, for models that have seen more than one way to write."""
    bench, case = measure.bench, measure.case
    replay = bench.replay
    if replay.model.config.vocab_size < TINY_VOCABULARY:
        return measure.skipped("placebo", "a model with so small a vocabulary knows no second spelling of its texts")
    spaces: list[int] = []
    for place in case.places:
        part = replay.question.messages[place.found.message].parts[place.found.part]
        low, high = replay.characters_of(whole_part(place, part))
        if replay.text[low:high].lstrip()[:1] in ("{", "["):
            return measure.skipped("placebo", "no meaning-preserving rewrite of JSON exists")
        stop = min(high, case.decision.characters[0])
        near = [n for n in range(low + 1, stop - 1) if replay.text[n] == " " and replay.text[n - 1] != " "]
        spaces += [n for n in near if n < place.start or n >= place.end]
    draws = []
    for replicate, seed in enumerate(bench.seeds):
        if spaces:
            at = random.Random(f"{seed}|placebo|{case.claim.id}").choice(spaces)
            variant = changed(bench, case, replicate, [Edit(start=at, end=at, text=" ")])
            if variant is not None:
                draws.append(Draw(replicate=replicate, replacement="a space doubled", variant=variant))
    return measure.arm("placebo", draws, f"spaces x {bench.jitter}", "the source's text has no space to double")


def whole_part(place: Place, part: Part) -> Span:
    """The span of the whole part a place lies in."""
    return Span(message=place.found.message, part=place.found.part, start=0, end=len(part_text(part).encode()))


def _reuse_check(bench: Bench, case: Case) -> Check:
    """One replicate run again alone from its first token must give what the batched, cached run gave."""
    naive = Scorer(replay=bench.replay, contexts=(), jittered_from=0)
    variant = Variant(context=0, ids=bench.contexts[-1].ids, positions=case.decision.positions, start=0)
    cached = Variant(
        context=bench.numbers[-1], ids=variant.ids, positions=variant.positions, start=variant.positions[0] - 1
    )
    gap = abs(naive.scores([variant])[0].log_prob - bench.scorer.scores([cached])[0].log_prob)
    bound = max(1e-3, 10 * bench.replay.noise_floor * len(variant.positions))
    return Check(
        name="prefix_reuse", passed=gap <= bound, value=gap, bound=bound, unit="nats",
        note="cached and batched against alone from the first token",
    )  # fmt: skip
