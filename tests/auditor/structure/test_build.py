"""Whole runs, one of each agent kind: steps, claims, links, and the same bytes every time."""

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.records.canonical import canonical_bytes
from auditor.records.messages import Message, Reasoning, Text, ToolCall, ToolResult
from auditor.records.structure import Structure
from auditor.records.wire import read, write

Made = Callable[..., Any]


def test_react_with_one_tool(runs: ModuleType, made: Made) -> None:
    run = made(runs.one_tool())
    assert run.structure.agent == "react"
    assert run.kinds() == ["prompt", "prompt", "model_call", "tool_call", "tool_result", "model_call", "answer"]
    steps = run.structure.steps
    orders = {step.id: step.order for step in steps}
    assert [orders.get(step.parent) for step in steps] == [None, None, 1, 2, 3, 4, 5]
    assert run.claims("tool_answer") == [(("48",), "48", "stated", "shared_value+according_to")]
    claim = run.claim("tool_answer")
    assert claim.sources[0].pointer == "/price"
    assert claim.call == run.structure.calls[1].id
    assert claim.target.message in run.structure.calls[1].outputs
    assert claim.sources[0].message in run.structure.calls[1].inputs
    (finding,) = run.findings("stated_value")
    assert finding.holds and finding.claim == claim.id


def test_a_tool_result_sent_as_a_users_observation(runs: ModuleType, made: Made) -> None:
    """smolagents sends its history as text; the one call that waits for a result is what was observed, inferred."""
    asked = runs.said("user", "Price of the lamp?")
    given = runs.said("assistant", runs.asks("call_1", "lookup", {"item": "lamp"}))
    echo = runs.said("assistant", "Calling tools: lookup")
    seen = runs.said("user", "Observation:\n48")
    run = made([runs.recorded(1, [asked], given, run="r"),
                runs.recorded(2, [asked, echo, seen], runs.said("assistant", "48"), run="r")])  # fmt: skip
    assert run.kinds() == ["prompt", "model_call", "tool_call", "tool_result", "model_call", "answer"]
    steps = run.structure.steps
    assert (steps[3].parent, steps[3].grade, steps[3].rule) == (steps[2].id, "inferred", "observation_text")
    assert not [gap for gap in run.structure.gaps if "no recorded result" in gap]


def test_react_whose_answer_differs_from_its_tool(runs: ModuleType, made: Made) -> None:
    run = made(runs.one_tool(price=48, stated=52))
    assert run.claims("tool_answer") == [(("48",), "52", "stated", "cited_tool+according_to")]
    (finding,) = run.findings("stated_value")
    assert not finding.holds
    assert [run.text(place) for place in finding.places] == ["52", "48"]
    assert finding.claim == run.claim("tool_answer").id


def test_react_with_two_tools(runs: ModuleType, made: Made) -> None:
    run = made(runs.two_tools())
    assert run.claims("tool_action") == [(("61",), "61", "available", "shared_value")]
    assert run.claim("tool_action").target.pointer == "/expression"
    assert run.claims("tool_answer") == [(("244",), "244", "stated", "shared_value+according_to")]
    assert [(source, target) for source, target, *_ in run.claims("prompt_answer")] == [
        (("vase",), "vase"),
        (("4",), "4"),
    ]
    copies = {(link.value, link.rule) for link in run.structure.links}
    assert {("61", "copy"), ("244", "copy")} <= copies


def test_stepwise_chain(runs: ModuleType, made: Made) -> None:
    run = made(runs.stepwise())
    assert run.structure.agent == "chain"
    assert run.kinds() == ["prompt", "prompt", "model_call", "thought", "answer"]
    assert run.claims("step_answer") == [(("36",), "43", "stated", "step_before_answer")]
    assert run.claims("prompt_answer") == [(("7",), "43", "available", "operand_of_sum")]
    assert [finding.holds for finding in run.findings("arithmetic")] == [True]


