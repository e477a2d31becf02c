"""Where the values of a JSON text stand: leaves with character offsets, and type-correct rewriting. Torch-free.

Needed because tool arguments are recorded as JSON text but re-serialised by chat templates.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined, unused-ignore]
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.S)

Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class JsonLeaf:
    """A string, number, boolean or null of a JSON text.

    `places[i]` is the character offset, in the JSON text, of character i of the value (of the literal, for values
    that are no strings); one entry more than characters, the last being the end. Quotes lie outside.
    """

    pointer: str
    value: Scalar
    places: tuple[int, ...]


def json_leaves(text: str) -> tuple[JsonLeaf, ...]:
    """All leaves of a JSON text in the order in which they stand; ValueError when it is not JSON."""
    json.loads(text)  # the scanner below may then assume well-formed text
    found: list[JsonLeaf] = []
    _value(text, _skip(text, 0), "", found)
    return tuple(found)


def string_places(raw: str, start: int) -> tuple[int, ...]:
    """Offsets of each character of a JSON string's value, for its inner text `raw` that begins at `start`."""
    places: list[int] = []
    for piece in _ESCAPE.finditer(raw):
        places.append(start + piece.start())
    return (*places, start + len(raw))


def replace_leaves(value: Any, put: Callable[[Scalar], Any]) -> Any:
    """A copy of a JSON value with every leaf passed through `put`, visited in the order in which they stand."""
    if isinstance(value, dict):
        return {key: replace_leaves(inner, put) for key, inner in value.items()}
    if isinstance(value, list):
        return [replace_leaves(inner, put) for inner in value]
    return put(value)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def _value(text: str, at: int, pointer: str, found: list[JsonLeaf]) -> int:
    """Read one value that starts at `at`; gives the offset after it."""
    if text[at] == '"':
        value, end = scanstring(text, at + 1, True)
        found.append(JsonLeaf(pointer=pointer, value=value, places=string_places(text[at + 1 : end - 1], at + 1)))
        return int(end)
    if text[at] in "{[":
        return _container(text, at, pointer, found)
    for word, constant in _WORDS.items():
        if text.startswith(word, at):
            found.append(JsonLeaf(pointer=pointer, value=constant, places=tuple(range(at, at + len(word) + 1))))
            return at + len(word)
    number = _NUMBER.match(text, at)
    if number is None:  # NaN and Infinity, which json.loads lets pass
        raise ValueError(f"not JSON at character {at}")
    places = tuple(range(at, number.end() + 1))
    found.append(JsonLeaf(pointer=pointer, value=json.loads(number.group()), places=places))
    return number.end()


def _container(text: str, at: int, pointer: str, found: list[JsonLeaf]) -> int:
    closing, index = ("}" if text[at] == "{" else "]"), 0
    at = _skip(text, at + 1)
    while text[at] != closing:
        key: str = str(index)
        if closing == "}":
            key, end = scanstring(text, at + 1, True)
            at = _skip(text, _skip(text, end) + 1)
        step = key.replace("~", "~0").replace("/", "~1")
        at = _skip(text, _value(text, at, f"{pointer}/{step}", found))
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1
    return at + 1
