"""Numbers as people write them → exact rationals. Nothing is evaluated, and no number can grow beyond its digits.

Read: decimals, thousands separators of the English, continental, Swiss, Indian and Arabic conventions where the groups
leave no doubt, digits of any script, vulgar fractions (½), powers of ten, and English words (`two dozen`, `half`,
`three quarters`, `twenty-one`, `third`). `1,234` is one thousand two hundred and thirty-four, `1.234` is a decimal.

Not read: words of other languages, Roman numerals, Chinese number characters other than 万 and 亿 behind digits.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

LONGEST_NUMBER = 40
"""Longer digit strings are identifiers, not quantities; it also keeps `1e999999999` from filling the memory."""
NUMBER = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)"
    r"|\d{1,3}(?:\.\d{3})+,\d+(?!\d)|\d{1,3}(?:\.\d{3}){2,}(?![\d.])"
    r"|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?!\d)"
    r"|\d{1,3}(?:['’\u00a0\u202f\u2009]\d{3})+(?:[.,]\d+)?(?!\d)"
    r"|\d{1,3}(?:٬\d{3})+(?:٫\d+)?(?!\d)|\d+٫\d+"
    r"|\d+,\d{1,2}(?=[ \u00a0]?(?:%|€|EUR\b|₽|руб|zł|kr\b|Kč))"
    r"|\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2}(?![\w.]))?"
)
"""A regular expression without groups of its own."""
TIMES = {
    "thousand": 10**3, "k": 10**3, "тыс": 10**3, "千": 10**3, "万": 10**4, "萬": 10**4, "lakh": 10**5, "lakhs": 10**5,
    "लाख": 10**5, "million": 10**6, "millions": 10**6, "mn": 10**6, "m": 10**6, "млн": 10**6, "مليون": 10**6,
    "crore": 10**7, "crores": 10**7, "करोड़": 10**7, "亿": 10**8, "億": 10**8, "billion": 10**9, "billions": 10**9,
    "bn": 10**9, "b": 10**9, "млрд": 10**9, "مليار": 10**9, "trillion": 10**12, "dozen": 12, "dozens": 12,
    "hundred": 100,
}  # fmt: skip
"""What a word or sign behind a number multiplies it with."""

_RATIONAL = re.compile(r"[+-]?[\d,]*\.?\d+(?:[eE]([+-]?\d{1,2}))?")
_UNITS = {
    word: number
    for number, word in enumerate(
        [
            "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
            "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
        ]
    )
}  # fmt: skip
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "dozen": 12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9,
    "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip
_ORDINALS = {
    "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11,
    "twelfth": 12, "twentieth": 20,
}  # fmt: skip
_VOCABULARY = sorted({*_UNITS, *_TENS, *_SCALES, *_PARTS, *_ORDINALS}, key=lambda word: (-len(word), word))


def _grouped(words: "list[str]") -> str:
    """An alternation by first letters: a word that begins otherwise is left after one look."""
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[0], []).append(word[1:])
    return "|".join(f"{first}(?:{'|'.join(rests)})" for first, rests in sorted(groups.items()))


_WORDS = re.compile(
    rf"\b(?=[{''.join(sorted({word[0] for word in _VOCABULARY}))}])(?:{_grouped(_VOCABULARY)})"
    rf"(?:(?:[ -]|[ -]and[ -])(?:an? )?(?:{_grouped(_VOCABULARY)})){{0,16}}\b"
)
_WORD = re.compile(r"[a-z]+")
_VULGAR = re.compile(r"(?P<whole>\d{1,6} ?)?(?P<part>[¼-¾⅐-⅞])")

Written = tuple[Fraction, int, int, bool]
"""A number in words, its characters, and whether it is an ordinal."""


def rational(digits: str) -> Fraction | None:
    """The exact number that `digits` writes (thousands commas allowed); None when it is too long to be a quantity."""
    if len(digits) > LONGEST_NUMBER or _RATIONAL.fullmatch(digits) is None:
        return None
    return Fraction(digits.replace(",", ""))


def number_of(digits: str) -> Fraction | None:
    """The exact number of a text that NUMBER matches, whatever its convention; None when it is too long."""
    if digits.isdigit() and len(digits) <= LONGEST_NUMBER:
        return Fraction(int(digits))
    plain = digits.translate(_SEPARATORS)
    if plain.count(".") > 1 or re.search(r"\.\d+,", plain):
        plain = plain.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d{1,2}", plain):
        plain = plain.replace(",", ".")
    return rational(plain)


_SEPARATORS = {ord(sign): "" for sign in "'’\u00a0\u202f\u2009٬"} | {ord("٫"): "."}


def fraction_text(number: Fraction) -> str:
    """Decimal text where it is exact and short, else `a/b`."""
    if number.denominator == 1:
        return str(number.numerator)
    rest, digits = number.denominator, 0
    while rest % 10 == 0 or rest % 2 == 0 or rest % 5 == 0:
        rest //= 10 if rest % 10 == 0 else 2 if rest % 2 == 0 else 5
        digits += 1
    if rest != 1 or digits > 30:
        return f"{number.numerator}/{number.denominator}"
    scaled = str(abs(number.numerator) * 10**digits // number.denominator).rjust(digits + 1, "0")
    sign = "-" if number < 0 else ""
    return f"{sign}{scaled[:-digits]}.{scaled[-digits:]}".rstrip("0").rstrip(".")


def vulgar(text: str) -> Iterator[tuple[Fraction, int, int]]:
    """Vulgar fractions such as ½ and 2½, with their character ranges."""
    for hit in _VULGAR.finditer(text):
        part = Fraction(unicodedata.numeric(hit["part"])).limit_denominator(10)
        yield part + int(hit["whole"] or 0), hit.start(), hit.end()


def written(text: str) -> Iterator[Written]:
    """Numbers in English words, in order. A lone `one` is a pronoun more often than a number and is left out."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few capitals have two letters in lower case; places would not agree
        lowered = "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
    for run in _WORDS.finditer(lowered):
        start, end = run.span()
        lead = next((one for one in ("a ", "an ") if lowered.endswith(one, 0, start)), "")
        if lead and (start == len(lead) or not lowered[start - len(lead) - 1].isalnum()):
            start -= len(lead)
        yield from _parsed([(word[0], *word.span()) for word in _WORD.finditer(lowered, start, end)])


