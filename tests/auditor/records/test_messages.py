"""Message ids, spans and the wire form."""

import pytest

from auditor.errors import BadInput
from auditor.records import wire
from auditor.records.messages import Message, Reasoning, Span, Text, ToolCall, message_id, place, span_text
from auditor.records.times import time_text, unix_ns


def said(role: str, text: str) -> Message:
    return Message(role=role, parts=(Text(text=text),))  # type: ignore[arg-type]


def test_a_shared_prefix_keeps_its_ids_and_repeated_words_do_not_collide() -> None:
    first = place([said("user", "hi"), said("assistant", "hi"), said("user", "hi")])
    second = place([said("user", "hi"), said("assistant", "hi")])
    assert [m.id for m in first[:2]] == [m.id for m in second]
    assert len({m.id for m in first}) == 3


def test_an_echo_with_empty_content_keeps_its_id() -> None:
    call = ToolCall(call_id="c1", name="lookup", arguments='{"item": "lamp"}')
    received = Message(role="assistant", parts=(call,))
    echoed = Message(role="assistant", parts=(Text(text=""), call))
    assert message_id(received, "p") == message_id(echoed, "p")


def test_arguments_are_kept_as_received() -> None:
    one = Message(role="assistant", parts=(ToolCall(call_id="c", name="f", arguments='{"a":1}'),))
    other = Message(role="assistant", parts=(ToolCall(call_id="c", name="f", arguments='{"a": 1}'),))
    assert message_id(one, None) != message_id(other, None)


def test_spans_are_utf8_bytes() -> None:
    message = said("user", "цена 482 ₽")
    start = len("цена ".encode())
    assert span_text(message, Span(message="m", part=0, start=start, end=start + 3)) == "482"


def test_wire_round_trip_and_errors_name_the_field() -> None:
    message = Message(role="assistant", parts=(Reasoning(text="", redacted=True, signature="s"), Text(text="x")))
    assert wire.read(Message, wire.write(message)) == message
    with pytest.raises(BadInput) as fault:
        wire.read(Message, {"role": "assistant", "parts": [{"type": "text"}]})
    assert "parts" in str(fault.value.field)


def test_times_keep_nine_digits() -> None:
    assert time_text(1_767_323_045_000_000_006) == "2026-01-02T03:04:05.000000006Z"
    assert unix_ns("2026-01-02T03:04:05.000000006Z") == 1_767_323_045_000_000_006
