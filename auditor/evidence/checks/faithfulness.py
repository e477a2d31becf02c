"""Does a ranking of tokens hold when the tokens are really taken away?

Comprehensiveness (DeYoung et al. 2020, arXiv 1911.03429): log p(y) - log p(y with the k best-ranked tokens hidden), by
attention mask, positions kept; against the same number of tokens drawn at random. Blind spot: masks are
off-distribution, and redundant tokens cover for each other. Random span control: the share of random spans, as long as
the claimed source, whose score is smaller.
"""

import random
from collections.abc import Sequence

from auditor.evidence.masking import no_masks
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.scoring import Scorer, Variant
from auditor.evidence.sources import Place
from auditor.evidence.token_sources import span_totals
from auditor.records.canonical import seed_of
from auditor.records.evidence import Check

SHARE = 0.05
"""Of the tokens before the decision that are hidden."""
CONTROLS = 5


def comprehensiveness(replay: Replay, decision: Decision, scores: Sequence[float]) -> Check:
    """Passes when hiding the best-ranked tokens costs more than hiding random ones does on average."""
    why = no_masks(replay)
    if why:
        return Check(name="comprehensiveness", passed=None, value=None, bound=None, unit="nats", note=why)
    free = decision.positions[0]
    count = max(1, round(SHARE * free))
    best = sorted(range(free), key=lambda token: -scores[token])[:count]
    draw = random.Random(f"{seed_of(replay.question.seed_key, 0)}|comprehensiveness")
    groups = [best, *(draw.sample(range(free), count) for _ in range(CONTROLS))]
    ids = tuple(replay.ids.tolist())
    scorer = Scorer(replay=replay, contexts=(), jittered_from=free)
    whole = Variant(context=0, ids=ids, positions=decision.positions, start=free)
    hidden = [
        Variant(context=0, ids=ids, positions=decision.positions, start=free,
                hidden=tuple((token, token + 1) for token in sorted(group)))
        for group in groups
    ]  # fmt: skip
    base, top, *controls = scorer.scores([whole, *hidden])
    lost = base.log_prob - top.log_prob
    average = sum(base.log_prob - control.log_prob for control in controls) / CONTROLS
    return Check(
        name="comprehensiveness", passed=lost > average, value=lost, bound=average, unit="nats",
        note=f"the {count} best-ranked tokens hidden, against the mean of {CONTROLS} random choices",
    )  # fmt: skip


def random_span_control(replay: Replay, decision: Decision, places: Sequence[Place], scores: Sequence[float]) -> Check:
    """Where the claimed source's |score| ranks among random spans of its length; says nothing by itself."""
    free = decision.positions[0]
    size = min(free, sum(r.end - r.start for r in (replay.token_range(p.start, p.end) for p in places)))
    own = abs(span_totals(replay, places, scores))
    others = [abs(sum(scores[start : start + size])) for start in range(0, free - size + 1)]
    below = sum(other < own for other in others) / len(others)
    return Check(
        name="random_span_control", passed=None, value=below, bound=None, unit="share",
        note=f"share of the {len(others)} spans of {size} tokens before the decision that score less",
    )  # fmt: skip
