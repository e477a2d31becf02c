"""Written calculations are read as people write them, computed exactly, and never by running anything."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.structure.arithmetic import recompute, sums

READ = [
    ("31 + 25 = 57", [("31 + 25", "57", False)]),
    ("10 trees + 40 trees = <<10+40=50>>50 trees", [("10 trees + 40", "50", True), ("10+40", "50", True)]),
    ("<<16-3-4=8>>", [("16-3-4", "8", False)]),
    ("$<<9*2=18>>18", [("9*2", "18", True)]),
    ("20% of 50 = 10, 1/2 of 10 = 5", [("20% of 50", "10", True), ("1/2 of 10", "5", True)]),
    ("3(16) = 48 and 2 × (3 + 4) = 15", [("3(16)", "48", True), ("2 × (3 + 4)", "15", False)]),
    ("2^3 = 8, 2**10 = 1024, 5² = 25", [("2^3", "8", True), ("2**10", "1024", True), ("5²", "25", True)]),
    ("-2^2 = -4 and 2^3^2 = 512", [("-2^2", "-4", True), ("2^3^2", "512", True)]),
    ("5 + 3 = 8 + 2 = 10", [("8 + 2", "10", True)]),
    ("2*3 + 4 = 7 + 4 = 11", [("2*3 + 4", "7 + 4", False), ("7 + 4", "11", True)]),
    ("2*3 + 4 = 6 + 4 = 10", [("2*3 + 4", "6 + 4", True), ("6 + 4", "10", True)]),
    ("1/3 = 33.3% and 5/10*100 = 50%", [("1/3", "33.3%", True), ("5/10*100", "50%", True)]),
    ("$1.5 million * 2 = $3,000,000", [("$1.5 million * 2", "$3,000,000", True)]),
    ("6 boxes x 20 oranges = 120 oranges", [("6 boxes x 20", "120", True)]),
    ("so **31 + 25 = 57** and 3 * 4 = **12**", [("31 + 25", "57", False), ("3 * 4", "12", True)]),
    ("- 3 + 4 = 7", [("3 + 4", "7", True)]),
    ("She has 5 apples (3 + 2 = 6)", [("3 + 2", "6", False)]),
    ("10/3 = 3.33, 10/3 = 3.34, 10/3 ≈ 3, 10/3 = 3", [
        ("10/3", "3.33", True), ("10/3", "3.34", False), ("10/3", "3", True), ("10/3", "3", False),
    ]),
    ("0.1 + 0.2 = 0.30000000000000004", [("0.1 + 0.2", "0.30000000000000004", True)]),
    ("31 \\times 2 = 62", [("31 \\times 2", "62", True)]),
    ("1/2 (68) + 10 = 44", [("1/2 (68) + 10", "44", True)]),
    ("5 - -3 = 8", [("5 - -3", "8", True)]),
    ("١٢ + ٣ = ١٥, 12 + 3 = 15", [("١٢ + ٣", "١٥", True), ("12 + 3", "15", True)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), READ)
def test_what_is_read(text: str, wanted: list[tuple[str, str, bool]]) -> None:
    found = list(sums(text))
    assert [(one.left, one.right, one.holds) for one in found] == wanted
    for one in found:
        assert text[slice(*one.left_at)] == one.left and text[slice(*one.right_at)] == one.right


@pytest.mark.parametrize(
    "text",
    [
        "x + 3 = 7", "2x + 3 = 5", "2L + 8 = 22", "f(2) = 3", "1 + 2 = 3 + 4", "on 2024-05-27 = today", "a >= 3 + 4",
        "5 / 0 = 0", "9^9^9 = 3", "2^10000 = 1", "200 + 10% = 220", "3 feet + 6 inches = 42 inches", "7 = 7",
        "5 dozen * 2 = 120", "7/2 = 3 1/2", "$350 000 x 2 = 4", "3 + 4\n= 7", "30 minutes * 4 = 2 hours",
        "rate - 3 + 4 = 9",
    ],
)  # fmt: skip
def test_what_is_not_judged(text: str) -> None:
    assert [(one.left, one.right) for one in sums(text)] == []


def written(depth: int = 3) -> st.SearchStrategy[tuple[str, Fraction]]:
    """Expressions with their values, built from both ends at once."""
    leaf = st.integers(0, 999).map(lambda n: (str(n), Fraction(n)))

    def grown(below: st.SearchStrategy[tuple[str, Fraction]]) -> st.SearchStrategy[tuple[str, Fraction]]:
        def join(pair: tuple[tuple[str, Fraction], str, tuple[str, Fraction]]) -> tuple[str, Fraction]:
            (left, a), sign, (right, b) = pair
            value = {"+": a + b, "-": a - b, "*": a * b}.get(sign)
            return f"({left}) {sign} ({right})", a / b if value is None and b else value or Fraction(0)

        return st.tuples(below, st.sampled_from("+-*/"), below).map(join).filter(lambda one: "/ (0)" not in one[0])

    return st.recursive(leaf, grown, max_leaves=6)


@given(written())
def test_brackets_and_signs(pair: tuple[str, Fraction]) -> None:
    text, value = pair
    found = recompute(text)
    assert found is None or found == value  # None: a lone number, or a division by zero further in


BITS = st.sampled_from([
    "1", "23", ".5", "3.50", " ", "+", "-", "*", "x", "/", "^", "**", "=", "≈", "(", ")", "%", "$", "of ", "apples ",
    "<<",    ">>", "<<1+1=2>>", "\n", ",", ".", "²", "million ", "é", "🙂", "½", "9" * 45, "1e9",
])  # fmt: skip


@given(st.lists(BITS, max_size=40).map("".join))
def test_places_and_bounds(text: str) -> None:
    for one in sums(text):
        assert text[slice(*one.left_at)] == one.left and text[slice(*one.right_at)] == one.right
        assert one.left_at[1] <= one.right_at[0]


@pytest.mark.parametrize(
    "bit", ["1+", "1=", "(", "1 ", "1*(", "<<", "<<1", "x", "a ", "=", "9^9^", "1 a ", "(1)", "1/2 "]
)
def test_time_is_linear(bit: str) -> None:
    text = ("x = 1 + " + bit * (18_000 // len(bit)) + "\n") * 4
    started = time.process_time()
    list(sums(text))
    assert time.process_time() - started < 4.0