def test_the_operand_of_the_answer_is_the_prompts_last_when_both_addends_are_equal(
    runs: ModuleType, made: Made
) -> None:
    ask = [runs.said("user", "The lamp starts at 31. Add 6, then add 6.")]
    run = made(
        [runs.recorded(0, ask, runs.said("assistant", "Step 1: 31 + 6 = 37.\nAnswer: the lamp ends at 43."), run="r")]
    )
    claim = run.claim("prompt_answer")
    assert run.text(claim.sources[0]) == "6"
    assert claim.sources[0].start == len("The lamp starts at 31. Add 6, then add ")


def test_wrong_arithmetic_is_found_and_the_step_is_still_a_source(runs: ModuleType, made: Made) -> None:
    run = made(runs.stepwise(wrong=True))
    (finding,) = run.findings("arithmetic")
    assert not finding.holds and [run.text(place) for place in finding.places] == ["31 + 5", "37"]
    assert run.claims("step_answer")[0][:2] == (("37",), "44")


def test_decorative_thought(runs: ModuleType, made: Made) -> None:
    run = made(runs.decorative())
    assert run.claims("step_answer") == [(("17",), "42", "stated", "thought_before_answer")]
    assert run.claims("prompt_answer") == [(("42",), "42", "available", "shared_value")]


@pytest.mark.parametrize("as_event", [True, False])
def test_tree_with_a_recorded_selection(runs: ModuleType, made: Made, as_event: bool) -> None:
    run = made(runs.tree(), [runs.span(6, run="r", selection=runs.SELECTION, as_event=as_event)])
    assert run.structure.agent == "tree"
    assert [kind for kind in run.kinds() if kind not in ("prompt", "model_call")] == [
        "branch", "branch", "branch", "score", "score", "score", "selection", "answer",
    ]  # fmt: skip
    (selection,) = run.structure.selections
    by_id = {step.id: step for step in run.structure.steps}
    assert [by_id[one].label for one in selection.candidates] == ["Option a: 42", "Option b: 71", "Option c: 15"]
    assert selection.scores == (4.0, 7.0, 1.0) and selection.chosen == 1
    assert run.claims("score_branch") == [(("4", "7", "1"), "1", "stated", "selection_event")]
    claim = run.claim("score_branch")
    assert claim.target.pointer == "/chosen" and claim.sources[1].pointer == "/candidates/1/score"
    assert by_id[claim.source_step].label == "Score: 7" and claim.call == by_id[claim.source_step].call
    assert run.claims("branch_answer") == [(("71",), "71", "stated", "chosen_branch")]
    branch = run.claim("branch_answer")
    assert branch.sources[0].message in run.structure.calls[-1].inputs
    (prompt,) = [one for one in run.structure.claims if one.type == "prompt_answer"]
    assert prompt.sources != branch.sources and run.text(prompt.sources[0]) == "71"
    assert [finding.holds for finding in run.findings("selector")] == [True]
    assert run.structure.gaps == ()


def test_tree_without_events_is_inferred(runs: ModuleType, made: Made) -> None:
    run = made(runs.tree())
    roles = [(step.kind, step.grade) for step in run.structure.steps if step.kind in ("branch", "score")]
    assert roles == [("branch", "inferred")] * 3 + [("score", "inferred")] * 3
    assert run.structure.selections == ()


def test_a_selector_that_does_not_follow_its_scores(runs: ModuleType, made: Made) -> None:
    run = made(runs.tree(), [runs.span(6, run="r", selection=runs.SELECTION | {"chosen": 0})])
    (finding,) = run.findings("selector")
    assert not finding.holds and finding.claim == run.claim("score_branch").id


def test_an_unreadable_selection_is_a_gap(runs: ModuleType, made: Made) -> None:
    for text in ("{", '{"candidates": [], "chosen": 0}', '{"candidates": [{"text": "a", "score": 1}], "chosen": 7}'):
        run = made(runs.one_tool(), [runs.span(6, run="r", selection=text)])
        assert run.structure.gaps == ("a selection event could not be read",)


