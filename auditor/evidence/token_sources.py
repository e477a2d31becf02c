"""Scores per token -> sources a page can show: the claim's own spans first, then every token before the decision.

Torch-free. A token's span is found by going back from its characters to the recorded part's bytes; tokens that the
template wrote have none.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.sources import Place, locate
from auditor.records.evidence import Estimate, Source, TokenRange
from auditor.records.messages import Span, part_text
from auditor.records.structure import Claim

MOST_TOKENS = 1024
"""Tokens listed one by one; of longer calls those with the largest |effect|."""


def token_spans(replay: Replay, stop: int) -> list[Span | None]:
    """The recorded span each of the tokens [0, stop) shows, None where it shows template text."""
    spans: list[Span | None] = [None] * stop
    for (ident, part), leaves in replay.rendering.placed.items():
        text = part_text(replay.question.messages[ident].parts[part])
        sizes = _byte_offsets(text)
        for placed in leaves:
            first, last = replay.encoded.covering(placed.shown[0], placed.shown[-1])
            for token in range(first, min(last, stop)):
                low, high = replay.encoded.offsets[token]
                a = max(0, bisect_right(placed.shown, low) - 1)
                b = min(bisect_left(placed.shown, high), len(placed.shown) - 1)
                start, end = placed.leaf.places[a], placed.leaf.places[b]
                if end > start and spans[token] is None:
                    spans[token] = Span(message=ident, part=part, start=sizes[start], end=sizes[end])
    return spans


def _byte_offsets(text: str) -> list[int]:
    offsets, at = [0], 0
    for character in text:
        at += len(character.encode("utf-8", "surrogatepass"))
        offsets.append(at)
    return offsets


def claim_places(replay: Replay, claim: Claim) -> tuple[Place, ...]:
    """Where the claim's sources stand in the call; ReplayRefused when one is not shown, or a selector stood between."""
    if claim.type == "score_branch":
        raise ReplayRefused(
            "unsupported", "a selector, not the model, turned scores into a choice; see method selector"
        )
    return tuple(dict.fromkeys(place for span in claim.sources for place in locate(replay, span)))


def sources_of(
    replay: Replay,
    decision: Decision,
    places: Sequence[Place],
    scores: Sequence[float],
    name: str,
    unit: str,
    beside: Mapping[str, Sequence[float]] | None = None,
    spans: Sequence[Span | None] | None = None,
) -> tuple[Source, ...]:
    """Sources of one target from one score per token (summed over a span's tokens). `beside`: more of them."""
    further = beside or {}

    def source(label: str, span: Span | None, tokens: TokenRange, **detail: object) -> Source:
        reach = slice(tokens.start, tokens.end)
        more = {key: sum(values[reach]) for key, values in further.items()}
        effect = Estimate(name=name, value=sum(scores[reach]), unit=unit)
        return Source(label=label[:80], span=span, effect=effect, tokens=tokens, detail={**more, **detail})

    stop = decision.positions[0]
    found = [
        source(place.text, place.claimed, replay.token_range(place.start, place.end), role="claimed source")
        for place in places
    ]
    known = spans if spans is not None else token_spans(replay, stop)
    chosen = sorted(range(stop), key=lambda token: -abs(scores[token]))[:MOST_TOKENS]
    digest = replay.loaded.tokenizer_digest
    for token in sorted(chosen):
        tokens = TokenRange(start=token, end=token + 1, tokenizer_digest=digest)
        found.append(source(replay.token_text(token), known[token], tokens, role="token"))
    return tuple(found)


def span_totals(replay: Replay, places: Sequence[Place], scores: Sequence[float]) -> float:
    """Sum of the scores of all tokens of the claimed sources, each token once."""
    tokens: set[int] = set()
    for place in places:
        reach = replay.token_range(place.start, place.end)
        tokens.update(range(reach.start, reach.end))
    return sum(scores[token] for token in tokens)
