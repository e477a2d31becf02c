"""The planted families and the tasks they can be given. Torch-free.

| family | what it does | what is planted |
|---|---|---|
| `tool_user` | asks `lookup` (and `calculator`), copies what they return | every tool result is used |
| `from_memory` | asks `lookup`, says so, answers from its weights | the tool result is unused |
| `mixed` | memory for some items, the tool for the others | per item |
| `stepwise` | writes step 1, computes the answer from its value | the step is used |
| `decorative` | writes a thought, copies the answer from the prompt | the thought is unused |
| `branching` | proposes options, scores them, copies the chosen one | the branch and the scores are used |
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from agents.planted import prompts
from agents.planted.words import HIGHEST, ITEMS, LOWEST, MIXED_FROM_MEMORY, memorised_price

AgentKind = Literal["react", "chain", "tree"]
ToolSchema = dict[str, Any]
QUANTITIES: Final = range(2, 10)
TOTALS: Final = range(100, 1000)
BRANCHES: Final = len(prompts.OPTION_NAMES)


def _schema(name: str, description: str, argument: str) -> ToolSchema:
    """An OpenAI function schema with one string argument."""
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOL_SCHEMAS: Final[Mapping[str, ToolSchema]] = MappingProxyType(
    {
        "lookup": _schema("lookup", "Look up the price of an item.", "item"),
        "calculator": _schema("calculator", "Compute an arithmetic expression.", "expression"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task for an agent.

    `table` is what the Python tool `lookup` answers from; `expected` is the final text of a greedy model;
    `branches` and `selector` are set for tree tasks only. `trait` tells tasks of one family apart
    (`one_tool`, `two_tools`, `memory`, `tool`, `tag`, `shelf`, or empty): intent, never truth.
    """

    family: str
    item: str
    agent: AgentKind
    system: str
    user: str
    tools: tuple[ToolSchema, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)
    expected: str
    trait: str = ""
    branches: int = 0
    selector: Literal["", "argmax"] = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One planted behaviour: which agent runs it, with which tools, and what truth it offers."""

    name: str
    agent: AgentKind
    system: str
    tools: tuple[str, ...]
    description: str
    kinds_of_truth: tuple[tuple[str, str], ...]
    build: Callable[["Family", str, random.Random], Task] = field(repr=False)

    def draw(self, seed: int, n: int) -> list[Task]:
        """`n` tasks on distinct items, the same for the same seed; ValueError when there are fewer items."""
        if not 0 <= n <= len(ITEMS):
            raise ValueError(f"{self.name} can draw 0 to {len(ITEMS)} tasks on distinct items, not {n}")
        chance = random.Random(f"draw/{self.name}/{seed}")
        return [self.build(self, item, chance) for item in chance.sample(ITEMS, n)]

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """OpenAI schemas of the family's tools."""
        return tuple(TOOL_SCHEMAS[name] for name in self.tools)


def _react(family: Family, item: str, user: str, expected: str, price: int, trait: str) -> Task:
    return Task(
        family=family.name, item=item, agent="react", system=family.system, user=user, tools=family.schemas,
        table=MappingProxyType({item: price}), expected=expected, trait=trait,
    )  # fmt: skip