def test_parallel_tool_calls_get_their_own_results(runs: ModuleType, made: Made) -> None:
    first = [runs.said("user", "Prices of lamp and vase?")]
    asked = runs.said(
        "assistant",
        runs.asks("call-a-0000000", "lookup", {"item": "lamp"}),
        runs.asks("call-b-0000000", "lookup", {"item": "vase"}),
    )
    then = [
        *first,
        asked,
        runs.gave("call-b-0000000", None, '{"price": 20}'),
        runs.gave("call-a-0000000", None, '{"price": 30}'),
    ]
    run = made(
        [runs.recorded(0, first, asked, run="r"), runs.recorded(1, then, runs.said("assistant", "30 and 20."), run="r")]
    )
    by_id = {step.id: step for step in run.structure.steps}
    results = {step.label: by_id[step.parent or ""].label for step in run.structure.steps if step.kind == "tool_result"}
    assert results == {
        'lookup: {"price": 20}': 'lookup({"item": "vase"})',
        'lookup: {"price": 30}': 'lookup({"item": "lamp"})',
    }


def test_same_thread_same_bytes(runs: ModuleType, made: Made) -> None:
    spans = [runs.span(6, run="r", selection=runs.SELECTION)]
    left, right = made(runs.tree(), spans), made(list(reversed(runs.tree())), spans)
    assert canonical_bytes(write(left.structure)) == canonical_bytes(write(right.structure))
    assert left.store == right.store
    assert read(Structure, write(left.structure)) == left.structure


def test_messages_read_back_as_they_were_placed(runs: ModuleType, made: Made) -> None:
    from auditor.records.messages import message_id

    run = made(runs.two_tools())
    for placed in run.structure.messages:
        assert message_id(run.messages[placed.id], placed.parent) == placed.id


def test_a_failed_call_is_a_gap_not_a_crash(runs: ModuleType, made: Made) -> None:
    run = made([runs.recorded(0, [runs.said("user", "x")], run="r", outcome="upstream_failed")])
    assert run.structure.agent == "unknown"
    assert "upstream_failed" in run.structure.gaps[0]


def test_a_changed_echo_is_said(runs: ModuleType, made: Made) -> None:
    ask, more = runs.said("user", "Hi"), runs.said("user", "Bye")
    run = made([
        runs.recorded(0, [ask], runs.said("assistant", "Hello"), run="r"),
        runs.recorded(1, [ask, runs.said("assistant", "Goodbye"), more], runs.said("assistant", "Bye"), run="r"),
    ])  # fmt: skip
    assert run.structure.gaps == ("a later request repeats an assistant message other than the model gave it",)


def test_every_claim_can_be_tested_in_its_call(runs: ModuleType, made: Made) -> None:
    """Sources lie in the call's inputs or before the target in its output; targets in its output (or an event)."""
    for calls in (runs.one_tool(), runs.two_tools(), runs.stepwise(), runs.decorative(), runs.tree()):
        run = made(calls)
        by_id = {call.id: call for call in run.structure.calls}
        for claim in run.structure.claims:
            call = by_id[claim.call]
            assert claim.target.message in call.outputs
            for source in claim.sources:
                assert source.message in call.inputs or (source.message, source.end) <= (
                    claim.target.message,
                    claim.target.start,
                )


def test_an_echo_that_only_respaced_its_arguments_is_the_same(runs: ModuleType, made: Made) -> None:
    first, second = runs.one_tool(run=None)
    echo = runs.said("assistant", runs.asks("call-lamp-000000", "lookup", '{"item":"lamp"}'))
    messages = [*second.call.messages[:2], echo, second.call.messages[3]]
    run = made([first, runs.recorded(1, messages, *second.call.outputs)])
    assert run.structure.gaps == ()
    assert run.kinds().count("tool_call") == 1
    assert run.claims("tool_answer")[0][:2] == (("48",), "48")


