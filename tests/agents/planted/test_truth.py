"""The shipped models: accurate on fresh draws, and their measured truth is the planted one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from agents.planted.families import FAMILIES, Task
from agents.planted.network import WEIGHTS, load_family, weights_digest
from agents.planted.sites import site
from agents.planted.tokenizer import chat_text, encode
from agents.planted.transcripts import Transcript, transcribe
from agents.planted.truth import Label, label

DRAW, COUNT = 77, 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two cores are shared with other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=list(FAMILIES))
def spoken(request: pytest.FixtureRequest) -> tuple[str, Any, Any, list[Transcript]]:
    """A family, its model and tokenizer, and greedy transcripts of fresh tasks."""
    network, tokenizer = load_family(WEIGHTS / request.param)
    tasks = FAMILIES[request.param].draw(DRAW, COUNT)
    return request.param, network, tokenizer, [transcribe(task, network, tokenizer) for task in tasks]


def intended(task: Task, source: str, target: str) -> str:
    """What the family was built for; the measured labels must agree."""
    if (source, target) == ("tool:0", "answer"):
        return "used" if task.trait in ("one_tool", "tool") else "unused"
    return "unused" if source == "thought" else "used"


def test_answers_are_right_and_labels_as_planted(spoken: tuple[str, Any, Any, list[Transcript]]) -> None:
    family, _, _, runs = spoken
    assert [run.answer for run in runs] == [run.task.expected for run in runs]
    tasks = {run.task.item: run.task for run in runs}
    labels = label(family, list(tasks.values()), transcripts=runs)
    assert {(one.source, one.target) for one in labels} <= set(FAMILIES[family].kinds_of_truth)
    for one in labels:
        assert one.truth == intended(tasks[one.item], one.source, one.target), one
        if one.effect_nats is None:
            continue
        assert one.hidden_nats is not None and one.deleted_nats is not None and one.margin is not None
        if (family, one.source) == ("stepwise", "prompt"):
            # The operand has four values: with it hidden or deleted the model may still guess right.
            assert one.effect_nats >= 2, one
        elif one.truth == "used":
            assert min(one.effect_nats, one.hidden_nats, one.deleted_nats) >= 2, one
        else:
            assert one.margin_nats is not None and one.largest_nats is not None
            assert one.largest_nats <= 0.02, one
            assert one.margin_nats <= max(0.5, 0.1 * one.margin), one


def test_a_table_row_equals_the_slow_full_pass_in_double_precision(
    spoken: tuple[str, Any, Any, list[Transcript]],
) -> None:
    """Prefix reuse and batching must not change the effect: compare with plain passes over edited text."""
    family, _, tokenizer, runs = spoken
    source, target = next(link for link in FAMILIES[family].kinds_of_truth if link[0] != "score")
    if source == "tool:0" and runs[0].task.trait == "two_tools":
        target = "action:1"
    found = site(runs[0], source, target, tokenizer)
    network, _ = load_family(WEIGHTS / family)
    network = network.double()
    logs = []
    for value in (found.recorded, *found.values):
        text = found.text[: found.value[0]] + value + found.text[found.value[1] :]
        rendered = encode(tokenizer, text)
        decision = rendered.tokens(*found.target)
        with torch.inference_mode():
            scores = network(torch.tensor([rendered.ids])).logits[0].log_softmax(-1)
        logs.append(sum(scores[n - 1, rendered.ids[n]].item() for n in decision))
    mean = sum(abs(logs[0] - other) for other in logs[1:]) / len(found.values)
    measured = [one for one in label(family, [runs[0].task], transcripts=runs[:1]) if one.source == source]
    assert any(one.effect_nats == pytest.approx(mean, abs=1e-4, rel=1e-4) for one in measured if one.target == target)


def test_labels_are_the_same_when_measured_again() -> None:
    tasks = FAMILIES["mixed"].draw(5, 2)
    assert label("mixed", tasks) == label("mixed", tasks)


def test_the_selector_table_is_exact() -> None:
    """Three distinct scores: of the five other orders, four move the largest one."""
    [score] = [one for one in label("branching", FAMILIES["branching"].draw(1, 1)) if one.source == "score"]
    assert (score.rows, score.flip, score.truth, score.effect_nats) == (5, pytest.approx(0.8), "used", None)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_loses_nothing_and_keeps_digits_single(family: str) -> None:
    _, tokenizer = load_family(WEIGHTS / family)
    for task in FAMILIES[family].draw(2, 5):
        for text in (chat_text(tokenizer, [{"role": "user", "content": task.user}], task.tools), "  é 7\t\n{}ß漢 "):
            assert tokenizer.decode(encode(tokenizer, text).ids) == text
    assert len(encode(tokenizer, "4821").ids) == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_shipped_weights_are_small_and_as_recorded(family: str) -> None:
    folder = WEIGHTS / family
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["weights_sha256"] == weights_digest(folder)
    assert recipe["accuracy"] == 1.0
    assert recipe["parameters"] <= 2_000_000
    assert (folder / "model.safetensors").stat().st_size <= 2_000_000


@pytest.mark.slow
def test_a_family_trained_from_scratch_has_the_same_truth(tmp_path: Any) -> None:
    """Another seed, another corpus: the labels are a property of the recipe, not of one lucky run."""
    from agents.planted.train import train

    recipe = train("decorative", seed=1, out=tmp_path / "decorative")
    assert recipe["accuracy"] == 1.0
    tasks = FAMILIES["decorative"].draw(DRAW, 8)

    def truths(labels: list[Label]) -> list[tuple[str, str, str, str]]:
        return [(one.item, one.source, one.target, one.truth) for one in labels]

    assert truths(label("decorative", tasks, tmp_path / "decorative")) == truths(label("decorative", tasks))
