"""Self-consistency: sample several chains of thought, answer with the majority (Wang et al. 2022, arXiv 2203.11171).

Votes are plain code; who said what and who won goes to the recorder, because no wire shows it.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel

from agents.recorders.spans import RunRecorder

AnswerOf = Callable[[str], str | None]
"""A chain's text -> its answer, or None where it gives none."""


def samples(
    model: BaseChatModel, system: str, question: str, k: int, answer_of: AnswerOf, recorder: RunRecorder,
    temperature: float = 0.7, callbacks: Sequence[BaseCallbackHandler] = (),
) -> str:  # fmt: skip
    """The answer most chains give; of equals the one given first. ValueError when none gives any.

    Chain number r is drawn with seed r, so that each can be drawn again where the server honours seeds.
    """
    asked = [("system", system), ("user", question)]
    answers: list[str | None] = []
    for seed in range(k):
        drawn = model.bind(temperature=temperature, seed=seed)
        answers.append(answer_of(str(drawn.invoke(asked, {"callbacks": list(callbacks)}).content)))
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        raise ValueError(f"none of {k} chains gave an answer")
    winner = votes.most_common(1)[0][0]
    recorder.vote(answers, winner)
    return winner
