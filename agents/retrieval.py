"""An answer with citations from retrieved documents (Lewis et al. 2020, arXiv 2005.11401): rank, quote, answer.

The retriever ranks by BM25 (Robertson & Zaragoza 2009), in plain code: what it found, with its scores, goes to the
recorder, and the prompt shows the documents as numbered blocks that the answer cites as [1], [2].
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel

from agents.recorders.spans import RunRecorder

_WORD = re.compile(r"\w+")
_K1, _B = 1.2, 0.75


@dataclass(frozen=True, kw_only=True)
class Found:
    """A document the retriever gave, its BM25 score beside it."""

    id: str
    text: str
    score: float


def rank(query: str, documents: Mapping[str, str], most: int) -> list[Found]:
    """The `most` best documents with a score above zero, best first; of equals the one that comes first."""
    words = {own: Counter(_WORD.findall(text.casefold())) for own, text in documents.items()}
    mean = sum(count.total() for count in words.values()) / len(words) if words else 0.0
    scores = {own: 0.0 for own in documents}
    for word in dict.fromkeys(_WORD.findall(query.casefold())):
        holders = sum(word in count for count in words.values())
        weight = math.log(1 + (len(words) - holders + 0.5) / (holders + 0.5))
        for own, count in words.items():
            if count[word]:
                length = 1 - _B + _B * count.total() / mean
                scores[own] += weight * count[word] * (_K1 + 1) / (count[word] + _K1 * length)
    best = sorted((own for own in scores if scores[own] > 0), key=lambda own: -scores[own])[:most]
    return [Found(id=own, text=documents[own], score=round(scores[own], 6)) for own in best]


def retrieval(
    model: BaseChatModel, system: str, question: str, documents: Mapping[str, str], recorder: RunRecorder,
    most: int = 3, callbacks: Sequence[BaseCallbackHandler] = (),
) -> str:  # fmt: skip
    """Find, show, answer; the text as the model wrote it, with its marks."""
    found = rank(question, documents, most)
    recorder.retrieved(question, [{"id": one.id, "content": one.text, "score": one.score} for one in found])
    shown = "\n\n".join(f"[{number}] {one.id}\n{one.text}" for number, one in enumerate(found, 1))
    prompt = f"{shown}\n\nQuestion: {question}"
    return str(model.invoke([("system", system), ("user", prompt)], {"callbacks": list(callbacks)}).content)
