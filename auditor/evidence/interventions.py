"""What is changed in a call and in which contexts: the draws behind every arm of an ablation.

Replicate r has a seed, a context (the recorded call with irrelevant spans redrawn) and, for each family, a changed
call. Everything is derived from the seeds, so that every draw can be redone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from auditor.evidence import decoys
from auditor.evidence.decoys import Context, first_difference
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.scoring import Score, Scorer, Variant
from auditor.evidence.sources import Edit, Place, Vocabulary, apply, copies_of, locate, moved, swapped
from auditor.evidence.targets import implied, standing, text_of
from auditor.records.canonical import seed_of
from auditor.records.structure import Claim

FOLLOW_TRIES = 4
"""Replicates after which it is settled that no replacement implies a decision of as many tokens."""
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


def case_of(replay: Replay, claim: Claim) -> Case:
    if claim.type == "score_branch":
        raise ReplayRefused(
            "unsupported", "a selector, not the model, turned scores into a choice; see method selector"
        )
    decision = replay.decision(claim.target)
    places = tuple(dict.fromkeys(place for span in claim.sources for place in locate(replay, span)))
    if any(place.end > decision.characters[0] for place in places):
        raise ReplayRefused("unsupported", "the source does not stand before the decision")
    return Case(claim=claim, decision=decision, places=places, copies=copies_of(replay, places, decision.characters[0]))


def bench_of(replay: Replay, cases: Sequence[Case], replicates: int) -> Bench:
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


def changed(
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


def swaps(bench: Bench, case: Case, places: Sequence[Place]) -> list[Draw]:
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
            variant = changed(bench, case, replicate, edits, other)
            if variant is None:
                continue
            kept = kept or Draw(replicate=replicate, replacement=" ".join(new.values()), variant=variant)
            if other is None or variant.follow is not None:
                kept = Draw(replicate=replicate, replacement=" ".join(new.values()), variant=variant)
                break
        if follows is None and kept is not None:
            follows = True if kept.variant.follow is not None else None if replicate < FOLLOW_TRIES else False
        if kept is not None:
            draws.append(kept)
    return aligned(draws)


def is_copy(bench: Bench, case: Case) -> bool:
    """Whether the decision stands in the source or the source in the decision, so that a new value can be copied."""
    decided, source = bench.replay.text[slice(*case.decision.characters)].strip(), case.places[0].text.strip()
    return standing(source, decided) is not None or standing(decided, source) is not None


def aligned(draws: list[Draw]) -> list[Draw]:
    """Let all draws begin at the earliest first difference, so that they share batches."""
    start = min((draw.variant.start for draw in draws), default=0)
    return [replace(draw, variant=replace(draw.variant, start=start)) for draw in draws]


def distinct(bench: Bench, most: int) -> list[int]:
    """Replicates with different contexts: repeating a deterministic change in one context adds nothing."""
    seen: dict[int, int] = {}
    for replicate, number in enumerate(bench.numbers):
        seen.setdefault(number, replicate)
    return list(seen.values())[:most]


def deletions(bench: Bench, case: Case) -> list[Draw]:
    edits = [Edit(start=place.start, end=place.end, text="") for place in case.places]
    draws = []
    for replicate in distinct(bench, max(4, len(bench.seeds) // 4)):
        variant = changed(bench, case, replicate, edits)
        if variant is not None:
            draws.append(Draw(replicate=replicate, replacement="", variant=variant))
    return aligned(draws)
