"""Which run a call belongs to, with and without headers."""

import random
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from auditor.spill import Spill
from auditor.structure.inputs import Joined, RecordedCall
from auditor.structure.threads import ThreadIndex, group

TRACE, OWN = "a" * 32, "b" * 16


def test_a_header_names_the_run(runs: ModuleType) -> None:
    (thread,) = group(runs.one_tool(run="mine"))
    assert (thread.run, thread.grade, thread.rule) == ("mine", "recorded", "header")


def test_fifty_interleaved_agents_without_headers_stay_apart(runs: ModuleType) -> None:
    """One shared system prompt, different first user messages, calls in a shuffled order."""
    chance = random.Random(5)
    own = [runs.one_tool(run=None, item=f"item{n}", price=10 + n, stated=10 + n) for n in range(60)]
    slots = [n for n in range(60) for _ in range(2)]
    chance.shuffle(slots)
    taken = [0] * 60
    calls: list[RecordedCall] = []
    for position, n in enumerate(slots):
        old = own[n][taken[n]]
        taken[n] += 1
        calls.append(runs.recorded(position, old.call.messages, *old.call.outputs))
    threads = group(calls)
    assert len(threads) == 60
    for thread in threads:
        assert thread.run == thread.calls[0].id
        assert {str(call.call.messages[1]) for call in thread.calls} == {str(thread.calls[0].call.messages[1])}
        assert [join.rule for join in thread.joins] == ["first_exchange", "echoed_output"]
        assert thread.grade == "recorded"


def test_identical_prompts_and_outputs_are_told_apart_by_the_one_not_yet_continued(runs: ModuleType) -> None:
    ask, answer, more = runs.said("user", "Hi"), runs.said("assistant", "Hello"), runs.said("user", "Bye")
    calls = [runs.recorded(0, [ask], answer), runs.recorded(1, [ask], answer)]
    calls += [runs.recorded(2 + n, [ask, answer, more], runs.said("assistant", f"bye {n}")) for n in range(2)]
    threads = group(calls)
    assert [[call.position for call in thread.calls] for thread in threads] == [[0, 2], [1, 3]]
    assert [thread.grade for thread in threads] == ["inferred", "inferred"]


def test_a_changed_echo_is_inferred(runs: ModuleType) -> None:
    ask, more = runs.said("user", "Hi"), runs.said("user", "Bye")
    calls = [
        runs.recorded(0, [ask], runs.said("assistant", "Hello")),
        runs.recorded(1, [ask, runs.said("assistant", "Hello!"), more], runs.said("assistant", "Bye")),
    ]
    (thread,) = group(calls)
    assert [(join.grade, join.rule) for join in thread.joins] == [
        ("recorded", "first_exchange"),
        ("inferred", "shared_prefix"),
    ]


LONG = "The cheapest flight on Friday leaves at seven and costs 120 dollars, the next at nine costs 95."


def test_a_hand_off_to_another_agent_stays_in_the_run(runs: ModuleType) -> None:
    """The second agent has its own instructions and sees what the first said."""
    ask, answer = runs.said("user", "Find me a flight"), runs.said("assistant", LONG)
    more = runs.said("user", "Book it")
    calls = [
        runs.recorded(0, [runs.said("system", "You search."), ask], answer),
        runs.recorded(1, [runs.said("system", "You book."), ask, answer, more], runs.said("assistant", "Booked.")),
        runs.recorded(2, [runs.said("system", "You book."), ask], runs.said("assistant", "What should I book?")),
    ]
    first, second = group(calls)
    assert [(join.grade, join.rule) for join in first.joins] == [
        ("recorded", "first_exchange"), ("inferred", "echoed_words"),
    ]  # fmt: skip
    assert [call.position for call in second.calls] == [2]


def test_a_history_that_was_cut_short_stays_in_the_run(runs: ModuleType) -> None:
    turns = [runs.said("user", "Find me a flight"), runs.said("assistant", LONG), runs.said("user", "Why so much?")]
    calls = [
        runs.recorded(0, turns[:1], turns[1]),
        runs.recorded(1, [runs.said("user", "[earlier turns left out]"), *turns[1:]], runs.said("assistant", "Taxes.")),
    ]
    (thread,) = group(calls)
    assert thread.joins[1].rule == "echoed_words"


