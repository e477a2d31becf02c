"""Our RFC 8785 bytes against the `rfc8785` package and the RFC's own number table."""

import json
import math
import struct
from datetime import date
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import BadValue
from auditor.ledger.writer import Ready, envelope
from auditor.records.canonical import Later, canonical_bytes, exact_bytes, read_canonical
from auditor.records.record import Record

SAFE = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_same_bytes_as_the_reference_package(value: object) -> None:
    ours = canonical_bytes(value)
    assert ours == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert canonical_bytes(read_canonical(ours)) == ours


FAST = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e17, 1e17) | st.floats(-1e-3, 1e-3) | TEXT,
    lambda inner: st.lists(inner, max_size=5)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.text("abc\u00e9\uffff\U0001f600\x00\x7f", max_size=4), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(FAST)
def test_the_short_cut_writes_what_the_exact_way_writes(value: object) -> None:
    assert canonical_bytes(value) == exact_bytes(value)


@pytest.mark.parametrize("value", [
    UUID(int=1), date(2026, 1, 2), {1: 2}, {"a": UUID(int=1)}, [Record], "\ud83d", {"\ud83d": 1}, 2**53 + 1, [2**70],
])  # fmt: skip
def test_the_short_cut_lets_nothing_through(value: object) -> None:
    with pytest.raises(BadValue):
        canonical_bytes(value)


def test_a_body_read_later_equals_the_body() -> None:
    value = {"a": [1, {"b": 2.5}], "c": None}
    later = Later(canonical_bytes(value))
    assert later == value and dict(later) == value and len(later) == 2 and repr(later) == repr(value)
    assert canonical_bytes(later) == canonical_bytes(value)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_every_finite_double_is_written_as_the_reference_does(bits: int) -> None:
    value = struct.unpack(">d", struct.pack(">Q", bits))[0]
    if math.isfinite(value):
        assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"), ("8000000000000000", "0"), ("0000000000000001", "5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"), ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"), ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"), ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"), ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"), ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"), ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)  # fmt: skip
def test_the_numbers_of_appendix_b(bits: str, text: str) -> None:
    assert canonical_bytes(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_keys_are_sorted_by_utf_16_units() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    assert list(json.loads(canonical_bytes(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, -(2**53) - 1, b"x", {1: 2}, "\udc00", object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(BadValue):
        canonical_bytes({"field": [value]})


@settings(max_examples=100, deadline=None)
@given(body=st.dictionaries(TEXT, JSON, max_size=4), observed=st.none() | TEXT, source=TEXT)
def test_the_envelope_written_in_pieces_is_the_canonical_record(
    body: dict[str, object], observed: str | None, source: str
) -> None:
    record = Record(kind="gap", project="p", source=source, seq=3, recorded_at="t", observed_at=observed, body=body)
    ready = Ready(kind="gap", project="p", source=source, observed_at=observed, body=canonical_bytes(body), run=None,
                  claim=None)  # fmt: skip
    assert envelope(ready, 3, canonical_bytes("t")) == record.canonical()
