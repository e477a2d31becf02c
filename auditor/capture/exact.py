"""JSON read from the wire, brought into the form records can hold exactly (design §10)."""

import json
import re
from collections.abc import Callable
from typing import Any

_SAFE = 2**53
MOST_DEPTH = 200
"""Deeper JSON is not read: everything behind this door walks values by recursion."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJson(Exception):
    """The text is no JSON; the message says where."""


def parse_json(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parsed JSON. NotJson also for NaN, Infinity, wrong UTF-8 and nesting beyond MOST_DEPTH.

    pairs: makes an object of its (key, value) pairs, where a key that comes twice must not be lost.
    """
    try:
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)
    except RecursionError as fault:
        raise NotJson("nested too deeply") from fault
    except UnicodeDecodeError as fault:
        raise NotJson(f"not UTF-8 at byte {fault.start}") from fault
    except json.JSONDecodeError as fault:
        raise NotJson(f"{fault.msg} at character {fault.pos}") from fault
    except ValueError as fault:
        raise NotJson(str(fault)) from fault
    refuse_deep(value, text)
    return value


def refuse_deep(value: Any, text: str | bytes) -> None:
    """NotJson when nesting exceeds MOST_DEPTH; `text` is what the value was read from."""
    opened = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    if opened > MOST_DEPTH and _too_deep(value):
        raise NotJson("nested too deeply")


def _too_deep(value: Any) -> bool:
    """Whether nesting exceeds MOST_DEPTH, without recursion."""
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return False
        level = inner
    return True


def refuse(constant: str) -> None:
    """For a decoder's `parse_constant`: NaN and Infinity are no JSON."""
    raise NotJson(f"{constant} is no JSON number")


def exact(value: Any) -> Any:
    """The same JSON with integers beyond 2**53 as text, floats finite, surrogate pairs joined, lone ones replaced."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE else str(value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, list):
        return [exact(item) for item in value]
    return {whole_text(key): exact(item) for key, item in value.items()}


def whole_text(text: str) -> str:
    """Text without lone surrogates. A pair that two stream chunks tore apart is joined again."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
