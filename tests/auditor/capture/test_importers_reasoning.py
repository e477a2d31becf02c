"""Logs of searches, sampled chains, episodes and worked solutions become runs; nothing is added to what they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.capture.importers.catalogue import importer
from auditor.capture.importers.imported import Imported
from auditor.errors import BadInput
from auditor.records.exchange import CHOICES_FACT
from auditor.records.messages import Text, ToolCall, ToolResult, part_text

STEP = {"step": 0, "x": "1 2 3", "ys": [""], "new_ys": ["a\n", "b\n", "a\n"], "values": [1.5, 3, 0],
        "select_new_ys": ["b\n", "a\n", "a\n"]}  # fmt: skip
VISIT = {"total_step": 0, "env_step": 1, "actions": ["h1. tasks"], "info": {"r": 0.5},
         "count": {"sure": 1, "maybe": 2, "impossible": 3}}  # fmt: skip
TURNS = {"actions": ["execute[SELECT 1]", "submit"], "observations": ["1", "1"], "rewards": [0, 0.5],
         "valid_action": [False, True]}  # fmt: skip
EPISODE = {"environment": "ic_sql", "task_id": 7, "query": "One?", "turn_history": TURNS, "hardness": "easy"}


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def read(name: str, value: Any) -> list[Imported]:
    found = list(importer(name).read(value if isinstance(value, bytes) else dump(value)))
    assert all(isinstance(one, Imported) for one in found)
    return found  # type: ignore[return-value]


def event(run: Imported, place: int) -> Any:
    assert run.messages[place].role == "event"
    return json.loads(part_text(run.messages[place].parts[0]))


def test_a_breadth_first_log_is_the_puzzle_and_its_selections() -> None:
    (run,) = read("tree_of_thoughts", [{"idx": 900, "steps": [STEP], "ys": ["c"], "infos": [{"r": 1}]}])
    assert (run.run, run.model) == ("tree_of_thoughts/breadth_first/900", "unknown")
    assert run.messages[0].role == "user" and part_text(run.messages[0].parts[0]) == "1 2 3"
    assert event(run, 1) == {
        "selector": "greedy", "depth": 1, "state": [""], "chosen": 1, "kept": [1, 0, 2],
        "candidates": [{"text": "a\n", "score": 1.5}, {"text": "b\n", "score": 3}, {"text": "a\n", "score": 0}],
    }  # fmt: skip
    assert run.facts == {"idx": 900, "infos": [{"r": 1}], "ys": ["c"]}


def test_a_depth_first_log_is_its_visits() -> None:
    (run,) = read("tree_of_thoughts", [[VISIT]])
    assert run.run == "tree_of_thoughts/depth_first/0" and event(run, 0) == {"puzzle": 0}
    assert event(run, 1) == {"selector": "depth_first", "prune_from": 1, "visits": [{
        "path": ["h1. tasks"], "score": 3, "counts": VISIT["count"], "info": {"r": 0.5}, "total_step": 0, "env_step": 1,
    }]}  # fmt: skip


def test_samples_are_choices_of_one_call() -> None:
    (run,) = read("tree_of_thoughts", [{"idx": 3, "ys": ["Answer: 1", "Answer: 2"], "infos": []}])
    assert [one.role for one in run.messages] == ["event", "assistant", "assistant"]
    assert event(run, 0) == {"idx": 3} and run.facts[CHOICES_FACT] == [[1, 2]]


def test_an_episode_is_its_turns() -> None:
    react = {**EPISODE, "turn_history": TURNS | {"thoughts": ["try", "done"]}}
    (plain,) = read("intercode", {"7": EPISODE})
    (run,) = read("intercode", {"7": react})
    assert (plain.run, run.run) == ("intercode/ic_sql/multi_turn/7", "intercode/ic_sql/react/7")
    assert [one.role for one in run.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert run.messages[1].parts == (
        Text(text="try"), ToolCall(call_id="0", name="execute", arguments="execute[SELECT 1]"),
    )  # fmt: skip
    assert run.messages[4].parts == (ToolResult(call_id="1", name="submit", text="1"),)
    assert plain.messages[1].parts == (ToolCall(call_id="0", name="ic_sql", arguments="execute[SELECT 1]"),)
    assert run.facts == {
        "environment": "ic_sql", "task_id": 7, "hardness": "easy", "rewards": [0, 0.5], "valid_action": [False, True],
    }  # fmt: skip


def test_solutions_are_runs_of_their_solvers() -> None:
    lines = dump({"question": "q", "answer": "1+1=<<1+1=2>>2\n#### 2"}) + b"\n"
    (run,) = read("gsm8k", lines)
    assert run.run.startswith("gsm8k/0-") and part_text(run.messages[1].parts[0]) == "1+1=<<1+1=2>>2\n#### 2"
    solved = {"question": "q", "ground_truth": "A: 2", "6b": {"solution": "A: 2", "is_correct": True}}
    (run,) = read("gsm8k", dump(solved) + b"\n")
    assert run.model == "6b" and run.run.endswith("/6b")
    assert run.facts == {"ground_truth": "A: 2", "is_correct": True}


@pytest.mark.parametrize(("name", "value", "field"), [
    ("tree_of_thoughts", {}, "file"), ("tree_of_thoughts", b"[", "file"), ("tree_of_thoughts", [1], "entry 0"),
    ("tree_of_thoughts", [{"idx": 1}], "entry 0"), ("tree_of_thoughts", [{"ys": ["a"]}], "entry 0.idx"),
    ("tree_of_thoughts", [{"idx": 1, "ys": [1]}], "entry 0.ys[0]"),
    ("tree_of_thoughts", [{"idx": 1, "steps": []}], "entry 0.steps"),
    ("tree_of_thoughts", [{"idx": 1, "steps": [STEP, STEP | {"x": "9"}]}], "entry 0.steps"),
    ("tree_of_thoughts", [{"idx": 1, "steps": [STEP | {"values": [1]}]}], "entry 0.steps[0].values"),
    ("tree_of_thoughts", [{"idx": 1, "steps": [STEP | {"values": [1, True, 2]}]}], "entry 0.steps[0].values[1]"),
    ("tree_of_thoughts", [{"idx": 1, "steps": [STEP | {"select_new_ys": ["z"]}]}], "entry 0.steps[0].select_new_ys[0]"),
    ("tree_of_thoughts", [[VISIT, VISIT | {"actions": []}]], "entry 0[1].actions"),
    ("tree_of_thoughts", [[VISIT | {"count": {}}]], "entry 0[0].count.impossible"),
    ("intercode", {}, "entry 0"), ("intercode", {"0": 1}, "episode 0"),
    ("intercode", {"0": EPISODE | {"query": 1}}, "episode 0.query"),
    ("intercode", {"0": EPISODE | {"task_id": None}}, "episode 0.task_id"),
    ("intercode", {"0": EPISODE | {"turn_history": TURNS | {"rewards": [1]}}}, "episode 0.turn_history.rewards"),
    ("intercode", {"0": EPISODE | {"turn_history": TURNS | {"actions": [1, 2]}}}, "episode 0.turn_history.actions[0]"),
    ("gsm8k", b"x", "file"), ("gsm8k", {"question": "q"}, "entry 0.answer"),
    ("gsm8k", {"question": "q", "answer": 3}, "entry 0.answer"),
])  # fmt: skip
def test_a_wrong_file_names_the_place(name: str, value: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(name, value)
    assert caught.value.field.replace("line 1", "entry 0") == field
    assert caught.value.fix


@pytest.mark.parametrize(("name", "path", "runs", "messages"), [
    ("tree_of_thoughts", "traces/tree_of_thoughts/game24_propose_value_greedy.json", 100, 500),
    ("tree_of_thoughts", "traces/tree_of_thoughts/game24_cot_sc_100.json", 100, 10_100),
    ("tree_of_thoughts", "traces/tree_of_thoughts/crosswords_dfs_prune.json", 20, 1_876),
    ("intercode", "traces/intercode/sql_react_gpt35.json", 1_034, 12_136),
    ("intercode", "traces/intercode/sql_multiturn_gpt4.json", 1_034, 12_768),
    ("gsm8k", "tasks/gsm8k/test.jsonl", 1_319, 2_638),
    ("gsm8k", "tasks/gsm8k/example_model_solutions.jsonl", 5_276, 10_552),
])  # fmt: skip
def test_published_files_are_read(shared_data: Path, name: str, path: str, runs: int, messages: int) -> None:
    told: list[tuple[int, int]] = []
    found = list(importer(name).read(shared_data / path, lambda done, total: told.append((done, total))))
    assert len(found) == len({one.run for one in found if isinstance(one, Imported)}) == runs
    assert sum(len(one.messages) for one in found if isinstance(one, Imported)) == messages
    assert told and told[-1][0] == told[-1][1] == (shared_data / path).stat().st_size
