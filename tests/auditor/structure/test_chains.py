"""Contexts a server kept, answers fetched later, and repeated attempts."""

import random
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.projection.run_mapping import map_structure
from auditor.records.messages import COUNT_ONLY, Message, Other, Reasoning, Text, ToolCall, ToolResult
from auditor.structure.chains import resolve
from auditor.structure.inputs import RecordedCall
from auditor.structure.threads import ThreadIndex, group


def turn(runs: ModuleType, position: int, asks: str, says: str | None, **facts: Any) -> RecordedCall:
    """A call that only sends what is new; `facts` go to its Call."""
    outputs = [] if says is None else [runs.said("assistant", says)]
    run, project = facts.pop("run", None), facts.pop("project", "p")
    one = runs.recorded(position, [runs.said("user", asks)], *outputs, run=run, project=project)
    made: RecordedCall = replace(one, call=replace(one.call, finish=("completed",), **facts))
    return made


def words(call: RecordedCall) -> list[str]:
    return [part.text for message in call.call.messages for part in message.parts if isinstance(part, Text)]


def instructed(call: RecordedCall, text: str) -> RecordedCall:
    said = Message(role="system", parts=(Text(text=text, extra={"instructions": True}),))
    return replace(call, call=replace(call.call, messages=(said, *call.call.messages)))


def three(runs: ModuleType, **facts: Any) -> list[RecordedCall]:
    return [
        turn(runs, 0, "one", "uno", response_id="r1", **facts),
        turn(runs, 1, "two", "due", response_id="r2", previous="r1", **facts),
        turn(runs, 2, "three", "tre", response_id="r3", previous="r2", **facts),
    ]


def test_a_chain_shows_the_whole_conversation(runs: ModuleType) -> None:
    found = resolve(three(runs))
    assert [words(call) for call in found.calls] == [
        ["one"], ["one", "uno", "two"], ["one", "uno", "two", "due", "three"],
    ]  # fmt: skip
    assert (found.gaps, found.fetched) == ((), ())


def test_a_chain_may_branch_and_start_elsewhere(runs: ModuleType) -> None:
    branch = turn(runs, 3, "other", "x", response_id="r4", previous="r1")
    lost = turn(runs, 4, "lost", "y", response_id="r5", previous="r0")
    found = resolve([*three(runs), branch, lost])
    assert words(found.calls[3]) == ["one", "uno", "other"]
    assert words(found.calls[4]) == ["lost"]
    assert found.gaps == ("the context before r0 was recorded elsewhere",)


def test_instructions_are_not_inherited(runs: ModuleType) -> None:
    first, second, third = three(runs)
    found = resolve([instructed(first, "A"), second, instructed(third, "B")])
    assert [words(call)[0] for call in found.calls] == ["A", "one", "B"]
    assert words(found.calls[2]) == ["B", "one", "uno", "two", "due", "three"]


def test_cycles_end(runs: ModuleType) -> None:
    calls = [turn(runs, 0, "a", "x", response_id="r1", previous="r2"),
             turn(runs, 1, "b", "y", response_id="r2", previous="r1"),
             turn(runs, 2, "c", "z", response_id="r3", previous="r3")]  # fmt: skip
    found = resolve(calls)
    assert all(words(call)[-1] in "abc" for call in found.calls)
    assert found.gaps


def test_a_chain_of_thousands_needs_no_recursion(runs: ModuleType) -> None:
    calls = [turn(runs, n, f"{n}", "x", response_id=f"r{n}", previous=f"r{n - 1}" if n else None) for n in range(1500)]
    assert len(resolve(calls[::-1]).calls[0].call.messages) == 2999


def test_a_conversation_holds_all_earlier_calls(runs: ModuleType) -> None:
    calls = [turn(runs, n, f"ask {n}", f"say {n}", conversation="c") for n in range(3)]
    refused = turn(runs, 1, "refused", None, conversation="c")
    refused = replace(refused, id="x", status=429)
    found = resolve([calls[0], refused, *calls[1:], turn(runs, 4, "stranger", "s", conversation="d")])
    assert words(found.calls[3]) == ["ask 0", "say 0", "ask 1", "say 1", "ask 2"]
    assert words(found.calls[4]) == ["stranger"]


def test_projects_never_mix(runs: ModuleType) -> None:
    first, second, _ = three(runs)
    found = resolve([first, replace(second, project="q")])
    assert words(found.calls[1]) == ["two"]
    assert found.gaps
    assert len(group([first, replace(second, project="q")])) == 2


