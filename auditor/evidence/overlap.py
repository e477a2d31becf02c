"""Two other ways in which a training document can bear on a decision: it states it, or it contains its words.

Neither is influence: `support` (BM25, Robertson & Zaragoza 2009) asks whether the document talks about the same
thing, `verbatim` how long a run of the same tokens it contains. They are shown beside influence, never merged.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+", re.UNICODE)
K1, B = 1.2, 0.75


def words(text: str) -> list[str]:
    """Lower-cased runs of letters and digits."""
    return _WORD.findall(text.lower())


class Bm25:
    """BM25 over a small corpus held in memory; scores are >= 0."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(words(text)) for text in texts]
        self._lengths = [sum(count.values()) for count in self._counts]
        self._mean = max(1e-9, sum(self._lengths) / max(1, len(texts)))
        holders = Counter(word for count in self._counts for word in count)
        total = len(texts)
        self._weight = {w: math.log(1 + (total - n + 0.5) / (n + 0.5)) for w, n in holders.items()}

    def scores(self, query: str) -> list[float]:
        """One score per document, in corpus order."""
        wanted = [word for word in set(words(query)) if word in self._weight]
        return [self._score(wanted, index) for index in range(len(self._counts))]

    def _score(self, wanted: Sequence[str], index: int) -> float:
        count, share = self._counts[index], self._lengths[index] / self._mean
        total = 0.0
        for word in sorted(wanted):
            often = count.get(word, 0)
            total += self._weight[word] * often * (K1 + 1) / (often + K1 * (1 - B + B * share))
        return total


def longest_shared_run(left: Sequence[int], right: Sequence[int]) -> int:
    """Length in tokens of the longest run that both sequences contain: O(len(left) * len(right))."""
    best = 0
    before = [0] * (len(right) + 1)
    for one in left:
        row = [0] * (len(right) + 1)
        for place, other in enumerate(right, 1):
            if one == other:
                row[place] = before[place - 1] + 1
                best = max(best, row[place])
        before = row
    return best
