"""Branch selectors: plain code over scores, so that what they took can be worked out again from what they saw."""

import re
from collections.abc import Callable, Mapping, Sequence

Selector = Callable[[Sequence[float], int], tuple[int, ...]]
"""(scores, how many to keep) -> indices that were kept, the first of them the best; ties go to the earlier one."""


def _highest(scores: Sequence[float], keep: int) -> tuple[int, ...]:
    return tuple(sorted(range(len(scores)), key=lambda index: -scores[index])[:keep])


SELECTORS: Mapping[str, Selector] = {
    "argmax": lambda scores, keep: _highest(scores, 1),
    "argmin": lambda scores, keep: _highest([-score for score in scores], 1),
    "first": lambda scores, keep: (0,),
    "greedy": _highest,
}


def choose(selector: str, scores: Sequence[float], keep: int = 1) -> tuple[int, ...] | None:
    """What a selector takes of these scores; None for one that is not known, or without scores."""
    return SELECTORS[selector](scores, max(1, keep)) if selector in SELECTORS and scores else None


def score_of(text: str) -> float:
    """The last number in a scoring reply; ValueError when it has none."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    if not numbers:
        raise ValueError(f"the model gave no score: {text[:100]!r}")
    number = float(numbers[-1])
    return int(number) if number.is_integer() else number