def test_a_history_that_was_compacted_stays_in_the_run(runs: ModuleType) -> None:
    """A summary that one call wrote opens the next conversation; that the user repeats a short line does not."""
    ask = runs.said("user", "Find me a flight")
    summary = runs.said("user", f"Summary of the conversation so far:\n> {LONG}\nGo on.")
    calls = [
        runs.recorded(0, [ask], runs.said("assistant", LONG)),
        runs.recorded(1, [summary], runs.said("assistant", "The nine o'clock one.")),
        runs.recorded(2, [runs.said("user", "The nine o'clock one.")], runs.said("assistant", "Which?")),
    ]
    assert [[call.position for call in thread.calls] for thread in group(calls)] == [[0, 1], [2]]
    assert group(calls)[0].joins[1] == Joined(run=calls[0].id, grade="inferred", rule="quoted_output")


def test_a_sub_agent_belongs_to_the_run_that_gave_it_its_task(runs: ModuleType) -> None:
    task = "Look up the price of every lamp in the shop and say which is the cheapest."
    asked = runs.said("assistant", runs.asks("call-task-000001", "task", {"description": task, "kind": "search"}))
    calls = [
        runs.recorded(0, [runs.SHOP, runs.said("user", "Buy me a lamp")], asked),
        runs.recorded(1, [runs.said("system", "You search."), runs.said("user", task)], runs.said("assistant", "Red.")),
        runs.recorded(2, [runs.said("user", f"{task} Now.")], runs.said("assistant", "Which shop?")),
    ]
    first, second = group(calls)
    assert [join.rule for join in first.joins] == ["first_exchange", "tool_argument"]
    assert first.grade == "inferred" and [call.position for call in second.calls] == [2]


def test_words_that_two_runs_said_join_neither(runs: ModuleType) -> None:
    answer = runs.said("assistant", LONG)
    calls = [runs.recorded(n, [runs.said("user", f"Ask {n}")], answer) for n in range(2)]
    calls.append(runs.recorded(2, [runs.said("user", "And?"), answer], runs.said("assistant", "So.")))
    assert len(group(calls)) == 3


def test_sampled_chains_are_one_run_and_repeated_questions_are_not(runs: ModuleType) -> None:
    ask = [runs.said("user", "What is 17 times 3?")]

    def sampled(position: int, temperature: object, tools: tuple[dict[str, object], ...] = ()) -> RecordedCall:
        call = runs.recorded(position, ask, runs.said("assistant", f"It is {51 + position % 2}."), tools=tools)
        return replace(call, call=replace(call.call, settings={"temperature": temperature}))

    (thread,) = group([sampled(n, 0.7) for n in range(5)])
    assert (thread.grade, thread.rule) == ("inferred", "first_exchange+same_prompt")
    assert len(group([sampled(n, 0) for n in range(5)])) == 5
    assert len(group([sampled(n, 0.7, ({"type": "function"},)) for n in range(5)])) == 5
    assert len(group([sampled(n, 0.7) for n in (0, 60, 300)])) == 2  # more than two minutes later


def test_a_tool_call_id_joins_after_the_history_was_compacted(runs: ModuleType) -> None:
    first = runs.one_tool(run=None)
    ask, result = first[1].call.messages[2:]
    short = runs.recorded(5, [runs.said("user", "(summary)"), ask, result], runs.said("assistant", "48"))
    (thread,) = group([first[0], short])
    assert thread.joins[1].rule == "tool_call_id"


def test_a_short_tool_call_id_does_not_join_strangers(runs: ModuleType) -> None:
    ask = runs.said("assistant", runs.asks("call_0", "lookup", {"item": "lamp"}))
    calls = [
        runs.recorded(0, [runs.said("user", "one")], ask),
        runs.recorded(1, [runs.said("user", "two"), ask, runs.gave("call_0", None, "1")], runs.said("assistant", "1")),
    ]
    assert len(group(calls)) == 2


