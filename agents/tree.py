"""Tree of thoughts, one level deep: propose branches, score each, take the best, answer (arXiv 2305.10601).

The selector is plain code; what it was given and what it took goes to the recorder, because no wire shows it.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from langchain_core.language_models import BaseChatModel

from agents.recorders.spans import RunRecorder

SELECTORS: Mapping[str, Callable[[Sequence[float]], int]] = {
    "argmax": lambda scores: max(range(len(scores)), key=scores.__getitem__),
}


def tree(
    model: BaseChatModel, system: str, proposals: Sequence[str], score_prompt: Callable[[str], str],
    answer_prompt: Callable[[str], str], selector: str, recorder: RunRecorder,
) -> str:  # fmt: skip
    """One call per proposal, one per score, one for the answer; ties go to the earlier branch."""
    def ask(user: str) -> str:
        return str(model.invoke([("system", system), ("user", user)]).content).strip()

    branches = [ask(prompt) for prompt in proposals]
    scores = [score_of(ask(score_prompt(branch))) for branch in branches]
    chosen = SELECTORS[selector](scores)
    candidates = [{"text": text, "score": score} for text, score in zip(branches, scores, strict=True)]
    recorder.selection(selector, candidates, chosen)
    return ask(answer_prompt(branches[chosen]))


def score_of(text: str) -> float:
    """The last number in a scoring reply; ValueError when it has none."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    if not numbers:
        raise ValueError(f"the model gave no score: {text!r}")
    number = float(numbers[-1])
    return int(number) if number.is_integer() else number