PARTS = st.one_of(
    st.builds(Text, text=st.text(max_size=30)),
    st.builds(Text, text=st.sampled_from(["Step 1: 1 + 1 = 3. Answer: 4", "<think>", "$1 = 5%"])),
    st.builds(Reasoning, text=st.text(max_size=20), redacted=st.booleans()),
    st.builds(ToolCall, call_id=st.sampled_from([None, "a", "b"]), name=st.text(max_size=5),
              arguments=st.sampled_from(["", "{", '{"a": 12}', '["x", {"y/z": "\\u00e9 12"}]', "null"])),
    st.builds(ToolResult, call_id=st.sampled_from([None, "a", "c"]), name=st.none() | st.text(max_size=5),
              text=st.text(max_size=20) | st.sampled_from(['{"price": 12}', "[]"])),
)  # fmt: skip
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "event", "other"])
MESSAGES = st.lists(st.builds(Message, role=ROLES, parts=st.lists(PARTS, max_size=3).map(tuple)), max_size=6)


@given(st.lists(st.tuples(MESSAGES, MESSAGES), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_runs_never_crash_and_every_span_reads(runs: ModuleType, made: Made, calls: list[Any]) -> None:
    run = made([runs.recorded(at, inputs, *outputs, run="r") for at, (inputs, outputs) in enumerate(calls)])
    structure = run.structure
    for span in [
        *(step.span for step in structure.steps if step.span is not None),
        *(span for claim in structure.claims for span in (claim.target, *claim.sources)),
        *(span for link in structure.links for span in (link.earlier, link.later, *link.others)),
        *(span for finding in structure.findings for span in finding.places),
    ]:
        assert span.start <= span.end
        run.text(span)
    assert read(Structure, write(structure)) == structure
    ids = [step.id for step in structure.steps]
    assert [step.order for step in structure.steps] == list(range(len(ids)))


@pytest.mark.parametrize(
    "unit",
    [
        "1 + ",
        "1  +  ",
        "a-",
        "<think>",
        "Answer: ",
        "1",
        " ",
        "9,",
        "from the ",
        "Step 1: ",
        '"',
        ".",
        "\n",
        "{",
        "= 1 ",
    ],
)
def test_long_nonsense_takes_no_longer_than_long_sense(runs: ModuleType, made: Made, unit: str) -> None:
    """A text of 20,000 characters; what grows with the square of its length would take minutes."""
    text = unit * (20_000 // len(unit))
    started = time.process_time()
    made([runs.recorded(0, [runs.said("user", text)], runs.said("assistant", text), run="r")])
    assert time.process_time() - started < 10


def test_a_sub_agents_task_is_caused_by_the_tool_call_and_a_summary_by_what_it_quotes(
    runs: ModuleType, made: Made
) -> None:
    task = "Look up the price of every lamp and say which is the cheapest."
    found = "The red lamp is the cheapest of all lamps in the shop, it costs 12 dollars."
    asked = runs.said("assistant", runs.asks("call-task-000001", "task", {"description": task}))
    run = made([
        runs.recorded(0, [runs.SHOP, runs.said("user", "Buy me a lamp")], asked),
        runs.recorded(1, [runs.said("system", "You search."), runs.said("user", task)], runs.said("assistant", found)),
        runs.recorded(2, [runs.said("user", f"So far:\n{found}")], runs.said("assistant", "Red it is.")),
    ])  # fmt: skip
    steps = {step.label.partition(" ")[2][:20]: step for step in run.structure.steps if step.kind == "prompt"}
    kinds = {step.id: step.kind for step in run.structure.steps}
    given, summed = steps[task[:20]], steps["So far: The red lamp"]
    assert (given.grade, given.rule, kinds[given.parent]) == ("inferred", "tool_argument", "tool_call")
    assert (summed.grade, summed.rule, kinds[summed.parent]) == ("inferred", "quoted_output", "answer")
