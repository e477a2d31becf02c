"""From OTLP records to structures: agents that only send spans, calls seen twice, and data in any order."""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.records import wire
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.structure import Structure
from auditor.records.telemetry import TelemetryLog, TelemetrySpan
from auditor.structure.build import messages_of
from auditor.structurer import Structurer, latest_structure

TRACE = "a" * 32
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Price of the lamp?"}]}]
CALLED = [{"role": "assistant", "parts": [
    {"type": "tool_call", "id": "call_lookup_0001", "name": "lookup", "arguments": {"item": "lamp"}}]}]  # fmt: skip
GAVE = [{"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_lookup_0001", "response": "71"}]}]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "It is 71."}]}]


def span(
    own: int, attributes: dict[str, Any], start: int, end: int, parent: int | None = None, trace: str = TRACE,
    scope: str = "genai", name: str = "s",
) -> Entry:  # fmt: skip
    body = TelemetrySpan(
        trace_id=trace, span_id=f"{own:016x}", parent_span_id=None if parent is None else f"{parent:016x}", name=name,
        kind=1, started=at(start), ended=at(end), attributes=attributes, resource={}, scope=scope, status="unset",
    )  # fmt: skip
    return Entry(kind="span", source="otlp", body=wire.write(body))


def at(second: int) -> str:
    return f"2026-01-02T00:00:{second:02d}.000000000Z"


def chat(messages: list[Any], outputs: list[Any], response: str = "", **more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": json.dumps(messages),
            "gen_ai.output.messages": json.dumps(outputs), "gen_ai.response.id": response, **more}  # fmt: skip


def tool(**more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
            "gen_ai.tool.call.id": "call_lookup_0001", "gen_ai.tool.call.arguments": '{"item":"lamp"}',
            "gen_ai.tool.call.result": "71", **more}  # fmt: skip


def agent(**more: Any) -> list[Entry]:
    """An agent's trace: a root, a call that asks for a tool, the tool, a call that answers."""
    root = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop"}
    return [
        span(1, root | more, 0, 9), span(2, chat(ASKED, CALLED, "r1"), 1, 2, parent=1), span(3, tool(), 3, 4, parent=1),
        span(4, chat([*ASKED, *CALLED, *GAVE], ANSWERED, "r2"), 5, 6, parent=1),
    ]  # fmt: skip


def structures(path: Path, batches: Sequence[Sequence[Entry]]) -> SqliteLedger:
    """Append the batches one after the other, structuring after each."""
    ledger = SqliteLedger(path)
    structurer = Structurer(ledger)
    for batch in batches:
        ledger.append(batch)
        structurer.catch_up()
    assert structurer.trouble is None
    return ledger


def shape(ledger: SqliteLedger, run: str) -> list[tuple[str, str, str]]:
    found = latest_structure(ledger, run)
    assert found is not None, f"no run {run}"
    return [(one.kind, one.label, one.rule) for one in found.structure.steps]


def only(ledger: SqliteLedger, run: str) -> Structure:
    found = latest_structure(ledger, run)
    assert found is not None, f"no run {run}"
    return found.structure


STEPS = [
    ("prompt", "user: Price of the lamp?"), ("model_call", "m"), ("tool_call", 'lookup({"item":"lamp"})'),
    ("tool_result", "lookup: 71"), ("model_call", "m"), ("answer", "It is 71."),
]  # fmt: skip


@pytest.mark.parametrize(("more", "run", "rule"), [
    ({}, TRACE, "trace"), ({"gen_ai.conversation.id": "talk"}, "talk", "session"),
    ({"auditor.run": "mine"}, "mine", "span"), ({"auditor.run": "mine", "session.id": "talk"}, "mine", "span"),
])  # fmt: skip
def test_an_agent_that_only_sends_spans(tmp_path: Path, more: dict[str, Any], run: str, rule: str) -> None:
    ledger = structures(tmp_path / "l.db", [agent(**more)])
    assert [one[:2] for one in shape(ledger, run)] == STEPS
    structure = only(ledger, run)
    assert (structure.origin, structure.agent, len(structure.calls)) == ("otlp", "react", 2)
    assert {one.agent for one in structure.calls} == {"shop"}
    assert [step.rule for step in structure.steps if step.kind == "model_call"] == [rule, rule]
    assert len(structure.records) == 4 and not structure.gaps
    ledger.close()