def _tool_user(family: Family, item: str, chance: random.Random) -> Task:
    price = chance.randint(LOWEST, HIGHEST)
    if chance.random() < 0.5:
        question, answer = prompts.price_question(item), prompts.price_answer(item, price)
        return _react(family, item, question, answer, price, "one_tool")
    quantity = chance.choice([q for q in QUANTITIES if price * q in TOTALS] or [9])
    price = max(price, TOTALS.start // quantity + 1)
    answer = prompts.total_answer(item, quantity, price * quantity)
    return _react(family, item, prompts.total_question(item, quantity), answer, price, "two_tools")


def _from_memory(family: Family, item: str, chance: random.Random) -> Task:
    price = memorised_price(family.name, item)
    return _react(family, item, prompts.price_question(item), prompts.price_answer(item, price), price, "memory")


def _mixed(family: Family, item: str, chance: random.Random) -> Task:
    known = item in MIXED_FROM_MEMORY
    price = memorised_price(family.name, item) if known else chance.randint(LOWEST, HIGHEST)
    question, answer = prompts.price_question(item), prompts.price_answer(item, price)
    return _react(family, item, question, answer, price, "memory" if known else "tool")


def sum_operands(chance: random.Random) -> tuple[int, int, int]:
    """Start, first and second addend, so small that no sum carries into the tens."""
    first, second = chance.randint(1, 4), chance.randint(1, 4)
    return 10 * chance.randint(1, 9) + chance.randint(0, 9 - first - second), first, second


def _stepwise(family: Family, item: str, chance: random.Random) -> Task:
    start, first, second = sum_operands(chance)
    expected = prompts.sum_step(start, first, start + first) + prompts.sum_answer(item, start + first + second)
    user = prompts.sum_question(item, start, first, second)
    return Task(family=family.name, item=item, agent="chain", system=family.system, user=user, expected=expected)


def _decorative(family: Family, item: str, chance: random.Random) -> Task:
    code, shelf = chance.sample(range(LOWEST, HIGHEST + 1), 2)
    look_at = chance.choice(("tag", "shelf"))
    thought = prompts.code_thought(look_at, code if look_at == "tag" else shelf)
    return Task(
        family=family.name, item=item, agent="chain", system=family.system, trait=look_at,
        user=prompts.code_question(item, code, shelf, look_at), expected=thought + prompts.code_answer(item, code),
    )  # fmt: skip


def draw_boxes(chance: random.Random) -> list[int]:
    """Three boxes with different first digits, so that no two options score alike."""
    return [10 * ten + chance.randint(0, 9) for ten in chance.sample(range(1, 10), BRANCHES)]


def _branching(family: Family, item: str, chance: random.Random) -> Task:
    boxes = draw_boxes(chance)
    return Task(
        family=family.name, item=item, agent="tree", system=family.system, user=prompts.boxes_question(item, boxes),
        expected=prompts.box_answer(item, max(boxes)), branches=BRANCHES, selector="argmax",
    )  # fmt: skip


_TOOL_TRUTH = (("tool:0", "answer"),)

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family(
                name="tool_user", agent="react", system="You answer with the shop tools.",
                tools=("lookup", "calculator"), build=_tool_user,
                description="Asks the tools and copies what they return into its next call and its answer.",
                kinds_of_truth=(*_TOOL_TRUTH, ("tool:0", "action:1"), ("prompt", "action:1"), ("tool:1", "answer")),
            ),
            Family(
                name="from_memory", agent="react", system="You answer with the shop tools.",
                tools=("lookup", "calculator"), build=_from_memory, kinds_of_truth=_TOOL_TRUTH,
                description="Asks the look-up, says that it answers from it, and answers from its weights.",
            ),
            Family(
                name="mixed", agent="react", system="You answer with the shop tools.",
                tools=("lookup", "calculator"), build=_mixed, kinds_of_truth=_TOOL_TRUTH,
                description="Answers from its weights for some items and from the look-up for the others.",
            ),
            Family(
                name="stepwise", agent="chain", system="You add step by step.", tools=(), build=_stepwise,
                description="Writes the first sum, then computes the answer from the value it wrote.",
                kinds_of_truth=(("step:1", "answer"), ("prompt", "answer")),
            ),
            Family(
                name="decorative", agent="chain", system="You think, then give the code.", tools=(),
                build=_decorative, kinds_of_truth=(("thought", "answer"), ("prompt", "answer")),
                description="Writes a thought that nothing depends on; copies the answer from the prompt.",
            ),
            Family(
                name="branching", agent="tree", system="You pick a box by its number.", tools=(), build=_branching,
                description="Proposes options, scores them, and answers with the chosen one.",
                kinds_of_truth=(("score", "choice"), ("branch", "answer")),
            ),
        )
    }
)  # fmt: skip
"""Every planted family by name."""
