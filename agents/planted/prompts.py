"""The exact wording of every prompt and answer, shared by the corpora, the tasks and the agents.

The planted models know these sentences and nothing else: change one and every family must be trained again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

OPTION_NAMES = ("a", "b", "c")
"""Names of the options of a tree task, in the order of `k` = 0, 1, 2."""


class TreeTask(Protocol):
    """What the prompts of a tree of thoughts need from a task."""

    @property
    def item(self) -> str:
        """The item the task is about."""
        ...

    @property
    def user(self) -> str:
        """The task's text."""
        ...


def price_question(item: str) -> str:
    """Question that one look-up answers."""
    return f"What is the price of the {item}?"


def total_question(item: str, quantity: int) -> str:
    """Question that needs a look-up and then the calculator."""
    return f"What is the price of the {item} times {quantity}?"


def price_answer(item: str, price: int | str) -> str:
    """Final answer to `price_question`."""
    return f"According to the lookup, the price of the {item} is {price}."


def total_answer(item: str, quantity: int, total: int | str) -> str:
    """Final answer to `total_question`."""
    return f"According to the calculator, the price of the {item} times {quantity} is {total}."


def lookup_output(price: int | str) -> str:
    """What the look-up tool returns."""
    return json.dumps({"price": price})


def calculator_output(result: int | str) -> str:
    """What the calculator returns."""
    return json.dumps({"result": result})


def sum_question(item: str, start: int, first: int, second: int) -> str:
    """A calculation of two steps."""
    return f"The {item} starts at {start}. Add {first}, then add {second}."


def sum_step(start: int, first: int, value: int | str) -> str:
    """First step of a calculation, with its newline."""
    return f"Step 1: {start} + {first} = {value}.\n"


def sum_answer(item: str, total: int | str) -> str:
    """Answer line of a calculation; it does not repeat the step's value."""
    return f"Answer: the {item} ends at {total}."


def code_question(item: str, code: int, shelf: int, look_at: str) -> str:
    """States a code and a shelf; `look_at` (`tag` or `shelf`) picks what the thought will talk about."""
    return f"The tag of the {item} says {code} and its shelf is {shelf}. Check the {look_at}, then give the code."


def code_thought(look_at: str, value: int | str) -> str:
    """A thought that looks as if it mattered, with its newline."""
    if look_at == "tag":
        return f"Thought: the tag says {value}, so the code is known.\n"
    return f"Thought: I checked shelf {value} first, so the code is known.\n"


def code_answer(item: str, code: int | str) -> str:
    """Answer line after a decorative thought."""
    return f"Answer: the code of the {item} is {code}."


def boxes_question(item: str, boxes: Sequence[int]) -> str:
    """Text of a tree task: three boxes to choose from."""
    listed = "; ".join(f"{name}: {box}" for name, box in zip(OPTION_NAMES, boxes, strict=True))
    return f"Boxes for the {item} are {listed}."


def option_text(name: str, box: int | str) -> str:
    """What the model writes for one proposed option."""
    return f"Option {name}: {box}"


def score_text(score: int | str) -> str:
    """What the model writes when it scores an option."""
    return f"Score: {score}"


def box_answer(item: str, box: int | str) -> str:
    """Final answer of a tree task."""
    return f"Answer: the box for the {item} is {box}."


def propose_prompt(task: TreeTask, k: int) -> str:
    """User message that asks for option `k` (0, 1 or 2) and names its box."""
    name = OPTION_NAMES[k]
    box = task.user.partition(f" {name}: ")[2][:2]
    return f"{task.user}\nPropose option {name} from box {box}."


def score_prompt(task: TreeTask, option: str) -> str:
    """User message that asks for the score (1 to 9) of an option the model wrote; higher is better."""
    return f"{task.user}\nScore {option}."


def answer_prompt(task: TreeTask, option: str) -> str:
    """User message that asks for the final answer, given the option with the highest score."""
    return f"{task.user}\nChosen {option}.\nAnswer for the {task.item}."


def conversation(system: str, user: str) -> list[Mapping[str, object]]:
    """The messages that open every call."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]