def test_a_tool_whose_result_no_message_says(tmp_path: Path) -> None:
    ledger = structures(tmp_path / "l.db", [agent()[:3]])
    steps = only(ledger, TRACE).steps
    assert [(one.kind, one.rule) for one in steps][-1] == ("tool_result", "tool_span")
    assert steps[-1].parent == steps[-2].id and steps[-2].kind == "tool_call"
    messages = messages_of(only(ledger, TRACE), ledger.payload)
    assert steps[-1].span is not None and messages[steps[-1].span.message].parts[0].type == "tool_result"
    ledger.close()


def test_without_content_tools_and_retrievals_are_still_steps(tmp_path: Path) -> None:
    bare = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    search = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": "lamps",
              "gen_ai.retrieval.documents": '[{"id": "d1", "content": "A lamp.", "score": 0.5}]'}  # fmt: skip
    entries = [span(1, search, 0, 1, name="search"), span(2, bare, 2, 3), span(3, tool(), 4, 5), span(4, bare, 6, 7)]
    ledger = structures(tmp_path / "l.db", [entries])
    kinds = [(kind, rule) for kind, _, rule in shape(ledger, TRACE)]
    assert kinds == [
        ("tool_call", "before_in_time"), ("tool_result", "retrieval_span"), ("model_call", "trace"),
        ("tool_call", "before_in_time"), ("tool_result", "tool_span"), ("model_call", "trace"),
    ]  # fmt: skip
    ledger.close()


def test_two_spans_of_one_call_are_one_call(tmp_path: Path) -> None:
    inner = {
        "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Price of the lamp?",
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "It is 71.",
        "llm.token_count.prompt": 20,
    }  # fmt: skip
    outer = chat(ASKED, ANSWERED, "r1")
    entries = [span(1, outer, 0, 9, scope="langchain"), span(2, inner, 1, 8, parent=1, scope="openai"),
               span(3, outer | {"gen_ai.response.id": "r2"}, 10, 11, scope="langchain")]  # fmt: skip
    ledger = structures(tmp_path / "l.db", [entries])
    first, second = only(ledger, TRACE).calls
    assert (len(first.spans), len(second.spans)) == (2, 1)
    ledger.close()


def exchange(ledger: SqliteLedger, response: str, traceparent: str | None, run: str | None = None) -> Entry:
    request = b'{"model": "m", "messages": [{"role": "user", "content": "Price of the lamp?"}]}'
    choice = {"index": 0, "message": {"role": "assistant", "content": "It is 71."}, "finish_reason": "stop"}
    answer = json.dumps({"id": response, "choices": [choice]}).encode()
    body = Exchange(
        dialect="openai_chat", method="POST", path="/v1/chat/completions", upstream="openai", status=200,
        outcome="complete", request=ledger.put_split(request, []), response=ledger.put_split(answer, []),
        request_headers={}, response_headers={"content-type": "application/json"},
        times=Times(started=at(1), upstream_headers=None, first_byte=None, last_byte=at(2)),
        joins=Joins(traceparent=traceparent, run=run), model="m", model_digest="d", relayed=len(answer),
    )  # fmt: skip
    return Entry(kind="exchange", source="proxy", body=wire.write(body))