def fetched(runs: ModuleType, position: int, says: str | None, finish: str, about: str = "r1") -> RecordedCall:
    call = turn(runs, position, "", says, about=about)
    return replace(call, call=replace(call.call, messages=(), finish=(finish,) if finish else ()))


def test_a_background_answer_is_fetched(runs: ModuleType) -> None:
    queued = turn(runs, 0, "one", None, response_id="r1")
    queued = replace(queued, call=replace(queued.call, finish=("queued",)))
    later = [fetched(runs, 1, None, "in_progress"), fetched(runs, 2, "half", "in_progress"),
             fetched(runs, 3, "whole", "completed"), fetched(runs, 4, "again", "completed"),
             fetched(runs, 5, None, "")]  # fmt: skip
    following = turn(runs, 6, "two", "due", response_id="r2", previous="r1")
    (thread,) = group([queued, *later, following])
    assert [call.call.outputs[0].parts[0] for call in thread.calls] == [Text(text="again"), Text(text="due")]
    assert thread.calls[0].call.finish == ("completed",)
    assert words(thread.calls[1]) == ["one", "again", "two"]
    assert [call.id for call in thread.fetched] == [call.id for call in later]
    assert [join.rule for join in thread.joins] == ["first_exchange", "previous_response_id"]


def test_a_cancelled_answer_keeps_what_was_received(runs: ModuleType) -> None:
    cut = turn(runs, 0, "one", "half", response_id="r1")
    cut = replace(cut, call=replace(cut.call, finish=("in_progress",)))
    (call,) = resolve([cut, fetched(runs, 1, None, "cancelled")]).calls
    assert (call.call.finish, call.call.outputs) == (("cancelled",), cut.call.outputs)


def test_an_answer_whose_request_was_recorded_elsewhere_is_shown(runs: ModuleType) -> None:
    (thread,) = group([fetched(runs, 0, "half", "in_progress"), fetched(runs, 1, "whole", "completed")][1:])
    assert thread.calls[0].call.outputs[0].parts == (Text(text="whole"),)
    assert thread.gaps == ("the request that r1 answers was recorded elsewhere",)
    assert group([fetched(runs, 0, None, "completed")]) == []


def test_counting_tokens_is_no_call(runs: ModuleType) -> None:
    count = turn(runs, 1, "one", None, about=COUNT_ONLY)
    (thread,) = group([turn(runs, 0, "one", "uno"), count])
    assert len(thread.calls) == 1


def test_item_references_are_looked_up(runs: ModuleType) -> None:
    said = Message(role="assistant", parts=(
        Reasoning(text="why", extra={"id": "rs", "empty_items": ["rs_0"]}),
        ToolCall(call_id="w", name="web", arguments="{}", extra={"id": "ws", "server": "web"}),
        ToolResult(call_id="w", name="web", text="found"), Text(text="so", extra={"id": "msg"}),
    ))  # fmt: skip
    first = runs.recorded(0, [runs.said("user", "q")], said)
    refs = Message(role="assistant", parts=tuple(
        Other(kind="item_reference", data={"id": item}) for item in ("rs_0", "rs", "ws", "msg")))  # fmt: skip
    second = runs.recorded(1, [runs.said("user", "q"), refs, runs.said("user", "r")], runs.said("assistant", "x"))
    found = resolve([first, second])
    assert found.calls[1].call.messages[1] == said
    assert found.gaps == ()
    lost = resolve([second])
    assert lost.calls[0].call.messages[1].parts[0] == refs.parts[0]
    assert "the item rs was recorded elsewhere" in lost.gaps


# Which run


def test_chained_calls_are_one_run_live_and_again(runs: ModuleType) -> None:
    calls = [*three(runs), turn(runs, 3, "a", "b", conversation="c"), turn(runs, 4, "d", "e", conversation="c"),
             turn(runs, 5, "two", "due", response_id="z2", previous="r2")]  # fmt: skip
    index = ThreadIndex()
    live = [index.add_call(call) for call in calls]
    threads = group(calls)
    assert [[call.position for call in thread.calls] for thread in threads] == [[0, 1, 2, 5], [3, 4]]
    assert [join.rule for join in live] == ["first_exchange", "previous_response_id", "previous_response_id",
                                            "first_exchange", "conversation", "previous_response_id"]  # fmt: skip
    assert all(join.grade == "recorded" for join in live)


def test_the_same_new_words_do_not_join_two_chains(runs: ModuleType) -> None:
    """`go on` after different answers are different messages."""
    left, right = turn(runs, 0, "l", "x", response_id="l1"), turn(runs, 1, "r", "x", response_id="r1")
    on = [turn(runs, 2 + n, "go on", "ok", response_id=f"{side}2", previous=f"{side}1")
          for n, side in enumerate("lr")]  # fmt: skip
    stranger = runs.recorded(5, [runs.said("user", "go on"), runs.said("assistant", "ok"), runs.said("user", "?")])
    threads = group([left, right, *on, stranger])
    assert [[call.position for call in thread.calls] for thread in threads] == [[0, 2], [1, 3], [5]]


