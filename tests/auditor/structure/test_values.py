"""Values keep their bytes: what a span covers is what was read, in every script and through JSON escapes."""

import json
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.structure.values import fraction_text, json_values, occurrences, plain_values, rational, values_in

HOSTILE = [
    "1,", "1.", "1,234", "-", "a-", "a_", "$", "1/", "1:", "two ", "a ", "one and ", '"', "1 ", "½", "٬", "1e9",
    "May 1", "9" * 39 + " ", "a1", ".1", "5 k",
]  # fmt: skip
SCRIPTS = st.sampled_from(["price is ", "цена: ", "价格是", "السعر ", "मूल्य ", "🙂 é ", "\n", "“x” "])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Step 1: 31 + 25 = 56.", ["number:1", "number:31", "number:25", "number:56"]),
        ("It costs $1,234.50, not -5 or 12%.", ["number:1234.5", "number:-5", "percent:12"]),
        ("3-2 = 1", ["number:3", "number:2", "number:1"]),
        ("on May 27, 2024 or 2024-05-27", ["date:2024-05-27", "date:2024-05-27"]),
        ("27 May at 15:00", ["date:--05-27", "date:15:00"]),
        ("flight HAT017 for sofia_kim_7287", ["id:hat017", "id:sofia_kim_7287"]),
        ("共12元", ["number:12"]),
        ('said "Mia Li"', ["name:mia li"]),
        ("say “order 66”", ["name:order 66", "number:66"]),
        ("1.234.567 or 1.234,5 or 12,34,567 or 1’234", [
            "number:1234567", "number:1234.5", "number:1234567", "number:1234",
        ]),
        ("3,50 € and 12,5 % of 1,234", ["number:3.5", "percent:12.5", "number:1234"]),
        ("٣٫٥ و ١٢، १२ रुपये, １２", ["number:3.5", "number:12", "number:12", "number:12"]),
        ("two dozen, half, three quarters and a third", ["number:24", "number:0.5", "number:0.75", "number:1/3"]),
        ("one of the Twenty-one, a hundred and five", ["number:21", "number:105"]),
        ("the third and the 21st of 3.5 million", ["number:3", "number:21", "number:3500000"]),
        ("3/4 of it, but 16/2 = 8 and 2 * 3/4", [
            "number:0.75", "number:16", "number:2", "number:8", "number:2", "number:3", "number:4",
        ]),
        ("½ and 2½ of .5", ["number:0.5", "number:2.5", "number:0.5"]),
        ("$5M, -$3, USD 7, 3万元", ["number:5000000", "number:-3", "number:7", "number:30000"]),
        ("5kg, 12 km, 3A, 1.5e3", ["number:5", "number:12", "id:3a", "number:1500"]),
        ("27.05.2024, 5/27/2024, 2024年5月27日, 27 мая 2024", ["date:2024-05-27"] * 4),
        ("3/4/2024", ["date:3/4/2024"]),
        ("order #W519 of a_b-1", ["id:w519", "id:a_b-1"]),
        ("v1.2.3 and 10.0.0.1", ["id:v1"]),
        ("9" * 50, ["id:" + "9" * 50]),
    ],
)  # fmt: skip
def test_typed_values(text: str, keys: list[str]) -> None:
    found = [value.key for value in plain_values(text)]
    if text.startswith("v1"):
        assert not any(value.number == Fraction(6, 5) for value in plain_values(text))
    else:
        assert found == keys


@given(st.lists(st.tuples(SCRIPTS, st.integers(0, 99999)), min_size=1, max_size=6))
def test_spans_cover_what_was_read(pieces: list[tuple[str, int]]) -> None:
    text = " ".join(f"{words}{number}" for words, number in pieces)
    values = [value for value in plain_values(text) if value.kind == "number"]
    assert [value.number for value in values] == [Fraction(number) for _, number in pieces]
    for value in values:
        assert text.encode()[value.start : value.end].decode() == value.text


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.integers(-(10**9), 10**9) | st.text(max_size=8) | st.booleans() | st.none(), st.lists, max_leaves=6
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_json_pointers_lead_to_their_values(data: dict[str, object], ascii_only: bool) -> None:
    text = json.dumps(data, ensure_ascii=ascii_only)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    for value in json_values(text) or ():
        at: object = data
        for key in (value.pointer or "").split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            at = at[int(key)] if isinstance(at, list) else at[key]  # type: ignore[index]
        piece = raw[value.start : value.end].decode()
        if value.kind == "text":
            assert json.loads(f'"{piece}"') == at
        elif isinstance(at, bool) or at is None:
            assert json.loads(piece) == at
        elif isinstance(at, int):
            assert value.number == at and int(piece) == at
        else:
            assert value.text in str(at)


def test_values_inside_an_escaped_json_string() -> None:
    text = '{"a": "caf\\u00e9 12\\n34"}'
    numbers = [value for value in values_in(text) if value.number is not None]
    assert [text.encode()[one.start : one.end] for one in numbers] == [b"12", b"34"]
    assert {one.pointer for one in numbers} == {"/a"}


def test_hostile_json_is_text() -> None:
    assert json_values("[" * 100_000) is None
    assert json_values('{"a": ') is None
    (huge,) = json_values('{"a": 1e999999999}') or ()
    assert huge.number is None
    assert values_in('{"a": NaN}') == () or all(value.number is None for value in values_in('{"a": NaN}'))


@given(st.fractions(max_denominator=1000))
def test_fraction_text_is_exact(number: Fraction) -> None:
    text = fraction_text(number)
    assert Fraction(text) == number
    if "/" not in text and number >= 0:
        assert rational(text) == number


def test_occurrences_are_whole_words() -> None:
    assert occurrences("Lamp, lamps and a lamp", "lamp") == [(0, 4), (18, 22)]
    assert occurrences("é lamp", "lamp") == [(3, 7)]
    assert occurrences("anything", " ") == []


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("$5, 5 €, 5 dollars, USD 5, 12元", ["USD", "EUR", "USD", "USD", "CNY"]),
        ("5kg of 5 kg, 12-day, 3 hours, 10%", ["kg", "kg", "day", "h", "%"]),
        ("the 3rd of 4 eggs, two weeks", ["ordinal", None, "week"]),
    ],
)  # fmt: skip
def test_units(text: str, units: list[str | None]) -> None:
    assert [value.unit for value in plain_values(text)] == units


@pytest.mark.parametrize("bit", HOSTILE)
def test_time_is_linear(bit: str) -> None:
    text = "x 1 " + bit * (60_000 // len(bit))
    started = time.process_time()
    values_in(text)
    assert time.process_time() - started < 4.0


BITS = st.sampled_from(
    [*HOSTILE, " ", "\n", "é", "🙂", "\ud800", "%", "kg", "third", "half", "=", "(", "²", "①", "Ⅷ", "千"]
)


@given(st.lists(BITS, max_size=24).map("".join) | st.text(max_size=40))
def test_values_are_the_text(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    start = 0
    for value in plain_values(text):
        assert raw[value.start : value.end].decode("utf-8", "surrogatepass") == value.text
        assert start <= value.start < value.end
        start = value.start
        assert value.kind == value.key.split(":", 1)[0]
        if value.kind == "number":
            assert value.number is not None and value.key == f"number:{fraction_text(value.number)}"
