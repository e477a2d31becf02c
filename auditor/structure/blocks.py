"""Stretches of a text that are never cut: code, maths in LaTeX, and text that is JSON as a whole.

Seen: fenced code (``` or ~~~ at the start of a line; an unclosed fence runs to the end), code in backticks,
`$$…$$`, `\\[…\\]`, `\\(…\\)`, `$…$`, and the environments of amsmath, tables and verbatim text. Rules for `$` are those
of Pandoc (https://pandoc.org/MANUAL.html#math), and prose between two amounts of money is no formula.

Not seen: indented code without a fence, LaTeX without delimiters. Time is linear in the text, whatever it holds.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Sequence

Range = tuple[int, int]

_FENCE = re.compile(r"^[ \t]{0,8}(?P<mark>`{3,}|~{3,})(?P<info>[^\n`]*)$", re.MULTILINE)
_ENVIRONMENTS = (
    "equation|align|aligned|alignat|gather|gathered|multline|split|cases|array|matrix|pmatrix|bmatrix|vmatrix|eqnarray"
    "|displaymath|math|tabular|verbatim|lstlisting"
)
_OPEN = re.compile(
    rf"(?P<ticks>`{{1,2}})|\\(?P<bracket>[\[(])|\\begin\{{(?P<name>(?:{_ENVIRONMENTS})\*?)\}}|\\.|(?P<dollars>\${{1,2}})",
    re.DOTALL,
)
_PROSE = re.compile(r"\b[^\W\d_]{2,}[,.;:!?]?\s+[^\W\d_]{2,}|<<|>>")
_WORDS = re.compile(r"\\(?:text|mathrm|textbf|mbox|operatorname)\w{0,4}\{[^{}]{0,200}\}")
_LONGEST_INLINE = 600
"""Characters of a formula or of code within a line."""


class Blocks:
    """Character ranges of a text that may not be cut, in order, apart from each other."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = ranges
        self._starts = [start for start, _ in ranges]

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def around(self, index: int) -> Range | None:
        """The range that a cut before character `index` would break."""
        at = bisect_right(self._starts, index) - 1
        if at >= 0 and self.ranges[at][0] < index < self.ranges[at][1]:
            return self.ranges[at]
        return None


def blocks(text: str, begin: int = 0, end: int | None = None) -> Blocks:
    """What may not be cut between two character places of a text."""
    return Blocks(_found(text, begin, len(text) if end is None else end))


def closed_fences(text: str) -> Blocks:
    """Fenced code that is closed, alone: what stands in it is no tag of its own."""
    return Blocks([one for one in _fences(text, 0, len(text)) if text[one[1] - 3 : one[1]] in ("```", "~~~")])


def is_json(text: str) -> bool:
    """The whole text is one JSON object or array."""
    bare = text.strip()
    if bare[:1] + bare[-1:] not in ("{}", "[]"):
        return False
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


class _Ahead:
    """The next place of a needle, looked up once per place: many openings without an end stay cheap."""

    def __init__(self, text: str, end: int) -> None:
        self._text = text
        self._end = end
        self._known: dict[str, int] = {}

    def find(self, needle: str, at: int) -> int:
        """First place from `at` on, or the end of the text."""
        known = self._known.get(needle, -1)
        if known < at:
            known = self._text.find(needle, at, self._end)
            self._known[needle] = known = self._end if known < 0 else known
        return known


def _found(text: str, begin: int, end: int) -> list[Range]:
    if not any(mark in text for mark in "`$\\~"):
        return []
    found: list[Range] = []
    at = begin
    for fence in [*_fences(text, begin, end), (end, end)]:
        found += _inline(text, at, fence[0])
        if fence[0] < fence[1]:
            found.append(fence)
        at = fence[1]
    return found


def _fences(text: str, begin: int, end: int) -> list[Range]:
    """Fenced code with both of its fences."""
    if "```" not in text and "~~~" not in text:
        return []
    found: list[Range] = []
    opened: re.Match[str] | None = None
    for line in _FENCE.finditer(text, begin, end):
        if opened is None:
            opened = line
        elif line["mark"].startswith(opened["mark"]) and not line["info"].strip():
            found.append((opened.start("mark"), line.end("mark")))
            opened = None
    if opened is not None:
        found.append((opened.start("mark"), end))
    return found


def _inline(text: str, begin: int, end: int) -> list[Range]:
    found: list[Range] = []
    ahead = _Ahead(text, end)
    at = begin
    while (opening := _OPEN.search(text, at, end)) is not None:
        close = _close(text, opening, ahead, end)
        if close is None:
            at = opening.end()
        else:
            found.append((opening.start(), close))
            at = close
    return found


def _close(text: str, opening: "re.Match[str]", ahead: _Ahead, end: int) -> int | None:
    """Where the stretch that `opening` starts ends; None where it starts none."""
    inner = opening.end()
    if opening["name"]:
        closer = f"\\end{{{opening['name']}}}"
    elif opening["bracket"]:
        closer = "\\]" if opening["bracket"] == "[" else "\\)"
    elif opening["ticks"] or opening["dollars"]:
        closer = opening[0]
    else:
        return None
    close = ahead.find(closer, inner)
    if close >= end or close == inner:
        return None
    if opening["name"] or opening["bracket"] == "[" or opening[0] == "$$":
        return close + len(closer)
    if close - inner > _LONGEST_INLINE or ahead.find("\n\n", inner) < close:
        return None
    if opening[0] == "$" and not _is_formula(text, inner, close):
        return None
    return close + len(closer)


def _is_formula(text: str, inner: int, close: int) -> bool:
    """What stands between two dollar signs is maths, and not the words between two prices."""
    if text[inner].isspace() or text[close - 1].isspace() or text[close + 1 : close + 2].isdigit():
        return False
    return _PROSE.search(_WORDS.sub("", text[inner:close])) is None


__all__ = ["Blocks", "Range", "blocks", "closed_fences", "is_json"]
