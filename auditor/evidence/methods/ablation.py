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
| decoy | the context alone against the recorded call | values of the decoy |
| placebo | spacing around the source doubled where that keeps the meaning | places x contexts |

tracks: of the draws whose value implies another decision y' (a copy, or a recorded derivation computed again), the
share with log p(y' | changed) > log p(y | changed).

Reference: controlled direct effect by teacher forcing; masking as in ContextCite/AttriBoT style ablation
(arXiv 2409.00729, 2411.15102); attention knockout (arXiv 2304.14767). Blind spots: output tokens after the source
and before the decision stay as recorded, so what reaches the decision only through them is not seen when the source
is in the prompt and they repeat it (`joint` covers recorded copies); deletion and masking are off-distribution.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auditor.evidence import decoys
from auditor.evidence.answering import about, refused
from auditor.evidence.decoys import Context, first_difference
from auditor.evidence.masking import no_masks
from auditor.evidence.measures import mean_estimate, share_estimate
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.scoring import Score, Scorer, Variant
from auditor.evidence.sources import Edit, Place, Vocabulary, apply, copies_of, locate, moved, swapped
from auditor.evidence.specs import SPECS
from auditor.evidence.targets import implied, text_of
from auditor.records.canonical import canonical_bytes, seed_of
from auditor.records.evidence import Arm, Check, Cost, Estimate, Evidence, Source
from auditor.records.messages import Part, Span, part_text
from auditor.records.structure import Claim

REPLICATES = 32
TINY_VOCABULARY = 4096
_TRIES = 8


@dataclass(frozen=True, kw_only=True)
class Case:
    """A claim as it stands in this call; `copies` are other places of the same value before the decision."""

    claim: Claim
    decision: Decision
    places: tuple[Place, ...]
    copies: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Replicate `replicate` of one family: what was put in, and the changed call; None where it could not be made."""

    replicate: int
    replacement: str
    variant: Variant


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """Everything the claims of one call share: contexts by replicate, their scores, the scorer."""

    replay: Replay
    vocabulary: Vocabulary
    seeds: tuple[int, ...]
    contexts: tuple[Context, ...]
    """Of every replicate."""
    numbers: tuple[int, ...]
    """Of every replicate: index of its context among the scorer's."""
    scorer: Scorer
    jitter: str
    """What the contexts are draws of."""

    def baselines(self, decision: Decision) -> tuple[Score, list[Score]]:
        """The recorded call, and each replicate's context."""
        recorded = tuple(self.replay.ids.tolist())
        start = decision.positions[0] - 1
        variants = [Variant(context=0, ids=recorded, positions=decision.positions, start=start)]
        for context, number in zip(self.contexts, self.numbers, strict=True):
            variants.append(Variant(context=number, ids=context.ids, positions=decision.positions, start=start))
        scores = self.scorer.scores(variants)
        return scores[0], scores[1:]


class Ablation:
    """Implements evidence.protocol.Method; needs weights. One Evidence per claim of the call."""

    spec = SPECS["ablation"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        told: Replay = replay
        answers: list[Evidence] = []
        cases: list[Case] = []
        for claim in question.claims:
            try:
                cases.append(_case(told, claim))
            except ReplayRefused as refusal:
                answers.append(refused(question, claim, self.spec, refusal))
        if not cases:
            return answers
        began = time.perf_counter()
        limit = question.options.get("max_seconds")
        bench = _bench(told, cases, int(question.options.get("replicates", REPLICATES)))
        for case in cases:
            if limit is not None and time.perf_counter() - began > float(limit):
                spent = ReplayRefused("budget", f"the audit's {limit} seconds were spent on earlier claims")
                answers.append(refused(question, case.claim, self.spec, spent))
                continue
            answers.append(_evidence(self.spec, bench, case))
        return answers


def _case(replay: Replay, claim: Claim) -> Case:
    if claim.type == "score_branch":
        raise ReplayRefused(
            "unsupported", "a selector, not the model, turned scores into a choice; see method selector"
        )
    decision = replay.decision(claim.target)
    places = tuple(dict.fromkeys(place for span in claim.sources for place in locate(replay, span)))
    if any(place.end > decision.characters[0] for place in places):
        raise ReplayRefused("unsupported", "the source does not stand before the decision")
    return Case(claim=claim, decision=decision, places=places, copies=copies_of(replay, places, decision.characters[0]))


def _bench(replay: Replay, cases: Sequence[Case], replicates: int) -> Bench:
    """Choose the decoy, draw the contexts and run them once."""
    vocabulary = Vocabulary.of(replay.question)
    taken = [(place.start, place.end) for case in cases for place in (*case.places, *case.copies)]
    decisions = list({case.decision.positions: case.decision for case in cases}.values())
    chosen = decoys.choose(replay, decisions, taken, cases[0].places[0].type, vocabulary)
    seeds = tuple(seed_of(replay.question.seed_key, r) for r in range(replicates))
    recorded = Context(ids=tuple(replay.ids.tolist()))
    contexts = [recorded] * replicates
    if chosen:
        pools = decoys.pools_of(replay, chosen, vocabulary)
        contexts = [decoys.draw_context(replay, chosen, pools, seed) or recorded for seed in seeds]
    unique = list(dict.fromkeys([recorded.ids, *(context.ids for context in contexts)]))
    first = min((first_difference(recorded.ids, ids) for ids in unique[1:]), default=len(recorded.ids))
    what = ", ".join(repr(decoy.text) for decoy in chosen)
    jitter = f"redrawings of the irrelevant {what} in the prompt" if chosen else "the recorded call alone"
    return Bench(
        replay=replay, vocabulary=vocabulary, seeds=seeds, contexts=tuple(contexts),
        numbers=tuple(unique.index(context.ids) for context in contexts),
        scorer=Scorer(replay=replay, contexts=tuple(unique), jittered_from=first), jitter=jitter,
    )  # fmt: skip


def _evidence(spec: Any, bench: Bench, case: Case) -> Evidence:
    began, ran = time.perf_counter(), bench.scorer.forwards
    recorded, contexts = bench.baselines(case.decision)
    measure = _Measure(bench=bench, case=case, contexts=contexts)
    arms = [
        measure.arm("swap", _swaps(bench, case, case.places), f"same-type values x {bench.jitter}"),
        _mask_arm(measure),
        measure.arm("delete", _deletions(bench, case), bench.jitter),
        _placebo_arm(measure),
        _decoy_arm(measure, recorded),
        _joint_arm(measure),
    ]
    swap = arms[0] if not arms[0].skipped else arms[1]
    replay = bench.replay
    estimates = [
        _named(swap.mean, "effect"), Estimate(name="baseline_log_prob", value=recorded.log_prob, unit="nats"),
        Estimate(name="baseline_margin", value=recorded.margin, unit="nats"),
        *(_named(arm.mean, f"{arm.family}_effect") for arm in arms if arm.mean.value is not None),
    ]  # fmt: skip
    if arms[0].tracks is not None:
        estimates.append(arms[0].tracks)
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
    return Estimate(
        name=name, value=estimate.value, unit=estimate.unit, interval=estimate.interval, reason=estimate.reason
    )


def _whereabouts(place: Place) -> dict[str, object]:
    return {} if place.found == place.claimed else {"measured_at": vars(place.found)}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measure:
    """Turns draws of one claim into arms."""

    bench: Bench
    case: Case
    contexts: Sequence[Score]

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
        return {
            "replacement": replacement, "effect": base.log_prob - score.log_prob, "margin": base.margin - score.margin,
            "tracks": None if score.follow is None else score.follow > score.log_prob,
            "seed": str(self.bench.seeds[replicate]),
        }  # fmt: skip

    def written(self, family: Any, rows: list[dict[str, Any]], population: str) -> Arm:
        """Keep the replicates and state their mean."""
        tracked = [row["tracks"] for row in rows if row["tracks"] is not None]
        return Arm(
            family=family, n=len(rows), effects=self.bench.replay.question.keep(canonical_bytes(rows)),
            mean=mean_estimate("effect", [row["effect"] for row in rows], "nats", self.floor, population),
            margin=mean_estimate("margin", [row["margin"] for row in rows], "nats", self.floor, population),
            tracks=share_estimate("tracks", sum(tracked), len(tracked), population) if tracked else None,
        )  # fmt: skip

    def skipped(self, family: Any, why: str) -> Arm:
        nothing = Estimate(name="effect", value=None, unit="nats", reason="unsupported")
        return Arm(family=family, n=0, effects="", mean=nothing, margin=None, skipped=why)


def _variant(
    bench: Bench, case: Case, replicate: int, edits: Sequence[Edit], follow: str | None = None
) -> Variant | None:
    """The changed call in the replicate's context; None when the decision's own tokens would change."""
    replay, context = bench.replay, bench.contexts[replicate]
    every = [*context.edits, *edits]
    low, high = (moved(offset, every) for offset in case.decision.characters)
    output_start = moved(replay.rendering.output_start, every)
    coded = replay.encode(apply(replay.text, every), output_start)
    first, last = coded.covering(low, high)
    if coded.ids[first:last] != case.decision.ids:
        return None
    other = None
    if follow is not None:
        target = Edit(start=case.decision.characters[0], end=case.decision.characters[1], text=follow)
        changed = replay.encode(apply(replay.text, [*every, target]), output_start).ids
        alike = changed[:first] == coded.ids[:first] and len(changed) == len(coded.ids)
        other = changed[first:last] if alike and changed[last:] == coded.ids[last:] else None
        other = None if other == case.decision.ids else other
    return Variant(
        context=bench.numbers[replicate], ids=coded.ids[:last], positions=tuple(range(first, last)),
        start=first_difference(coded.ids, context.ids), follow=other,
    )  # fmt: skip


def _swaps(bench: Bench, case: Case, places: Sequence[Place]) -> list[Draw]:
    """One same-type replacement per replicate; equal texts are replaced alike. Draws whose implied decision has as
    many tokens as the recorded one are preferred."""
    structure, messages = bench.replay.question.structure, bench.replay.question.messages
    decided = bench.replay.text[slice(*case.decision.characters)]
    main = case.places[0]
    single = len({place.text for place in places}) == 1
    follows: bool | None = None
    draws: list[Draw] = []
    for replicate, seed in enumerate(bench.seeds):
        draw = random.Random(f"{seed}|swap|{case.claim.id}")
        kept: Draw | None = None
        for _ in range(_TRIES):
            new: dict[str, str] = {}
            for text in dict.fromkeys(place.text for place in places):
                new[text] = swapped(text, draw, bench.vocabulary) or text
            if all(old == text for old, text in new.items()):
                break
            other = None
            if single and follows is not False:
                other = implied(
                    main.text, new[main.text], decided, main.claimed, case.claim.target, structure,
                    lambda span: text_of(messages, span),
                )  # fmt: skip
            edits = [Edit(start=place.start, end=place.end, text=new[place.text]) for place in places]
            variant = _variant(bench, case, replicate, edits, other)
            if variant is None:
                continue
            kept = kept or Draw(replicate=replicate, replacement=" ".join(new.values()), variant=variant)
            if other is None or variant.follow is not None:
                kept = Draw(replicate=replicate, replacement=" ".join(new.values()), variant=variant)
                break
        if follows is None and kept is not None:
            follows = kept.variant.follow is not None
        if kept is not None:
            draws.append(kept)
    return _aligned(draws)


def _aligned(draws: list[Draw]) -> list[Draw]:
    """Let all draws begin at the earliest first difference, so that they share batches."""
    start = min((draw.variant.start for draw in draws), default=0)
    return [
        Draw(
            replicate=d.replicate, replacement=d.replacement,
            variant=Variant(context=d.variant.context, ids=d.variant.ids, positions=d.variant.positions, start=start,
                            hidden=d.variant.hidden, follow=d.variant.follow),
        )
        for d in draws
    ]  # fmt: skip


def _distinct(bench: Bench, most: int) -> list[int]:
    """Replicates with different contexts: repeating a deterministic change in one context adds nothing."""
    seen: dict[int, int] = {}
    for replicate, number in enumerate(bench.numbers):
        seen.setdefault(number, replicate)
    return list(seen.values())[:most]


def _deletions(bench: Bench, case: Case) -> list[Draw]:
    edits = [Edit(start=place.start, end=place.end, text="") for place in case.places]
    draws = []
    for replicate in _distinct(bench, max(4, len(bench.seeds) // 4)):
        variant = _variant(bench, case, replicate, edits)
        if variant is not None:
            draws.append(Draw(replicate=replicate, replacement="", variant=variant))
    return _aligned(draws)


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
        for replicate in _distinct(bench, len(bench.seeds))
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


def _joint_arm(measure: _Measure) -> Arm:
    case = measure.case
    if not case.copies:
        return measure.skipped("joint", "the value has no other recorded copy before the decision")
    draws = _swaps(measure.bench, case, [*case.places, *case.copies])
    return measure.arm("joint", draws, f"same-type values x {measure.bench.jitter}")


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
            variant = _variant(bench, case, replicate, [Edit(start=at, end=at, text=" ")])
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