def test_a_call_recorded_before_the_one_it_continues_is_merged(runs: ModuleType) -> None:
    first, second, third = three(runs)
    late = [replace(call, position=position) for position, call in enumerate((second, third, first))]
    index = ThreadIndex()
    assert index.add_call(late[0]).run == second.id
    index.add_call(late[1])
    assert index.take_merged() == ()
    index.add_call(late[2])
    assert index.take_merged() == (("p", second.id),)
    assert index.settled("p", second.id) == first.id
    (thread,) = group(late)
    assert words(thread.calls[-1]) == ["one", "uno", "two", "due", "three"]
    assert (thread.run, thread.aliases) == (first.id, (second.id,))


def test_a_header_stands_above_a_chain(runs: ModuleType) -> None:
    first, second, _ = three(runs)
    named = replace(second, joins=replace(second.joins, run="mine"))
    threads = {thread.run: thread for thread in group([first, named])}
    assert set(threads) == {first.id, "mine"}
    assert threads["mine"].gaps == ("the context before r1 was recorded elsewhere",)


def test_a_structure_of_a_chain(runs: ModuleType, made: Any) -> None:
    first, second, third = three(runs)
    built = made([instructed(first, "A"), second, instructed(third, "A")])
    calls = built.structure.calls
    assert [len(call.inputs) for call in calls] == [2, 3, 6]
    assert [call.continues for call in calls] == [None, calls[0].id, calls[1].id]
    assert built.structure.gaps == ()
    graph = map_structure("p", built.structure)
    informed = [one for one in graph.relations if one.type == "wasInformedBy"]
    told = [one for one in informed if one.attrs.get("rule") == "previous_response_id"]
    steps = [step.id for step in built.structure.steps if step.kind == "model_call"]
    assert [(one.source, one.target, one.grade) for one in told] == [
        (steps[1], steps[0], "recorded"), (steps[2], steps[1], "recorded"),
    ]  # fmt: skip
    prompts = [built.text(step.span) for step in built.structure.steps if step.kind == "prompt"]
    assert "uno" not in prompts and "due" not in prompts  # known answers, not examples in a prompt


def test_a_result_of_a_server_tool_is_caused_by_its_call(runs: ModuleType, made: Any) -> None:
    said = Message(role="assistant", parts=(
        ToolCall(call_id="w", name="web", arguments='{"q":"price"}', extra={"server": "web"}),
        ToolResult(call_id="w", name="web", text="48"), Text(text="It is 48."),
        ToolCall(call_id="v", name="web", arguments="{}", extra={"server": "web"}),
    ))  # fmt: skip
    built = made([runs.recorded(0, [runs.said("user", "q")], said), runs.recorded(
        1, [runs.said("user", "q"), said, runs.said("user", "r")], runs.said("assistant", "x"))])  # fmt: skip
    steps = {step.kind: step for step in built.structure.steps if step.message and step.kind.startswith("tool")}
    asked = next(step for step in built.structure.steps if step.kind == "tool_call")
    assert steps["tool_result"].parent == asked.id
    assert steps["tool_result"].grade == "recorded"
    assert built.structure.gaps == ()


# Echoes without thinking, continuity tokens


def test_an_echo_without_its_thinking_is_the_same_run(runs: ModuleType) -> None:
    ask, answer = runs.said("user", "q"), runs.said("assistant", Reasoning(text="hm"), "yes")
    calls = [runs.recorded(0, [ask], answer),
             runs.recorded(1, [ask, runs.said("assistant", "yes"), runs.said("user", "r")], answer)]  # fmt: skip
    (thread,) = group(calls)
    assert [(join.rule, join.grade) for join in thread.joins][1] == ("echoed_output", "recorded")


def test_a_compacted_context_joins_by_its_token(runs: ModuleType) -> None:
    token = "gAAAA" + "k" * 60
    item = Other(kind="compaction", data={"type": "compaction", "id": "c", "encrypted_content": token})
    first = runs.recorded(0, [runs.said("user", "q")], runs.said("assistant", item))
    bare = Other(kind="compaction", data={"type": "compaction", "encrypted_content": token})
    later = runs.recorded(1, [runs.said("assistant", bare), runs.said("user", "go on")], runs.said("assistant", "x"))
    (thread,) = group([first, later])
    assert thread.joins[1].rule == "continuity_token"


