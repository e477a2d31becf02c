"""Where the scalar fields of a JSON text stand, by RFC 6901 pointer. Walks the text once, without recursion."""

import json
import re
from collections.abc import Mapping

from auditor.structure.values import Offsets

_MOST_POINTER = 2**12
"""Characters; fields under longer pointers are left out, or long keys would be copied for each of many fields."""
_TOKEN = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+', re.DOTALL)

_UNIT = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|[^\\]+", re.DOTALL)
"""A pair of surrogates, another escape, or plain text."""


def fields(text: str) -> Mapping[str, tuple[int, int]]:
    """Pointer -> UTF-8 bytes [start, end) of a scalar, of a string without its quotes. Empty for a text that is no JSON
    object or array. Of a key that comes twice the last is taken, as parsers do."""
    if text.lstrip()[:1] not in ("{", "["):
        return {}
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return {}
    offsets = Offsets(text)
    found: dict[str, tuple[int, int]] = {}
    places: list[str | int] = []
    """Key or index at each open object and array."""
    above: list[str | None] = []
    """Pointer of each of them; None where it is too long."""
    awaits_key = False
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == ":":
            continue
        if mark == ",":
            last = places[-1]
            awaits_key = isinstance(last, str)
            if isinstance(last, int):
                places[-1] = last + 1
        elif mark in ("}", "]"):
            above.pop()
            places.pop()
            awaits_key = False
        elif awaits_key:
            places[-1] = str(json.loads(mark, strict=False)) if "\\" in mark else mark[1:-1]
            awaits_key = False
        else:
            here = _pointer(above[-1], places[-1]) if above else ""
            if mark in ("{", "["):
                above.append(here)
                places.append("" if mark == "{" else 0)
                awaits_key = mark == "{"
            elif here is not None:
                start, end = token.span()
                quoted = mark[0] == '"'
                found[here] = offsets[start + quoted], offsets[end - quoted]
    return found


def raw_place(content: str, decoded: int) -> int:
    """Where in a JSON string's content the character stands that is number `decoded` of what it says."""
    if "\\" not in content:
        return min(decoded, len(content))
    at = seen = 0
    for unit in _UNIT.finditer(content):
        escaped = unit[0][0] == "\\"
        count = 1 if escaped else len(unit[0])
        if seen + count > decoded:
            return unit.start() if escaped else unit.start() + decoded - seen
        seen += count
        at = unit.end()
    return at


def _pointer(above: str | None, key: str | int) -> str | None:
    own = str(key)
    if above is None or len(above) + len(own) > _MOST_POINTER:
        return None
    return f"{above}/{own.replace('~', '~0').replace('/', '~1')}"