@pytest.mark.parametrize("span_first", [True, False])
def test_spans_join_by_trace(runs: ModuleType, span_first: bool) -> None:
    traceparent = f"00-{TRACE}-{OWN}-01"
    calls = [
        runs.recorded(n, [runs.said("user", f"{n}")], runs.said("assistant", "x"), traceparent=traceparent)
        for n in (1, 2)
    ]
    span = runs.span(0 if span_first else 9, run="from-span", trace=TRACE, own=OWN)
    (thread,) = group(calls, [span])
    assert (thread.run, thread.rule) == ("from-span", "span")


def test_two_runs_in_one_trace_are_told_apart_by_the_span_above_the_call(runs: ModuleType) -> None:
    spans = [
        runs.span(0, run="left", trace=TRACE, own="1" * 16),
        runs.span(1, run="right", trace=TRACE, own="2" * 16),
        runs.span(2, trace=TRACE, own="3" * 16, parent="2" * 16),
    ]
    call = runs.recorded(
        5, [runs.said("user", "x")], runs.said("assistant", "y"), traceparent=f"00-{TRACE}-{'3' * 16}-01"
    )
    (thread,) = [one for one in group([call], spans) if one.calls]
    assert thread.run == "right"


def test_a_late_span_merges_the_run(runs: ModuleType) -> None:
    index = ThreadIndex()
    call = runs.recorded(1, [runs.said("user", "x")], runs.said("assistant", "y"), traceparent=f"00-{TRACE}-{OWN}-01")
    assert index.add_call(call).run == call.id
    assert index.add_span(runs.span(2, run="named", trace=TRACE, own=OWN)) == (call.id,)
    assert index.settled("p", call.id) == "named"
    assert index.aliases("p", "named") == (call.id,)
    later = runs.recorded(
        3, [*call.call.messages, *call.call.outputs, runs.said("user", "z")], runs.said("assistant", "w")
    )
    assert index.add_call(later).run == "named"


def test_projects_never_mix(runs: ModuleType) -> None:
    left, right = runs.one_tool(run=None), runs.one_tool(run=None)
    other = runs.recorded(9, right[1].call.messages, *right[1].call.outputs, project="q")
    threads = group([left[0], other])
    assert {thread.project for thread in threads} == {"p", "q"}


def test_counterfactual_calls_are_left_out(runs: ModuleType) -> None:
    call = runs.recorded(0, [runs.said("user", "x")], runs.said("assistant", "y"), run="r", purpose="counterfactual")
    assert group([call]) == []


def test_the_index_agrees_with_the_batch(runs: ModuleType) -> None:
    calls = [
        *runs.one_tool(run=None),
        *runs.two_tools(run=None, at=10),
        *runs.one_tool(run="named", item="vase", at=20),
    ]
    index = ThreadIndex()
    one_by_one = {call.id: index.add_call(call).run for call in calls}
    assert one_by_one == {call.id: thread.run for thread in group(calls) for call in thread.calls}


def test_the_index_gives_the_same_runs_when_hardly_any_key_stays_in_memory(runs: ModuleType, tmp_path: Path) -> None:
    chance = random.Random(7)
    own = [runs.one_tool(run=None, item=f"item{n % 20}", price=10 + n % 20, stated=10 + n % 20) for n in range(40)]
    slots = [n for n in range(40) for _ in range(2)]
    chance.shuffle(slots)
    told: list[list[object]] = [[], []]
    for seen, index in zip(told, (ThreadIndex(), ThreadIndex(Spill(tmp_path, near=1).table)), strict=True):
        taken = [0] * 40
        for position, n in enumerate(slots):
            old = own[n][taken[n]]
            taken[n] += 1
            traceparent = f"00-{n:032x}-{position + 1:016x}-01"
            call = runs.recorded(position, old.call.messages, *old.call.outputs, traceparent=traceparent)
            seen.append(index.add_call(call))
        for n in range(0, 40, 3):
            seen.append(index.add_span(runs.span(100 + n, run=f"named{n}", trace=f"{n:032x}", own=f"{n + 99:016x}")))
            seen.append(index.aliases("p", f"named{n}"))
    assert told[0] == told[1]
    assert any(told[0][-26:])
