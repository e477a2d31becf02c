"""Several answers to one prompt are a sample set; what the run says was voted for is compared with them."""

import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from auditor.records.exchange import CHOICES_FACT, Payload, Transcript
from auditor.records.messages import Message, Text
from auditor.records.telemetry import RUN_ATTRIBUTE, VOTE_ATTRIBUTE, TelemetrySpan
from auditor.structure.answers import normal_answer
from auditor.structure.inputs import RecordedSpan, RecordedTranscript

Made = Callable[..., Any]


def transcript(*messages: Message, choices: object = None) -> RecordedTranscript:
    value = Transcript(format="f", run="r", model="m", messages=Payload(address="a", size=1), tools=None, origin="o",
                       facts={CHOICES_FACT: choices})  # fmt: skip
    return RecordedTranscript(position=1, id="1" * 64, project="p", transcript=value, messages=messages)


def said(role: str, text: str) -> Message:
    return Message(role=role, parts=(Text(text=text),))  # type: ignore[arg-type]


def vote(winner: object, position: int = 9, text: str | None = None) -> RecordedSpan:
    attributes = {RUN_ATTRIBUTE: "r", VOTE_ATTRIBUTE: text or json.dumps({"winner": winner})}
    at = "2026-01-02T00:01:00.000000000Z"
    value = TelemetrySpan(
        trace_id="1" * 32, span_id="4" * 16, parent_span_id=None, name="vote", kind=1, started=at, ended=at,
        attributes=attributes, resource={}, scope=None, status="unset", events=(),
    )  # fmt: skip
    return RecordedSpan(position=position, id="9" * 64, project="p", span=value)


def sampled(runs: ModuleType, *answers: str) -> list[Any]:
    ask = [runs.said("user", "What is six times seven?")]
    return [runs.recorded(at, ask, runs.said("assistant", text), run="r") for at, text in enumerate(answers)]


def test_choices_of_a_transcript_are_one_call_and_one_set(made: Made) -> None:
    chain = "So 6 * 7 = 42.\nAnswer: 42"
    answers = [chain, "Answer: 41", "Answer: $42.0", chain, "**Answer:** 7"]
    run = made(transcripts=[transcript(said("user", "q"), *(said("assistant", one) for one in answers),
                                       said("user", "thanks"), choices=[[1, 5]])])  # fmt: skip
    (call,) = run.structure.calls
    assert len(call.outputs) == 5 and len(set(call.outputs)) == 4
    (samples,) = run.structure.samples
    assert samples.answers == ("42", "41", "42", "42", "7") and samples.calls == (call.id,) * 5
    assert (samples.votes, samples.winner, samples.agreement) == ({"42": 3, "41": 1, "7": 1}, "42", 0.6)
    assert (samples.grade, samples.rule, samples.stated) == ("recorded", "choices", None)
    steps = {one.id: one for one in run.structure.steps}
    assert samples.steps[0] == samples.steps[3] and len(steps) == len(run.structure.steps)
    assert [run.text(steps[one].span) for one in samples.steps] == ["42", "41", "$42.0", "42", "7"]
    prompt, *_, thanks = run.structure.messages
    assert samples.prompt == prompt.id and thanks.parent == call.outputs[0]


@pytest.mark.parametrize("choices", [
    [[1, 3]], [[0, 2]], [[1, 0]], [[-1, 1]], [["1", 2]], [[1, 2], [2, 1]], [3], [[1, 2, 3]], [[1, True]],
])  # fmt: skip
def test_choices_that_do_not_fit_are_a_gap(made: Made, choices: object) -> None:
    messages = said("user", "q"), said("assistant", "Answer: 1"), said("assistant", "Answer: 2")
    run = made(transcripts=[transcript(*messages, choices=choices)])
    assert run.structure.gaps == ("what a transcript says of its choices does not fit its messages",)


def test_choices_of_a_recorded_call(runs: ModuleType, made: Made) -> None:
    outputs = [runs.said("assistant", f"Answer: {value}") for value in (1, 2, 2, 1)]
    run = made([runs.recorded(0, [runs.said("user", "q")], *outputs, run="r")])
    (samples,) = run.structure.samples
    assert (samples.winner, samples.agreement, samples.grade) == (None, 0.5, "recorded")


def test_a_prompt_asked_again_is_an_inferred_set(runs: ModuleType, made: Made) -> None:
    run = made(sampled(runs, "Answer: 42.", "It makes 42.", "Answer: forty"))
    (samples,) = run.structure.samples
    assert (samples.answers, samples.winner) == (("42", "42", samples.answers[2]), "42")
    assert (samples.grade, samples.rule, len(set(samples.calls))) == ("inferred", "identical_prompts", 3)
    assert run.findings("vote") == [] and run.structure.agent == "chain"


def test_other_prompts_and_branches_of_a_tree_are_no_samples(runs: ModuleType, made: Made) -> None:
    assert made(runs.tree()).structure.samples == ()
    assert made(runs.two_tools()).structure.samples == ()
    ask = [runs.said("user", "Propose a step.")]
    calls = [runs.recorded(at, ask, runs.said("assistant", f"Plan {at}."), run="r") for at in range(2)]
    event = {"selector": "first", "chosen": 0, "candidates": [{"text": f"Plan {at}.", "score": 0} for at in range(2)]}
    assert made(calls, [runs.span(6, run="r", selection=event)]).structure.samples == ()


