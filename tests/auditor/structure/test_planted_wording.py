"""The planted families' exact wording: every link whose truth is measured is found as one claim, for many draws."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from agents.planted import prompts
from agents.planted.families import FAMILIES, Task

SEEDS = (0, 1, 2)


def as_recorded(task: Task, runs: ModuleType) -> tuple[list[Any], list[Any]]:
    """The calls a perfect model makes of a task, and the recorder's span for a tree."""
    system = runs.said("system", task.system)
    if task.agent == "tree":
        return _tree(task, runs, system)
    messages = [system, runs.said("user", task.user)]
    calls = []
    if task.agent == "react":
        price = task.table[task.item]
        asked = [("lookup", {"item": task.item}, prompts.lookup_output(price))]
        if task.trait == "two_tools":
            quantity = int(task.user.rpartition("times ")[2].rstrip("?"))
            asked.append(
                ("calculator", {"expression": f"{price}*{quantity}"}, prompts.calculator_output(price * quantity))
            )
        for name, arguments, result in asked:
            ask = runs.said("assistant", runs.asks(f"call-{name}-0000", name, json.dumps(arguments)))
            calls.append(runs.recorded(len(calls), messages, ask, run="r"))
            messages = [*messages, ask, runs.gave(f"call-{name}-0000", None, result)]
    calls.append(runs.recorded(len(calls), messages, runs.said("assistant", task.expected), run="r"))
    return calls, []


def _tree(task: Task, runs: ModuleType, system: Any) -> tuple[list[Any], list[Any]]:
    boxes = [int(piece.rstrip(".").rpartition(" ")[2]) for piece in task.user.split(";")]
    options = [prompts.option_text(name, box) for name, box in zip(prompts.OPTION_NAMES, boxes, strict=True)]
    said = [(prompts.propose_prompt(task, k), option) for k, option in enumerate(options)]
    said += [
        (prompts.score_prompt(task, option), prompts.score_text(box // 10))
        for option, box in zip(options, boxes, strict=True)
    ]
    chosen = boxes.index(max(boxes))
    said.append((prompts.answer_prompt(task, options[chosen]), task.expected))
    calls = [
        runs.recorded(at, [system, runs.said("user", ask)], runs.said("assistant", text), run="r")
        for at, (ask, text) in enumerate(said)
    ]
    candidates = [{"text": option, "score": box // 10} for option, box in zip(options, boxes, strict=True)]
    selection = {"selector": "argmax", "candidates": candidates, "chosen": chosen}
    return calls, [runs.span(99, run="r", selection=selection)]


def wanted(task: Task) -> set[tuple[str, str, str]]:
    """(type, kind of the source's step, kind of the target's step) of the links whose truth is measured."""
    if task.agent == "react":
        found = {("tool_answer", "tool_result", "answer"), ("prompt_answer", "prompt", "tool_call")}
        return found | ({("tool_action", "tool_result", "tool_call")} if task.trait == "two_tools" else set())
    if task.agent == "chain":
        return {("step_answer", "thought", "answer"), ("prompt_answer", "prompt", "answer")}
    return {
        ("score_branch", "score", "selection"), ("branch_answer", "branch", "answer"),
        ("prompt_answer", "prompt", "answer"),
    }  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_every_measured_link_is_one_claim(family: str, runs: ModuleType, made: Callable[..., Any]) -> None:
    for task in [task for seed in SEEDS for task in FAMILIES[family].draw(seed, 12)]:
        calls, spans = as_recorded(task, runs)
        run = made(calls, spans)
        kinds = {step.id: step.kind for step in run.structure.steps}
        found = [(one.type, kinds[one.source_step], kinds[one.target_step]) for one in run.structure.claims]
        assert set(found) == wanted(task), f"{task.user} -> {task.expected}"
        answers = [one for one in found if one[2] != "tool_call"]
        assert len(answers) == len(set(answers)), f"one claim per source: {task.user} -> {found}"
        last = task.expected.rstrip(".").rpartition(" ")[2]
        assert {run.text(one.target) for one in run.structure.claims if kinds[one.target_step] == "answer"} == {last}
        assert run.structure.agent == task.agent
        assert all(finding.holds for finding in run.structure.findings), run.structure.findings
        assert run.structure.gaps == ()
