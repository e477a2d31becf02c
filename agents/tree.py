"""Tree of thoughts: propose branches, value each, search (Yao et al. 2023, arXiv 2305.10601).

Breadth first keeps the best states of every level; depth first goes on from a state unless its value is below a bound.
The selector is plain code; what it was given and what it took goes to the recorder, because no wire shows it.
"""

from collections.abc import Callable, Sequence

from langchain_core.language_models import BaseChatModel

from agents.recorders.spans import RunRecorder
from agents.selectors import choose, score_of

Ask = Callable[[str], str]
"""Prompt -> what the model says."""
Propose = Callable[[str], Sequence[str]]
"""State (empty at the root) -> the prompts that ask for its continuations; none where it is complete."""
Value = Callable[[str], str]
"""State -> the prompt that asks for its value."""


def tree(
    model: BaseChatModel, system: str, proposals: Sequence[str], score_prompt: Value,
    answer_prompt: Callable[[str], str], selector: str, recorder: RunRecorder,
) -> str:  # fmt: skip
    """One level: one call per proposal, one per score, one for the answer; ties go to the earlier branch."""
    def ask(user: str) -> str:
        return str(model.invoke([("system", system), ("user", user)]).content).strip()

    best = breadth_first(
        ask, lambda state: () if state else proposals, score_prompt, depth=1, keep=1, selector=selector,
        recorder=recorder,
    )  # fmt: skip
    return ask(answer_prompt(best))


def breadth_first(
    ask: Ask, propose: Propose, value: Value, *, depth: int, keep: int, selector: str, recorder: RunRecorder
) -> str:  # fmt: skip
    """The best state after `depth` levels; the last level that had any, where states were complete before."""
    states = [""]
    for level in range(1, depth + 1):
        grown = [(state, ask(prompt)) for state in states for prompt in propose(state)]
        if not grown:
            break
        scores = [score_of(ask(value(text))) for _, text in grown]
        kept = choose(selector, scores, keep)
        if kept is None:
            raise ValueError(f"there is no selector {selector!r}")
        candidates = [
            {"text": text, "score": score} | ({"parent": parent} if parent else {})
            for (parent, text), score in zip(grown, scores, strict=True)
        ]
        recorder.selection(selector, candidates, kept, level)
        states = [grown[index][1] for index in kept]
    return states[0]


def depth_first(
    ask: Ask, propose: Propose, value: Value, *, depth: int, prune_below: float, most: int, recorder: RunRecorder
) -> str:  # fmt: skip
    """The first state found at `depth` that is not pruned, else the best of those visited; at most `most` visits."""
    visited: list[tuple[float, str]] = []

    def search(path: tuple[str, ...]) -> str | None:
        for prompt in propose(path[-1] if path else ""):
            if len(visited) >= most:
                return None
            text = ask(prompt)
            score = score_of(ask(value(text)))
            visited.append((score, text))
            own = (*path, text)
            recorder.visit(own, score, prune_below)
            if score >= prune_below:
                found = text if len(own) == depth else search(own)
                if found is not None:
                    return found
        return None

    found = search(())
    if found is None and not visited:
        raise ValueError("nothing was proposed")
    return found if found is not None else max(visited, key=lambda one: one[0])[1]
