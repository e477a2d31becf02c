"""Canonical bytes against the published package and the specification's own numbers."""

import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import BadValue
from auditor.records.canonical import canonical_bytes, content_id, leaf_hash, seed_of

SAFE = st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | SAFE | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_equals_the_rfc8785_package(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (-0.0, "0"), (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
     (9007199254740992.0, "9007199254740992"), (295147905179352830000.0, "295147905179352830000"),
     (9.999999999999997e22, "9.999999999999997e+22"), (1e23, "1e+23"), (1e21, "1e+21"), (1e-7, "1e-7"),
     (0.000001, "0.000001"), (333333333.3333332, "333333333.3333332")],
)  # fmt: skip
def test_numbers_of_rfc8785_appendix_b(number: float, text: str) -> None:
    assert canonical_bytes(number) == text.encode()


def test_keys_sort_by_utf16_code_units() -> None:
    assert canonical_bytes({"\U0001f600": 1, "\ufb33": 2, "a": 3}) == '{"a":3,"\U0001f600":1,"\ufb33":2}'.encode()


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2**53 + 1, {1: 2}, b"x", object(), "\ud800"])
def test_what_json_cannot_say_is_refused_with_a_fix(bad: object) -> None:
    with pytest.raises(BadValue) as fault:
        canonical_bytes(bad)
    assert fault.value.fix


def test_ids_and_seeds_are_fixed_for_ever() -> None:
    assert content_id({"b": 1, "a": [True, None]}) == content_id({"a": [True, None], "b": 1})
    assert leaf_hash(b"") == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"  # RFC 9162, empty leaf
    assert seed_of("key", 0) == 10644813347567610728
    assert seed_of("key", 1) != seed_of("key", 0)
