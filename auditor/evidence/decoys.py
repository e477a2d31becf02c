"""Spans known to be irrelevant, redrawn as jitter: the noise that any edit makes, and contexts to repeat a test in.

Candidates are numbers and words of the prompt that no claim names, that no value link touches and that do not repeat
the decision or a source; when there are none, words of the template's own text. Of at most `MOST` of them those that
move the decisions least on draws of their own (never those that are reported) are taken: irrelevance is measured, not
assumed, and the reported draws are fresh.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.scoring import Scorer, Variant
from auditor.evidence.sources import DIGITS, WORD, Edit, Type, Vocabulary, apply, moved, other_digits, type_of
from auditor.evidence.targets import text_of
from auditor.records.canonical import seed_of
from auditor.records.messages import Span

MOST = 6
SCREENING = 2
"""Draws per candidate."""
KEPT = 3
"""Decoys used together: each is redrawn in about half of the contexts, so that a small vocabulary gives many."""
ALIKE = 0.05
"""Nats: a further decoy is taken when it moves the decisions at most this much, or twice as much as the best one."""
MOST_WORDS = 200
_TRIES = 8


@dataclass(frozen=True, kw_only=True)
class Decoy:
    """Characters [start, end) of the rendered prompt."""

    start: int
    end: int
    text: str

    @property
    def type(self) -> Type:
        return type_of(self.text)


@dataclass(frozen=True, kw_only=True)
class Context:
    """The recorded call with the decoy redrawn: same length, same positions. No edit: the recorded call itself."""

    ids: tuple[int, ...]
    edits: tuple[Edit, ...] = ()


def choose(
    replay: Replay,
    decisions: Sequence[Decision],
    taken: Sequence[tuple[int, int]],
    wanted: Type,
    vocabulary: Vocabulary,
) -> tuple[Decoy, ...]:
    """The decoys of a call; `taken` are characters that must not be touched. None when nothing can be redrawn."""
    found = sorted(_candidates(replay, decisions, taken), key=lambda decoy: decoy.type != wanted)
    usable: list[tuple[Decoy, list[Context]]] = []
    spread = _spread(found)
    pools = pools_of(replay, spread, vocabulary)
    for decoy in spread:
        seeds = [seed_of(replay.question.seed_key, 10**6 + n) for n in range(SCREENING)]
        drawn = [draw_context(replay, [decoy], pools, seed) for seed in seeds]
        kept = [context for context in drawn if context is not None]
        if kept:
            usable.append((decoy, kept))
    if not usable:
        return ()
    worst = _screened(replay, decisions, [contexts for _, contexts in usable])
    order = sorted(range(len(usable)), key=worst.__getitem__)
    limit = max(ALIKE, 2 * worst[order[0]])
    return tuple(usable[n][0] for n in order[:KEPT] if worst[n] <= limit)


def _screened(replay: Replay, decisions: Sequence[Decision], tried: Sequence[Sequence[Context]]) -> list[float]:
    """Largest |effect| on any decision, of each candidate."""
    recorded = tuple(replay.ids.tolist())
    flat = [context for contexts in tried for context in contexts]
    first = min(first_difference(recorded, context.ids) for context in flat)
    scorer = Scorer(replay=replay, contexts=(), jittered_from=first)
    worst = [0.0] * len(tried)
    for decision in decisions:
        ids = [recorded, *(context.ids for context in flat)]
        scores = scorer.scores([Variant(context=0, ids=i, positions=decision.positions, start=first) for i in ids])
        effects = iter(abs(scores[0].log_prob - score.log_prob) for score in scores[1:])
        for number, contexts in enumerate(tried):
            worst[number] = max([worst[number], *(next(effects) for _ in contexts)])
    return worst


Pools = Mapping[Decoy, Sequence[str]]
"""What may stand in for each word decoy: words of the run with as many tokens at its place."""


def pools_of(replay: Replay, chosen: Sequence[Decoy], vocabulary: Vocabulary) -> Pools:
    """Words of the run that keep the number of tokens, for each decoy that is a word."""
    core = replay.tokenizer.backend_tokenizer

    def size(text: str) -> int:
        return len(core.encode(text, add_special_tokens=False).ids)

    pools: dict[Decoy, Sequence[str]] = {}
    for decoy in chosen:
        if decoy.type == "word":
            before = replay.text[max(0, decoy.start - 1) : decoy.start]
            own = size(before + decoy.text)
            others = [word for word in vocabulary.words if word.lower() != decoy.text.lower()][:MOST_WORDS]
            pools[decoy] = [word for word in others if size(before + word) == own]
    return pools


def _other(decoy: Decoy, draw: random.Random, pool: Sequence[str]) -> str | None:
    if decoy.type == "number":
        return DIGITS.sub(lambda match: other_digits(match.group(), draw), decoy.text)
    return draw.choice(pool) if pool else None


def draw_context(replay: Replay, chosen: Sequence[Decoy], pools: Pools, seed: int) -> Context | None:
    """One redrawing of some of the decoys that changes no token count; None after too many tries."""
    draw = random.Random(f"{seed}|jitter")
    for _ in range(_TRIES):
        some = [decoy for decoy in chosen if draw.random() < 0.5] or [draw.choice(chosen)]
        texts = [_other(decoy, draw, pools.get(decoy, ())) for decoy in some]
        pairs = zip(some, texts, strict=True)
        edits = tuple(Edit(start=d.start, end=d.end, text=text) for d, text in pairs if text is not None)
        if not edits:
            continue
        coded = replay.encode(apply(replay.text, edits), moved(replay.rendering.output_start, edits))
        ids = coded.ids[: len(replay.ids)]
        same_output = ids[replay.output.start :] == tuple(replay.ids[replay.output.start :].tolist())
        if coded.prompt_length == replay.output.start and same_output:
            return Context(ids=ids, edits=edits)
    return None


def first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """Index of the first token that differs (the shorter length where none does)."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


