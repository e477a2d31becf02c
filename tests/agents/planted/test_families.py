"""Tasks and prompts: distinct, repeatable, and without torch."""

import subprocess
import sys

import pytest

from agents.planted import prompts
from agents.planted.families import FAMILIES
from agents.planted.words import HIGHEST, ITEMS, LOWEST, MIXED_FROM_MEMORY, memorised_price


@pytest.mark.parametrize("name", FAMILIES)
def test_a_draw_has_distinct_items_and_is_repeatable(name: str) -> None:
    tasks = FAMILIES[name].draw(3, 24)
    assert tasks == FAMILIES[name].draw(3, 24)
    assert tasks != FAMILIES[name].draw(4, 24)
    assert len({task.item for task in tasks}) == 24


@pytest.mark.parametrize("count", [-1, len(ITEMS) + 1])
def test_a_draw_beyond_the_vocabulary_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="distinct items"):
        FAMILIES["tool_user"].draw(0, count)


def test_memory_tasks_give_the_tool_the_memorised_price() -> None:
    """Nothing in the text may betray that the tool was not read."""
    for task in FAMILIES["from_memory"].draw(0, len(ITEMS)):
        assert task.table == {task.item: memorised_price("from_memory", task.item)}
        assert str(task.table[task.item]) in task.expected


def test_mixed_tasks_know_which_items_are_memorised() -> None:
    tasks = FAMILIES["mixed"].draw(5, len(ITEMS))
    assert {task.item for task in tasks if task.trait == "memory"} == MIXED_FROM_MEMORY
    assert 0 < len(MIXED_FROM_MEMORY) < len(ITEMS)


def test_two_tool_tasks_have_totals_of_three_digits() -> None:
    tasks = [t for seed in range(20) for t in FAMILIES["tool_user"].draw(seed, 40) if t.trait == "two_tools"]
    assert len(tasks) > 200
    for task in tasks:
        total = int(task.expected.rstrip(".").split()[-1])
        assert 100 <= total <= 999
        assert LOWEST <= task.table[task.item] <= HIGHEST


def test_tree_prompts_name_the_option_and_the_task() -> None:
    task = FAMILIES["branching"].draw(0, 1)[0]
    boxes = [int(prompts.propose_prompt(task, k).rstrip(".").split()[-1]) for k in range(task.branches)]
    assert prompts.boxes_question(task.item, boxes) == task.user
    for prompt in (prompts.score_prompt, prompts.answer_prompt):
        assert task.user in prompt(task, "Option b: 34")
        assert "Option b: 34" in prompt(task, "Option b: 34")


def test_families_and_corpora_load_without_torch() -> None:
    code = "import sys, agents.planted.corpus; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
