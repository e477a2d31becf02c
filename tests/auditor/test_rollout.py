"""A recorded run driven on after an edit of one of its steps, from what the ledger holds of it."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from auditor.errors import BadInput
from auditor.records.canonical import sha256_hex
from auditor.records.messages import Message
from auditor.records.structure import Structure
from auditor.rollout import AgentRollout
from auditor.structure.build import build, messages_of
from auditor.structure.threads import group


@pytest.fixture(scope="module")
def runs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rollout_runs", Path(__file__).with_name("structure") / "runs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["rollout_runs"] = module
    spec.loader.exec_module(module)
    return module


class Model:
    """Says the last message's numbers back; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(request)
        return {"role": "assistant", "content": f"now: {request['messages'][-1]['content']}"}


def rolled(calls: list[Any], spans: tuple[Any, ...] = ()) -> tuple[AgentRollout, Structure, Model]:
    store: dict[str, bytes] = {}

    def keep(data: bytes) -> str:
        store[sha256_hex(data)] = data
        return sha256_hex(data)

    (thread,) = group(calls, spans)
    structure, model = build(thread, keep, 1), Model()
    messages: dict[str, Message] = messages_of(structure, store.__getitem__)
    made = AgentRollout(lambda run: structure, lambda _: messages, lambda call: [], lambda run, seed: model)
    return made, structure, model


def test_a_swapped_tool_output_is_what_the_model_sees(runs: ModuleType) -> None:
    rollout, structure, model = rolled(runs.one_tool())
    (result,) = [step for step in structure.steps if step.kind == "tool_result"]
    assert rollout.continue_from("r", result.id, '{"price": 99}', 0) == 'now: {"price": 99}'
    assert [one["role"] for one in model.asked[0]["messages"]] == ["system", "user", "assistant", "tool"]
    assert model.asked[0]["messages"][2]["tool_calls"][0]["function"]["name"] == "lookup"


def test_a_changed_argument_stops_where_no_tool_may_run(runs: ModuleType) -> None:
    rollout, structure, _ = rolled(runs.one_tool())
    (asked,) = [step for step in structure.steps if step.kind == "tool_call"]
    with pytest.raises(BadInput, match="not marked pure and was not recorded with .*vase"):
        rollout.continue_from("r", asked.id, '{"item": "vase"}', 0)


def test_a_changed_prompt_and_a_changed_answer(runs: ModuleType) -> None:
    rollout, structure, model = rolled(runs.stepwise())
    prompt = next(step for step in structure.steps if step.rule == "role_user")
    assert rollout.continue_from("r", prompt.id, "The lamp starts at 7.", 0) == "now: The lamp starts at 7."
    answer = next(step for step in structure.steps if step.kind == "answer")
    assert rollout.continue_from("r", answer.id, "the lamp ends at 1.", 0).endswith("Answer: the lamp ends at 1.")
    assert len(model.asked) == 1


def test_a_changed_branch_runs_the_selector_again(runs: ModuleType) -> None:
    rollout, structure, model = rolled(runs.tree(), (runs.span(6, run="r", selection=runs.SELECTION),))
    scores = [step for step in structure.steps if step.kind == "score"]
    (selection,) = structure.selections
    other = next(step for step in scores if step.parent != selection.candidates[selection.chosen])
    decision = rollout.continue_from("r", other.id, "Score: 99", 0)
    taken = next(step for step in structure.steps if step.id == other.parent)
    assert taken.label in decision and len(model.asked) == 1


def test_what_cannot_be_edited_is_refused_in_words(runs: ModuleType) -> None:
    rollout, structure, _ = rolled(runs.one_tool())
    (call,) = [step for step in structure.steps if step.kind == "model_call"][:1]
    with pytest.raises(BadInput, match="no text of its own"):
        rollout.continue_from("r", call.id, "x", 0)
    with pytest.raises(BadInput, match="no step"):
        rollout.continue_from("r", "nothing", "x", 0)
