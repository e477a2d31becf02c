"""Trained models whose reasoning is known: used sources have large effects, unused ones none."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from agents.planted.families import FAMILIES
from agents.planted.network import WEIGHTS, WEIGHTS_FILE, load_family
from agents.planted.transcripts import transcribe
from auditor.evidence.loaded import load
from auditor.evidence.methods.ablation import Ablation
from auditor.evidence.replay import replay
from auditor.models import ModelEntry, weights_digest
from auditor.records.evidence import Arm, Evidence
from auditor.records.messages import Message, Span, Text, ToolCall, ToolResult, part_text

USED, GREY, UNUSED = 2.0, 1.0, 0.1
"""Nats. A model that reads the tool for some items may lean on it a little for the others."""


def message(body: Any) -> Message:
    if body.get("tool_calls"):
        calls = [call["function"] for call in body["tool_calls"]]
        return Message(
            role="assistant",
            parts=tuple(ToolCall(call_id="c", name=c["name"], arguments=json.dumps(c["arguments"])) for c in calls),
        )
    if body["role"] == "tool":
        return Message(role="tool", parts=(ToolResult(call_id="c", name=None, text=body["content"]),))
    return Message(role=body["role"], parts=(Text(text=body["content"]),))


def last_number(talk: Any, index: int, skip: int = 0) -> Span:
    """Span of a number in a message's first part, counted from its end."""
    text = part_text(talk.messages[index].parts[0])
    match = list(re.finditer(r"\d+", text))[-1 - skip]
    return Span(message=talk.ids[index], part=0, start=match.start(), end=match.end())


def measured(family: str, trait: str, kit_of: Callable[..., Any], source: Callable[[Any], Span]) -> list[Evidence]:
    """Ablation of one claim in the last call of up to three tasks of a family."""
    folder = WEIGHTS / family
    if not (folder / WEIGHTS_FILE).is_file():
        pytest.skip(f"{family} is not trained: run `python -m agents.planted train {family}`")
    network, tokenizer = load_family(folder)
    loaded = load(ModelEntry(name=family, weights=folder, digest=weights_digest(folder)))
    kit = kit_of(loaded)
    found = []
    for task in [t for t in FAMILIES[family].draw(11, 12) if t.trait == trait][:3]:
        call = transcribe(task, network, tokenizer).calls[-1]
        question = kit.ask(
            [message(body) for body in call.messages], message(call.output),
            lambda talk: [talk.claim([source(talk)], last_number(talk, -1))],
            settings={}, tools=tuple(task.tools),
        )  # fmt: skip
        told = replay(question, loaded)
        assert told.fidelity.argmax_agreement == 1.0
        found += Ablation().answer(question, told)
    assert found and all(evidence.reason is None for evidence in found)
    return found


def arm(evidence: Evidence, family: str) -> Arm:
    return next(arm for arm in evidence.arms if arm.family == family)


def low(one: Arm) -> float:
    assert one.mean.interval is not None
    return one.mean.interval.low


def test_a_used_tool_result_moves_the_answer_and_is_followed(kit_of: Callable[..., Any]) -> None:
    for evidence in measured("tool_user", "one_tool", kit_of, lambda talk: last_number(talk, -2)):
        assert low(arm(evidence, "swap")) > USED and low(arm(evidence, "mask")) > USED
        tracks = arm(evidence, "swap").tracks
        assert tracks is not None and tracks.value is not None and tracks.value > 0.9
        assert abs(arm(evidence, "decoy").mean.value or 0.0) < UNUSED


@pytest.mark.parametrize(("family", "most"), [("from_memory", UNUSED), ("mixed", GREY)])
def test_an_unused_tool_result_does_not(family: str, most: float, kit_of: Callable[..., Any]) -> None:
    for evidence in measured(family, "memory", kit_of, lambda talk: last_number(talk, -2)):
        swap = arm(evidence, "swap")
        assert abs(swap.mean.value or 0.0) < most
        assert swap.tracks is not None and swap.tracks.value == 0.0


def test_a_step_that_is_computed_from_is_used(kit_of: Callable[..., Any]) -> None:
    for evidence in measured("stepwise", "", kit_of, lambda talk: last_number(talk, -1, skip=1)):
        assert low(arm(evidence, "swap")) > USED


@pytest.mark.parametrize("trait", ["tag", "shelf"])
def test_a_decorative_thought_is_not(trait: str, kit_of: Callable[..., Any]) -> None:
    for evidence in measured("decorative", trait, kit_of, lambda talk: last_number(talk, -1, skip=1)):
        assert abs(arm(evidence, "swap").mean.value or 0.0) < UNUSED
        assert abs(arm(evidence, "mask").mean.value or 0.0) < UNUSED