def _candidates(replay: Replay, decisions: Sequence[Decision], taken: Sequence[tuple[int, int]]) -> Iterator[Decoy]:
    """Numbers, then words, of the messages; words of the template's text where the messages offer none."""
    values = {replay.text[low:high].strip().lower() for low, high in [*taken, *(d.characters for d in decisions)]}
    linked = [span for link in replay.question.structure.links for span in (link.earlier, link.later, *link.others)]
    named = [span for claim in replay.question.structure.claims for span in (*claim.sources, claim.target)]
    texts = {text_of(replay.question.messages, span).lower() for span in (*linked, *named)} | values
    used = [*taken, *_characters(replay, [*linked, *named])]
    leaves = [placed for items in replay.rendering.placed.values() for placed in items]
    shown = [(leaf.shown[0], leaf.shown[-1]) for leaf in leaves if leaf.shown[-1] <= replay.rendering.output_start]
    found = False
    for pattern in (DIGITS, WORD):
        for low, high in shown:
            for match in pattern.finditer(replay.text, low, high):
                start, end = match.span()
                if any(start < b and a < end for a, b in used) or match.group().lower() in texts:
                    continue
                if len(match.group()) >= (1 if pattern is DIGITS else 3):
                    found = True
                    yield Decoy(start=start, end=end, text=match.group())
    if not found:
        for match in WORD.finditer(replay.text, 0, replay.rendering.output_start):
            if not any(match.start() < b and a < match.end() for a, b in taken):
                yield Decoy(start=match.start(), end=match.end(), text=match.group())


def _characters(replay: Replay, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Where those of the spans stand that are shown."""
    found = []
    for span in spans:
        try:
            found.append(replay.characters_of(span))
        except ReplayRefused:
            continue
    return found


def _spread(found: list[Decoy]) -> list[Decoy]:
    """At most MOST of them, evenly over their order, the first kind first."""
    if len(found) <= MOST:
        return found
    step = len(found) / MOST
    return [found[int(n * step)] for n in range(MOST)]