def _parsed(words: "list[tuple[str, int, int]]") -> Iterator[Written]:
    at = 0
    while at < len(words):
        found, following = _one(words, at)
        if found is not None:
            yield found
        at = max(following, at + 1)


def _one(words: "list[tuple[str, int, int]]", at: int) -> tuple[Written | None, int]:
    """The longest number that begins at a word, and the place behind it."""
    begin = words[at][1]
    indefinite = words[at][0] in ("a", "an")
    number, behind = _cardinal(words, at + indefinite, indefinite)
    part = words[behind][0] if behind < len(words) else ""
    if part in _ORDINALS and number is not None and number >= 20 and number % 10 == 0 and not indefinite:
        return (Fraction(number + _ORDINALS[part]), begin, words[behind][2], True), behind + 1
    if part in _PARTS and (part not in _ORDINALS or indefinite or number is not None):
        if part == "half" and [word for word, _, _ in words[behind + 1 : behind + 3]] == ["a", "dozen"]:
            return (Fraction(6), begin, words[behind + 2][2], False), behind + 3
        over = number if number is not None else 1
        return (Fraction(over, _PARTS[part]), begin, words[behind][2], False), behind + 1
    if number is None:
        if part in _ORDINALS and not indefinite:
            return (Fraction(_ORDINALS[part]), begin, words[behind][2], True), behind + 1
        return None, behind
    if [word for word, _, _ in words[behind : behind + 3]] == ["and", "a", "half"]:
        half = Fraction(_SCALES.get(words[behind - 1][0], 1), 2)
        return (number + half, begin, words[behind + 2][2], False), behind + 3
    if words[at][0] == "one" and behind == at + 1:
        return None, behind
    return (Fraction(number), begin, words[behind - 1][2], False), behind


def _cardinal(words: "list[tuple[str, int, int]]", at: int, indefinite: bool) -> tuple[int | None, int]:
    """A whole number in words from a place on; None where none begins there. `a hundred` counts as one hundred."""
    total, current, last = 0, 1 if indefinite else None, 10**12 if indefinite else 0
    begin = at
    while at < len(words):
        word = words[at][0]
        if word == "and" and current is not None and last in (100, 1000) and at + 1 < len(words):
            if words[at + 1][0] not in _UNITS and words[at + 1][0] not in _TENS:
                break
            at += 1
            continue
        size = _UNITS.get(word, _TENS.get(word))
        if size is not None:
            fits = last == 0 or (last in _SCALES.values() and last != 12) or (last == 10 and 0 < size < 10)
            if not fits:
                break
            current, last = (current or 0) + size, 10 if word in _TENS else 1
        elif word in _SCALES and current is not None:
            scale = _SCALES[word]
            if scale == 100 or scale == 12:
                if last >= 100 and last != 10**12:
                    break
                current, last = current * scale, scale
            else:
                total, current, last = total + current * scale, 0, scale
        else:
            break
        at += 1
    if at == begin or current is None:
        return None, begin
    return total + current, at


__all__ = [
    "LONGEST_NUMBER", "NUMBER", "TIMES", "Written", "fraction_text", "number_of", "rational", "vulgar", "written",
]  # fmt: skip