@pytest.mark.parametrize(("winner", "holds"), [("42", True), (42, True), ("42.0", True), ("41", False), ("x", False)])
def test_a_recorders_vote_is_compared_with_the_samples(
    runs: ModuleType, made: Made, winner: object, holds: bool
) -> None:
    run = made(sampled(runs, "Answer: 42", "Answer: 42", "Answer: 41"), [vote(winner)])
    (samples,) = run.structure.samples
    assert run.text(samples.stated) == str(winner) and samples.stated.pointer == "/winner"
    (finding,) = run.findings("vote")
    assert finding.holds is holds and [run.text(place) for place in finding.places] == [str(winner), "42"]
    (step,) = [one for one in run.structure.steps if one.kind == "selection"]
    assert step.rule == "vote_event" and step.span == samples.stated
    assert step.parent == {"41": samples.steps[2], "x": None}.get(str(winner), samples.steps[0])
    assert run.structure.agent == "chain" and run.structure.selections == ()


def test_of_answers_with_equal_votes_each_is_right(runs: ModuleType, made: Made) -> None:
    run = made(sampled(runs, "Answer: 42", "Answer: 41"), [vote("41")])
    assert [one.holds for one in run.findings("vote")] == [True]


def test_a_vote_in_a_transcript(made: Made) -> None:
    messages = [said("user", "q"), *(said("assistant", f"Answer: {one}") for one in "113"),
                said("event", '{"winner": "3", "votes": {"1": 2, "3": 1}}')]  # fmt: skip
    run = made(transcripts=[transcript(*messages, choices=[[1, 3]])])
    (finding,) = run.findings("vote")
    assert not finding.holds and "1 of 3" in finding.message and run.text(finding.places[0]) == "3"
    assert [one.rule for one in run.structure.steps if one.kind == "prompt"] == ["role_user"]


def test_the_answer_of_a_call_that_was_shown_the_samples_is_a_vote(runs: ModuleType, made: Made) -> None:
    texts = ["Six times seven gives forty-two, so Answer: 42", "Seven sixes, I think. Answer: 41",
             "6 * 7 = 42 by the table. Answer: 42"]  # fmt: skip
    shown = runs.said("user", "Which answer is most frequent?\n" + "\n".join(texts))
    unrelated = runs.said("user", "Another question?")
    for prompt, final, holds in ((shown, "41", [False]), (shown, "42", [True]), (unrelated, "41", [])):
        last = runs.recorded(3, [prompt], runs.said("assistant", f"Answer: {final}"), run="r")
        run = made([*sampled(runs, *texts), last])
        assert [one.holds for one in run.findings("vote")] == holds


@pytest.mark.parametrize("text", ["{", "{}", '{"winner": null}', '{"winner": {}}', "[]", '{"winner": ' + "[" * 99_999])
def test_a_vote_that_cannot_be_read_is_a_gap(runs: ModuleType, made: Made, text: str) -> None:
    run = made(sampled(runs, "Answer: 1", "Answer: 2"), [vote(None, text=text)])
    assert run.structure.gaps == ("a vote could not be read",) and run.structure.samples[0].stated is None


def test_a_vote_over_nothing_is_a_gap(runs: ModuleType, made: Made) -> None:
    run = made(sampled(runs, "Answer: 1"), [vote("1")])
    assert run.structure.gaps == ("a vote belongs to no recorded samples",)


@pytest.mark.parametrize(("text", "marked", "normal"), [
    ("42", True, "42"), (" $1,234.50. ", True, "1234.5"), ("5 %", True, "5%"), ("**42**", True, "42"),
    ("So he has 11 balls.", False, "11"), ("9 eggs at $2 make $18.", False, "18"), ("-3", True, "-3"),
    ("(6 - 4) × 5 = 24", True, "(6-4)*5=24"), ("(6-4)*5 = 24.", True, "(6-4)*5=24"), ("3 / 4", True, "3/4"),
    ("There is no way to make 24.", True, "there is no way to make 24"), ("It isn't 24", True, "it isn't 24"),
    ("  Yes.  ", True, "yes"), ('"Not  Possible"', True, "not possible"), ("42\nNote: 7 was left out", True, "42"),
    ("First 3.\nThen 4", False, "4"), ("The answer is 7, not 8.", True, "the answer is 7, not 8"),
    ("\\boxed{12}, since 3 * 4 = 12", True, "12"), ("", True, None), (" \n* ", False, None), ("是", True, "是"),
])  # fmt: skip
def test_the_normal_form_of_an_answer(text: str, marked: bool, normal: str | None) -> None:
    assert normal_answer(text, marked=marked) == normal


def test_facts_of_other_names_change_nothing(made: Made) -> None:
    facts: Mapping[str, object] = {"choices": ["A", "B"]}
    value = Transcript(format="f", run="r", model="m", messages=Payload(address="a", size=1), tools=None, origin="o",
                       facts=facts)  # fmt: skip
    one = RecordedTranscript(position=1, id="1" * 64, project="p", transcript=value,
                             messages=(said("user", "q"), said("assistant", "Answer: A")))  # fmt: skip
    run = made(transcripts=[one])
    assert run.structure.samples == () and run.structure.gaps == ()
