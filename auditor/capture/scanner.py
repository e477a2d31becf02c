"""Reads a request's JSON object once and says where the elements of one of its arrays lie in the bytes."""

import json
import re
from collections.abc import Callable
from typing import Any

from auditor.capture.exact import NotJson, parse_json, refuse, refuse_deep

Spans = list[tuple[int, int]]
_SPACE = re.compile(r"[ \t\n\r]*")
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=refuse).scan_once  # type: ignore[attr-defined]
"""One JSON value at a place of a text, by the standard library's C scanner; StopIteration where there is none."""


def read_object(body: bytes, array: bytes | None) -> tuple[Any, Spans | None]:
    """(the JSON value, byte ranges of the elements of the array under the top-level key `array`).

    The ranges exclude white space around elements. They are None when the value is no object, has no such array, or
    has the key twice. NotJson as exact.parse_json.
    """
    if array is None or not body.lstrip(b" \t\r\n").startswith(b"{") or b"\0" in body[:4]:
        return parse_json(body), None
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return parse_json(body), None  # it takes surrogates written as UTF-8, which are no text that can be cut
    if len(text) != len(body) and body.startswith(b"\xef\xbb\xbf"):
        return parse_json(body), None
    try:
        form, spans = _object(text, array.decode())
    except StopIteration as fault:
        raise NotJson(f"Expecting value at character {fault.value}") from fault
    except RecursionError as fault:
        raise NotJson("nested too deeply") from fault
    except json.JSONDecodeError as fault:
        raise NotJson(f"{fault.msg} at character {fault.pos}") from fault
    except ValueError as fault:
        raise NotJson(str(fault)) from fault
    refuse_deep(form, body)
    return form, spans if spans is None or len(text) == len(body) else _in_bytes(text, spans)


def _object(text: str, array: str) -> tuple[dict[str, Any], Spans | None]:
    """Walk the top level with the decoder's own scanner, which reads a whole value per step."""
    form: dict[str, Any] = {}
    spans: Spans | None = None
    seen = 0
    place = _after(text, _after(text, 0, "{"), "")
    if text[place : place + 1] == "}":
        place += 1
    else:
        while True:
            if text[place : place + 1] != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, place)
            key, place = _scan(text, place)
            place = _after(text, place, ":")
            place = _after(text, place, "")
            if key == array and text[place : place + 1] == "[":
                seen += 1
                form[key], spans, place = _array(text, place)
            else:
                seen += key == array
                form[key], place = _scan(text, place)
            place = _after(text, place, "")
            if text[place : place + 1] == "}":
                place += 1
                break
            place = _after(text, _after(text, place, ","), "")
    if _after(text, place, "") != len(text):
        raise json.JSONDecodeError("Extra data", text, place)
    return form, spans if seen == 1 else None


def _array(text: str, place: int) -> tuple[list[Any], Spans, int]:
    values: list[Any] = []
    spans: Spans = []
    place = _after(text, place + 1, "")
    if text[place : place + 1] == "]":
        return values, spans, place + 1
    while True:
        value, end = _scan(text, place)
        values.append(value)
        spans.append((place, end))
        place = _after(text, end, "")
        if text[place : place + 1] == "]":
            return values, spans, place + 1
        place = _after(text, _after(text, place, ","), "")


def _after(text: str, place: int, mark: str) -> int:
    """The place behind white space and `mark`."""
    space = _SPACE.match(text, place)
    assert space is not None
    place = space.end()
    if not text.startswith(mark, place):
        raise json.JSONDecodeError(f"Expecting '{mark}' delimiter", text, place)
    return place + len(mark)


def _in_bytes(text: str, spans: Spans) -> Spans:
    """Character ranges as ranges of UTF-8 bytes."""
    found: Spans = []
    chars = size = 0
    for start, end in spans:
        size += len(text[chars:start].encode())
        length = len(text[start:end].encode())
        found.append((size, size + length))
        chars, size = end, size + length
    return found
