"""Plan and execute: one call writes numbered steps, each is done in order, a last call answers (arXiv 2305.04091)."""

import re
from collections.abc import Callable, Sequence

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel

_STEP = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+(?P<text>\S[^\n]*)$", re.MULTILINE)
MOST_STEPS = 12

Execute = Callable[[str], str]
"""One step of the plan, with what was found before it -> what came of it; another agent, a tool, a model call."""


def steps_of(plan: str) -> list[str]:
    """The numbered lines of a plan; ValueError when there are none."""
    steps = [found["text"].strip() for found in _STEP.finditer(plan)][:MOST_STEPS]
    if not steps:
        raise ValueError(f"the plan has no numbered steps: {plan[:200]!r}")
    return steps


def plan_and_execute(
    model: BaseChatModel, system: str, question: str, execute: Execute, callbacks: Sequence[BaseCallbackHandler] = (),
) -> str:  # fmt: skip
    """Plan, do every step, answer from what came of them."""
    def ask(user: str) -> str:
        return str(model.invoke([("system", system), ("user", user)], {"callbacks": list(callbacks)}).content).strip()

    steps = steps_of(ask(f"{question}\nWrite a plan."))
    done: list[str] = []
    for step in steps:
        done.append(f"{step} -> {execute(chr(10).join([*done, step]))}")
    results = "\n".join(f"{number}. {line}" for number, line in enumerate(done, 1))
    return ask(f"{question}\n{results}\nAnswer.")