# Retries


def attempt(
    runs: ModuleType, position: int, retry: int | None, status: int, body: str | None = "b", **joins: Any
) -> RecordedCall:
    says = [runs.said("assistant", "ok")] if status == 200 else []
    one = runs.recorded(position, [runs.said("user", "q")], *says)
    told = replace(one.joins, body=body, credential="c", retry=retry, **joins)
    outcome = "complete" if status else "upstream_failed"
    made: RecordedCall = replace(one, joins=told, status=status or None, outcome=outcome)
    return made


def test_attempts_are_one_run_and_linked(runs: ModuleType, made: Any) -> None:
    calls = [attempt(runs, 0, 0, 429), attempt(runs, 1, 1, 0), attempt(runs, 3, 2, 200)]
    (thread,) = group(calls)
    assert [(join.rule, join.grade, join.retry_of) for join in thread.joins] == [
        ("first_exchange", "recorded", None), ("retry", "recorded", calls[0].id), ("retry", "recorded", calls[1].id),
    ]  # fmt: skip
    structure = made(calls).structure
    assert [call.retry_of for call in structure.calls] == [None, structure.calls[0].id, structure.calls[1].id]
    links = [one for one in map_structure("p", structure).relations if one.attrs.get("link_type") == "RETRY_OF"]
    assert [(one.type, one.grade) for one in links] == [("wasInformedBy", "recorded")] * 2


@pytest.mark.parametrize(("first", "second"), [
    ((0, 0, 200), (1, 1, 200)),      # the first did not fail
    ((0, 0, 400), (1, 1, 200)),      # clients do not repeat what they did wrong
    ((0, 1, 500), (1, 1, 200)),      # the count did not rise
    ((0, 0, 500), (1, None, 200)),   # no count: a new request of the same words
    ((0, 0, 500), (121, 1, 200)),    # too late
])  # fmt: skip
def test_what_is_no_retry(runs: ModuleType, first: tuple[int, int, int], second: tuple[int, int | None, int]) -> None:
    assert len(group([attempt(runs, *first), attempt(runs, *second)])) == 2


def test_other_bodies_credentials_and_projects_are_no_retries(runs: ModuleType) -> None:
    failed, again = attempt(runs, 0, 0, 500), attempt(runs, 1, 1, 200)
    other = replace(again.joins, credential="d")
    for one in (
        attempt(runs, 1, 1, 200, body="x"), attempt(runs, 1, 1, 200, body=None), replace(again, project="q"),
        replace(again, joins=other),
    ):  # fmt: skip
        assert len(group([failed, one])) == 2


def test_two_agents_with_the_same_request_are_repeated_once_each(runs: ModuleType) -> None:
    calls = [attempt(runs, 0, 0, 500), attempt(runs, 1, 0, 500), attempt(runs, 2, 1, 200), attempt(runs, 3, 1, 200)]
    threads = group(calls)
    assert [[call.position for call in thread.calls] for thread in threads] == [[0, 2], [1, 3]]
    assert threads[0].joins[1].grade == "inferred"


def test_a_header_keeps_the_run_and_the_link(runs: ModuleType) -> None:
    calls = [attempt(runs, 0, 0, 500, run="mine"), attempt(runs, 1, 1, 200, run="mine")]
    (thread,) = group(calls)
    assert [(join.rule, join.retry_of) for join in thread.joins] == [("header", None), ("header", calls[0].id)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_ids_resolve(runs: ModuleType, data: st.DataObject) -> None:
    """Whatever names whatever: nothing raises, nothing is lost, own words stay at the end, order is no matter."""
    ids = st.none() | st.sampled_from(["r0", "r1", "r2", "r3"])
    calls = [
        turn(runs, n, f"ask {n}", data.draw(st.sampled_from([None, "x"])), response_id=data.draw(ids),
             previous=data.draw(ids), conversation=data.draw(st.none() | st.just("c")),
             about=data.draw(st.none() | ids))
        for n in range(data.draw(st.integers(1, 6)))
    ]  # fmt: skip
    found = resolve(calls)
    assert {call.id for call in (*found.calls, *found.fetched)} == {call.id for call in calls}
    for call in found.calls:
        assert words(call)[-1] == f"ask {call.position}"
    index = ThreadIndex()
    for call in calls:
        index.add_call(call)
    threads = group(calls)
    assert {call.id for thread in threads for call in (*thread.calls, *thread.fetched)} <= {call.id for call in calls}
    mixed = list(calls)
    random.Random(1).shuffle(mixed)
    assert group(mixed) == threads
