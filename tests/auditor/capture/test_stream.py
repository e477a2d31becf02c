"""Server-sent events, whatever the framing and the chunking."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.stream import SseDecoder, SseEvent, events

CASES = {
    "plain": (b"data: a\n\ndata: b\n\n", ["a", "b"]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
    "cr": (b"data: a\r\rdata: b\r\r", ["a", "b"]),
    "mixed": (b"data: a\r\n\ndata: b\n\r\n", ["a", "b"]),
    "several lines": (b"data: a\ndata: b\ndata\n\n", ["a\nb\n"]),
    "no blank line at the end": (b"data: a\n\ndata: b", ["a", "b"]),
    "comments and pings": (b": hello\n\nevent: ping\n\ndata: a\n\n:\n", ["a"]),
    "no space": (b"data:a\n\ndata:  b\n\n", ["a", " b"]),
    "bom": ("\ufeffdata: a\n\n".encode(), ["a"]),
    "unicode": ("data: grüße 🙂\n\n".encode(), ["grüße 🙂"]),
    "other line separators are no line ends": ("data: a\u2028b\x85c\x0bd\n\n".encode(), ["a\u2028b\x85c\x0bd"]),
    "bad utf-8": (b"data: a\xff\n\n", ["a\ufffd"]),
    "long": (b"data: " + b"x" * 3_000_000 + b"\n\n", ["x" * 3_000_000]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("name", CASES)
def test_framings(name: str) -> None:
    body, wanted = CASES[name]
    assert [event.data for event in events(body)] == wanted


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["data: é🙂", "data:", "event: x", "id: 7", ": c", "", "", "retry: 3", "data: b"])),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1),
    cuts=st.lists(st.integers(1, 5), min_size=1),
)
def test_chunking_changes_nothing(lines: list[str], ends: list[str], cuts: list[int]) -> None:
    body = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines)).encode()
    decoder, found, place, number = SseDecoder(), [], 0, 0
    while place < len(body):
        step = cuts[number % len(cuts)]
        found.extend(decoder.feed(body[place : place + step]))
        place, number = place + step, number + 1
    found.extend(decoder.close())
    assert found == list(events(body))


def test_an_empty_line_after_a_chunk_that_ends_in_crlf_ends_the_event() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n") == []
    assert decoder.feed(b"\ndata: b\n\n") == [
        SseEvent(event="message", data="a"), SseEvent(event="message", data="b")
    ]  # fmt: skip


def test_names_and_ids_are_kept() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"id: 4\nevent: error\ndata: x\n\n") == [SseEvent(event="error", data="x", id="4")]
    assert decoder.feed(b"data: y\n\n") == [SseEvent(event="message", data="y", id="4")]


def test_an_event_is_given_as_soon_as_it_is_complete() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [SseEvent(event="message", data="a")]
    assert decoder.feed(b"\ndata: b\n\n") == [SseEvent(event="message", data="b")]
