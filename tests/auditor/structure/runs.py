"""Hand-made recorded runs, one of each agent kind, as capture would hand them over."""

import json
from collections.abc import Mapping, Sequence

from auditor.records.canonical import sha256_hex
from auditor.records.exchange import Exchange, Joins, Payload, Times
from auditor.records.messages import Call, Message, Part, Text, ToolCall, ToolResult
from auditor.records.telemetry import RUN_ATTRIBUTE, SELECTION_ATTRIBUTE, SpanEvent, TelemetrySpan
from auditor.structure.inputs import RecordedCall, RecordedSpan, recorded_call


def said(role: str, *parts: Part | str) -> Message:
    return Message(role=role, parts=tuple(Text(text=p) if isinstance(p, str) else p for p in parts))  # type: ignore[arg-type]


def asks(call_id: str | None, name: str, arguments: Mapping[str, object] | str) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(call_id=call_id, name=name, arguments=text)


def gave(call_id: str | None, name: str | None, text: str, is_error: bool | None = None) -> Message:
    return said("tool", ToolResult(call_id=call_id, name=name, text=text, is_error=is_error))


def recorded(
    position: int, messages: Sequence[Message], *outputs: Message, run: str | None = None, project: str = "p",
    traceparent: str | None = None, purpose: str | None = None, tools: Sequence[Mapping[str, object]] = (),
    outcome: str = "complete",
) -> RecordedCall:  # fmt: skip
    """An exchange at a ledger position; started at that many seconds past midnight."""
    own = sha256_hex(f"exchange {project} {position}".encode())
    at = f"2026-01-02T{position // 3600:02d}:{position // 60 % 60:02d}:{position % 60:02d}.000000000Z"
    exchange = Exchange(
        dialect="openai_chat", method="POST", path="/v1/chat/completions", upstream="local", status=200,
        outcome=outcome, request=Payload(address="a", size=1), response=Payload(address="b", size=1),  # type: ignore[arg-type]
        request_headers={}, response_headers={},
        times=Times(started=at, upstream_headers=at, first_byte=at, last_byte=at),
        joins=Joins(run=run, traceparent=traceparent, purpose=purpose), model="planted", model_digest="d" * 64,
        relayed=1,
    )  # fmt: skip
    call = Call(record=own, model="planted", messages=tuple(messages), outputs=outputs, tools=tuple(tools))
    return recorded_call(position, own, project, call, exchange)


def exchange_of(one: RecordedCall) -> Exchange:
    """The exchange a call was made from, as capture would have recorded it."""
    return Exchange(
        dialect=one.dialect, method="POST", path="/v1/chat/completions", upstream="local", status=one.status,
        outcome=one.outcome, request=Payload(address="a", size=1), response=Payload(address="b", size=1),
        request_headers={}, response_headers={}, times=one.times, joins=one.joins, model=one.asked,
        model_digest=one.model_digest, relayed=1,
    )  # fmt: skip


def span(
    position: int, *, run: str | None = None, trace: str = "1" * 32, own: str = "2" * 16, parent: str | None = None,
    selection: Mapping[str, object] | str | None = None, as_event: bool = False, project: str = "p",
) -> RecordedSpan:  # fmt: skip
    attributes: dict[str, object] = {} if run is None else {RUN_ATTRIBUTE: run}
    events: tuple[SpanEvent, ...] = ()
    at = f"2026-01-02T00:{position // 60 % 60:02d}:{position % 60:02d}.000000000Z"
    if selection is not None:
        text = selection if isinstance(selection, str) else json.dumps(selection)
        if as_event:
            events = (SpanEvent(name="selection", at=at, attributes={SELECTION_ATTRIBUTE: text}),)
        else:
            attributes[SELECTION_ATTRIBUTE] = text
    value = TelemetrySpan(trace_id=trace, span_id=own, parent_span_id=parent, name="s", kind=1, started=at, ended=at,
                          attributes=attributes, resource={}, scope=None, status="unset", events=events)  # fmt: skip
    return RecordedSpan(position=position, id=sha256_hex(f"span {position}".encode()), project=project, span=value)


SHOP = said("system", "You answer with the shop tools.")


def one_tool(
    run: str | None = "r", price: int = 48, stated: int = 48, item: str = "lamp", at: int = 0
) -> list[RecordedCall]:
    """A ReAct run with one look-up."""
    ask = said("assistant", asks(f"call-{item}-{at:06d}", "lookup", {"item": item}))
    first = [SHOP, said("user", f"What is the price of the {item}?")]
    then = [*first, ask, gave(f"call-{item}-{at:06d}", None, json.dumps({"price": price}))]
    answer = said("assistant", f"According to the lookup, the price of the {item} is {stated}.")
    return [recorded(at, first, ask, run=run), recorded(at + 1, then, answer, run=run)]


def two_tools(run: str | None = "r", at: int = 0) -> list[RecordedCall]:
    """Look up 61, then compute 61*4."""
    look, compute = (
        asks("call-look-000001", "lookup", {"item": "vase"}),
        asks("call-comp-000002", "calculator", {"expression": "61*4"}),
    )
    first = [SHOP, said("user", "What is the price of the vase times 4?")]
    second = [*first, said("assistant", look), gave("call-look-000001", None, '{"price": 61}')]
    third = [*second, said("assistant", compute), gave("call-comp-000002", None, '{"result": 244}')]
    answer = said("assistant", "According to the calculator, the price of the vase times 4 is 244.")
    return [
        recorded(at, first, said("assistant", look), run=run),
        recorded(at + 1, second, said("assistant", compute), run=run),
        recorded(at + 2, third, answer, run=run),
    ]  # fmt: skip


def stepwise(run: str | None = "r", wrong: bool = False) -> list[RecordedCall]:
    ask = [said("system", "You add step by step."), said("user", "The lamp starts at 31. Add 5, then add 7.")]
    middle, end = (37, 44) if wrong else (36, 43)
    answer = said("assistant", f"Step 1: 31 + 5 = {middle}.\nAnswer: the lamp ends at {end}.")
    return [recorded(0, ask, answer, run=run)]


def decorative(run: str | None = "r") -> list[RecordedCall]:
    ask = [
        said("system", "You think."),
        said("user", "The tag of the lamp says 42 and its shelf is 17. Check the shelf."),
    ]
    text = "Thought: I checked shelf 17 first, so the code is known.\nAnswer: the code of the lamp is 42."
    return [recorded(0, ask, said("assistant", text), run=run)]


BOXES = "Boxes for the lamp are a: 42; b: 71; c: 15."
SELECTION = {
    "selector": "argmax", "chosen": 1,
    "candidates": [{"text": f"Option {n}: {v}", "score": s} for n, v, s in (("a", 42, 4), ("b", 71, 7), ("c", 15, 1))],
}  # fmt: skip


def tree(run: str | None = "r") -> list[RecordedCall]:
    system = said("system", "You pick a box by its number.")
    asked = [f"{BOXES}\nPropose option {n}." for n in "abc"]
    given = [str(one["text"]) for one in SELECTION["candidates"]]  # type: ignore[attr-defined]
    asked += [f"{BOXES}\nScore {one}." for one in given]
    given += ["Score: 4", "Score: 7", "Score: 1"]
    asked.append(f"{BOXES}\nChosen Option b: 71.\nAnswer for the lamp.")
    given.append("Answer: the box for the lamp is 71.")
    return [
        recorded(at, [system, said("user", prompt)], said("assistant", text), run=run)
        for at, (prompt, text) in enumerate(zip(asked, given, strict=True))
    ]
