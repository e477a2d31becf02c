"""Looking into a span's attributes. Everything is hostile: nothing here raises for what it finds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from auditor.capture.exact import NotJson, exact, parse_json
from auditor.records.messages import Usage

HIDDEN = "__REDACTED__"
"""What OpenInference's emitters write where they were told to hide content."""
MOST_ROWS = 4096
"""Entries of one flattened list that are read."""

Attributes = Mapping[str, object]


def text(attributes: Attributes, *names: str) -> str | None:
    """The first of these attributes that is a non-empty text."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def whole(attributes: Attributes, *names: str) -> int | None:
    """The first of these attributes that is a count."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53:
            return int(value)
    return None


def real(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def texts(value: object) -> tuple[str, ...]:
    """The texts of a list, or a text alone."""
    if isinstance(value, str):
        found = loaded(value)
        value = found if isinstance(found, list) else [value]
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, Sequence) else ()


def loaded(value: object) -> Any:
    """The JSON a text holds, where it holds a list or an object; else the value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return exact(parse_json(value))
    except (NotJson, RecursionError):
        return value


def said(value: object) -> str:
    """A value as text: texts stay, anything else becomes JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # integers beyond 64 bits
        return json.dumps(value, ensure_ascii=False, default=str)


def under(attributes: Attributes, prefix: str) -> dict[str, object]:
    """Attributes below a dotted prefix, without it."""
    start = len(prefix) + 1
    return {name[start:]: value for name, value in attributes.items() if name.startswith(prefix + ".")}


def rows(attributes: Attributes, prefix: str) -> list[dict[str, object]]:
    """A flattened list, `prefix.N.rest`, in the order of N: one mapping of rests per entry."""
    found: dict[int, dict[str, object]] = {}
    for name, value in under(attributes, prefix).items():
        number, _, rest = name.partition(".")
        if number.isdecimal() and len(number) < 8 and (len(found) < MOST_ROWS or int(number) in found):
            found.setdefault(int(number), {})[rest] = value
    return [found[number] for number in sorted(found)]


def settings(attributes: Attributes, prefix: str, leave: Sequence[str] = ("model",)) -> dict[str, object]:
    """Sampling settings below a prefix."""
    return {name: value for name, value in under(attributes, prefix).items() if name not in leave and value is not None}


def usage(
    attributes: Attributes, *, input: Sequence[str], output: Sequence[str], cache_read: Sequence[str] = (),
    cache_write: Sequence[str] = (), reasoning: Sequence[str] = (),
) -> Usage | None:  # fmt: skip
    """Token counts by their attributes' names; None where none is given."""
    found = Usage(
        input=whole(attributes, *input), output=whole(attributes, *output), cache_read=whole(attributes, *cache_read),
        cache_write=whole(attributes, *cache_write), reasoning=whole(attributes, *reasoning),
    )  # fmt: skip
    return None if found == Usage() else found