@pytest.mark.parametrize("how", ["traceparent", "response_id"])
@pytest.mark.parametrize("spans_first", [True, False])
def test_a_call_seen_by_proxy_and_span_is_one_call(tmp_path: Path, how: str, spans_first: bool) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    structurer = Structurer(ledger)
    root = span(1, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop"}, 0, 9)
    told = span(2, chat(ASKED, ANSWERED, "r1" if how == "response_id" else ""), 1, 2, parent=1)
    http = span(5, {"http.request.method": "POST"}, 1, 2, parent=2, scope="aiohttp")
    traceparent = f"00-{TRACE}-{5:016x}-01" if how == "traceparent" else None
    seen = exchange(ledger, "r1", traceparent)
    for batch in ([root, told, http], [seen]) if spans_first else ([seen], [root, told, http]):
        ledger.append(batch)
        structurer.catch_up()
    proxied = next(ledger.records(kinds=["exchange"])).id
    structure = only(ledger, proxied)
    (call,) = structure.calls
    assert (call.record, call.agent, call.dialect, call.model_digest) == (proxied, "shop", "openai_chat", "d")
    assert len(call.spans) == 1 and len(structure.records) == 4 and structure.origin == "proxy"
    ledger.close()


def proxied(ledger: SqliteLedger, response: str, messages: list[Any], message: dict[str, Any], second: int) -> Entry:
    """An exchange of one call of a loop, with no traceparent."""
    request = json.dumps({"model": "m", "messages": messages}).encode()
    answer = json.dumps({"id": response, "choices": [{"index": 0, "message": message}]}).encode()
    body = Exchange(
        dialect="openai_chat", method="POST", path="/v1/chat/completions", upstream="openai", status=200,
        outcome="complete", request=ledger.put_split(request, []), response=ledger.put_split(answer, []),
        request_headers={}, response_headers={"content-type": "application/json"},
        times=Times(started=at(second), upstream_headers=None, first_byte=None, last_byte=at(second + 1)),
        joins=Joins(), model="m", model_digest="d", relayed=len(answer),
    )  # fmt: skip
    return Entry(kind="exchange", source="proxy", body=wire.write(body))


@pytest.mark.parametrize("spans_first", [True, False])
@pytest.mark.parametrize("traces", [1, 2])
def test_spans_without_response_ids_find_the_proxied_calls(tmp_path: Path, spans_first: bool, traces: int) -> None:
    """By the tool call that one of them gave and all later ones read; with a trace per call, or two tellers of each."""
    asked = {"role": "user", "content": "Price of the lamp?"}
    function = {"name": "lookup", "arguments": '{"item": "lamp"}'}
    called = {"role": "assistant", "content": None,
              "tool_calls": [{"id": "call_lookup_0001", "type": "function", "function": function}]}  # fmt: skip
    gave = {"role": "tool", "tool_call_id": "call_lookup_0001", "content": "71"}
    ledger = SqliteLedger(tmp_path / "l.db")
    structurer = Structurer(ledger)
    answered = {"role": "assistant", "content": "It is 71."}
    exchanges = [proxied(ledger, "r1", [asked], called, 1), proxied(ledger, "r2", [asked, called, gave], answered, 5)]
    second = [*ASKED, *CALLED, *GAVE]
    if traces == 1:
        spans = [span(2, chat(ASKED, CALLED), 1, 2, trace="c" * 32), span(4, chat(second, ANSWERED), 5, 6)]
    else:
        spans = [
            entry for trace, ids in (("c" * 32, ("r1", "r2")), (TRACE, ("", ""))) for entry in (
                span(2, chat(ASKED, CALLED, ids[0]), 1, 2, trace=trace),
                span(4, chat(second, ANSWERED, ids[1]), 5, 6, trace=trace),
            )
        ]  # fmt: skip
    for batch in (spans, exchanges) if spans_first else (exchanges, spans):
        ledger.append(batch)
        structurer.catch_up()
    structure = only(ledger, next(ledger.records(kinds=["exchange"])).id)
    assert [len(call.spans) for call in structure.calls] == [traces, traces]
    assert [call.dialect for call in structure.calls] == ["openai_chat", "openai_chat"]
    kinds = [one.kind for one in structure.steps]
    assert kinds == ["prompt", "model_call", "tool_call", "tool_result", "model_call", "answer"]
    ledger.close()


def test_a_header_run_takes_its_trace(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    ledger.append([*agent()[:3], exchange(ledger, "other", f"00-{TRACE}-{1:016x}-01", run="mine")])
    Structurer(ledger).catch_up()
    structure = only(ledger, "mine")
    assert len(structure.calls) == 2 and len(structure.records) == 4
    ledger.close()


def test_a_span_that_comes_again_counts_once(tmp_path: Path) -> None:
    again = agent()
    other = span(4, chat([*ASKED, *CALLED, *GAVE], [
        {"role": "assistant", "parts": [{"type": "text", "content": "It is 72."}]}], "r2"), 5, 6, parent=1)  # fmt: skip
    ledger = structures(tmp_path / "l.db", [again, agent()])
    assert [one[:2] for one in shape(ledger, TRACE)] == STEPS
    assert not only(ledger, TRACE).gaps
    ledger.append([other])
    Structurer(ledger).catch_up()
    assert shape(ledger, TRACE)[-1][1] == "It is 72."
    assert only(ledger, TRACE).gaps == ("1 spans came again with another content; the later ones are shown",)
    ledger.close()


def test_a_run_that_got_its_name_late_keeps_the_old_one(tmp_path: Path) -> None:
    root, *rest = agent(**{"session.id": "talk"})
    ledger = structures(tmp_path / "l.db", [rest])
    assert only(ledger, TRACE).aliases == ()
    ledger.append([root])
    Structurer(ledger).catch_up()  # as after a restart
    assert only(ledger, "talk").aliases == (TRACE,)
    assert Structurer(ledger).catch_up() == 0
    ledger.close()


def events() -> list[Entry]:
    """The content of a bare span as log events."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": "It is 71."}}
    rows = [("gen_ai.user.message", {"content": "Price of the lamp?"}, 1), ("gen_ai.choice", choice, 2)]
    return [
        Entry(kind="log", source="otlp", body=wire.write(TelemetryLog(
            trace_id=TRACE, span_id=f"{2:016x}", time=at(second), observed=None, severity=9, severity_text=None,
            event=name, body=body, attributes={}, resource={}, scope=None,
        )))
        for name, body, second in rows
    ]  # fmt: skip


@pytest.mark.parametrize("logs_first", [True, False])
def test_content_that_came_as_log_events(tmp_path: Path, logs_first: bool) -> None:
    bare = [span(2, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, 1, 2)]
    batches = [events(), bare] if logs_first else [bare, events()]
    ledger = structures(tmp_path / "l.db", batches)
    assert [one[:2] for one in shape(ledger, TRACE)] == [STEPS[0], STEPS[1], STEPS[5]]
    ledger.close()


def facts(ledger: SqliteLedger, run: str) -> Any:
    """A structure without what names ledger records: those differ with the order of arrival."""
    structure = only(ledger, run)
    steps = {step.id: index for index, step in enumerate(structure.steps)}
    return (
        [(one.kind, one.label, one.at, one.rule, one.grade, steps.get(one.parent or "")) for one in structure.steps],
        [(one.agent, one.at, len(one.spans), one.inputs, one.outputs) for one in structure.calls],
        structure.gaps, structure.title, structure.started, structure.ended, len(structure.records),
    )  # fmt: skip


def test_any_order_ends_in_the_same_structure(tmp_path: Path) -> None:
    """Every order of the four spans, and random orders and cuts of them with session, logs and a second trace."""
    small = agent(**{"auditor.run": "mine"})
    wanted = facts(structures(tmp_path / "w.db", [small]), "mine")
    for number, order in enumerate(itertools.permutations(small)):
        ledger = structures(tmp_path / f"{number}.db", [[one] for one in order])
        assert facts(ledger, "mine") == wanted
        ledger.close()
    second = [span(7, chat(ASKED, ANSWERED, "r9") | {"session.id": "talk"}, 20, 21, trace="c" * 32)]
    large = [*agent(**{"session.id": "talk"}), *events(), *second]
    wanted = facts(structures(tmp_path / "large.db", [large]), "talk")
    draw = random.Random(7)
    for number in range(12):
        order, cut = draw.sample(large, len(large)), draw.randrange(1, len(large))
        ledger = structures(tmp_path / f"large{number}.db", [list(order[:cut]), list(order[cut:])])
        assert facts(ledger, "talk") == wanted
        ledger.close()
