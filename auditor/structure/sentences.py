"""Where sentences end. All places are characters of the text; blanks around a sentence belong to none.

A sentence ends at `. ! ?` before a blank, at their Chinese, Arabic, Urdu and Devanagari kin, and at line ends; not
within a block (blocks.py), behind an abbreviation, an initial or the number of a list item, nor in a decimal or a date.

Where line breaks were lost, a worked calculation still ends a step: behind `= result unit`, a capitalised word that
opens a clause, or the first number of another calculation, begins the next one. This rule reads texts with `=` only.

Not seen: the end of a sentence without any mark, in prose; short forms of languages other than those of lexicon.py.
"""

import re
from collections.abc import Iterator

from auditor.structure.blocks import Blocks, Range
from auditor.structure.lexicon import AT_ENDS, BEFORE_NUMBERS, BINDING, CALENDAR, INSIDE, NAMED, OPENERS, TITLES

_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"”’')\]»*_]*+(?=\s|\Z)|[。！？।॥؟۔]+[」』”’）\"')\]]*|[\r\n]+",
)
_WORD = re.compile(r"[^\s(\[\"“«'*_]+\Z")
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?){1,6}\Z")
_ITEM = re.compile(r"\s*[*_(]{0,3}(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})\.")
_RESULT = re.compile(
    r"=\s{0,3}[^\w\s<]{0,3}\s{0,2}(?:<<[^<>\n]{0,200}>>)?\s{0,2}[-−(]?[$€£¥₹]?\s?\.?\d[\d,.]*(?<![.,])(?:/\d+)?\)?%?"
)
_NEXT = re.compile(r"(?<!\s)\s++(?=(?P<word>[^\W\d_][\w'’-]*)|(?P<sum>[($€£¥₹-]{0,3}\.?\d))")
_SUM = re.compile(r"[($€£¥₹-]{0,3}\.?\d[\d,.]*[%)]{0,2}(?:[ \t]+[^\W\d_]\w*){0,4}[ \t]*[-+*/×÷−x=](?![^\W\d_])")
_PREVIOUS = re.compile(r"\S+\Z")
_CLOSERS = "\"”’')]»"
_YEARS = ("г", "гг")
"""Short for a year behind a number, for a town before a name."""


def sentences(text: str, begin: int, until: int, blocks: Blocks) -> Iterator[Range]:
    """Character ranges of the sentences between two places, without outer blanks, in order."""
    start = begin
    for end in _ends(text, begin, until, blocks):
        piece = strip(text, start, end)
        if piece[0] < piece[1]:
            yield piece
        start = end
    piece = strip(text, start, until)
    if piece[0] < piece[1]:
        yield piece


def strip(text: str, start: int, end: int) -> Range:
    """The range without outer blanks."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _ends(text: str, begin: int, until: int, blocks: Blocks) -> Iterator[int]:
    start = begin
    for end in _END.finditer(text, begin, until):
        if blocks and blocks.around(end.end()) is not None:
            continue
        if text[end.start()] in ".!?…" and _goes_on(text, start, end, until):
            continue
        yield from _worked(text, start, end.start(), blocks)
        yield end.end()
        start = end.end()
    yield from _worked(text, start, until, blocks)


def _goes_on(text: str, start: int, end: "re.Match[str]", until: int) -> bool:
    """The stop at `end` is no end: it belongs to a short form, an initial or the number of a list item."""
    at = end.start()
    after = text[end.end() : end.end() + 40].lstrip()[:1]
    if text[end.end() - 1] in _CLOSERS or end[0].startswith(("..", "…")):
        return after.islower()
    if end.end() - at > 1 or text[at] != ".":
        return False
    if at - start < 12 and _ITEM.fullmatch(text, start, at + 1) and at + 1 < until:
        return True
    found = _WORD.search(text, max(start, at - 24), at)
    if found is None:
        return False
    word = found[0].casefold()
    if word in TITLES or (word in BEFORE_NUMBERS and (after.isdigit() or after in "([")) or word in INSIDE:
        return after != ""
    if word in _YEARS and after.isupper():
        return not text[max(start, found.start() - 2) : found.start()].strip().isdigit()
    if word in AT_ENDS:
        return after != "" and not after.isupper() and not after.isdigit()
    if len(word) == 1 and word.isalpha() and found[0].isupper():
        before = text[max(start, found.start() - 24) : found.start()].split()
        then = text[at + 1 : at + 24].split()
        opens = bool(then) and then[0][:1].isupper() and then[0].casefold().rstrip(".,") in OPENERS | TITLES
        return not opens and not (before and before[-1].casefold() in NAMED)
    return len(word) > 2 and "." in word and after != "" and _INITIALS.fullmatch(found[0] + ".") is not None


def _worked(text: str, start: int, until: int, blocks: Blocks) -> Iterator[int]:
    """Ends of steps within one line, each behind a completed calculation."""
    if text.find("=", start, until) < 0:
        return
    at, split = start, False
    result = _RESULT.search(text, start, until)
    while result is not None:
        for blank in _NEXT.finditer(text, at if split else result.end(), until):
            if blocks and blocks.around(blank.end()) is not None:
                continue
            if _opens(text, start, blank, until, done=blank.start() >= result.end()):
                yield blank.start()
                start = at = blank.end()
                split = True
                break
        else:
            return
        if result.end() <= at:
            result = _RESULT.search(text, at, until)


def _opens(text: str, start: int, blank: "re.Match[str]", until: int, *, done: bool) -> bool:
    """A new step begins behind this blank; before the calculation is `done`, only at a word that opens a clause."""
    found = _PREVIOUS.search(text, max(start, blank.start() - 40), blank.start())
    previous = found[0] if found else ""
    if not previous or not (previous[-1].isalnum() or previous[-1] in ")%]>\"'”’,"):
        return False
    if previous.casefold().rstrip(",") in BINDING:
        return False
    if blank["word"] is None:
        return (
            done
            and previous[-1] != ","
            and _SUM.match(text, blank.end(), until) is not None
            and not previous[0].isdigit()
        )
    word = blank["word"]
    if not word[0].isupper() or (len(word) > 1 and word.isupper()):
        return False
    if word.casefold() in OPENERS:
        return done or not previous[0].isupper()
    if not done:
        return False
    if len(word) == 1:
        return word == "A" or word == "I"
    return previous[-1] != "," and not previous[0].isupper() and word.casefold() not in CALENDAR


__all__ = ["sentences", "strip"]
