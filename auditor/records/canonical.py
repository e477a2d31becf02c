"""Canonical JSON bytes (RFC 8785, JSON Canonicalization Scheme) and the hashes built on them.

Integers beyond 2**53 must be written as strings and floats must be finite: both are refused here rather than
rounded, because a record whose number changed on the way in would be a false record.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

import orjson

from auditor.errors import BadValue

_SAFE_INTEGER = 2**53
_Put = Callable[[str], object]


def canonical_bytes(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value (dict, list, tuple, str, int, float, bool, None).

    Raises BadValue for anything JSON cannot say exactly (NaN, infinity, integers beyond 2**53, lone surrogates).
    """
    try:
        if _same_in_both(value):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError):  # orjson's word for lone surrogates, too deep, odd keys: the exact way decides
        pass
    return exact_bytes(value)


def exact_bytes(value: object) -> bytes:
    """canonical_bytes without its short cut: every character is written here."""
    pieces: list[str] = []
    _write(value, pieces.append)
    try:
        return "".join(pieces).encode("utf-8")
    except UnicodeEncodeError as fault:
        raise BadValue("text", f"contains a lone surrogate: {fault.reason}", "store the raw bytes instead") from fault


def read_canonical(data: bytes) -> Any:
    """The JSON value of canonical bytes, such that canonical_bytes gives these bytes again.

    A float of 2**53 or more (below 1e21) is written without a point; read as an integer it would be refused.
    """
    return json.loads(data, parse_int=_read_integer)


def _read_integer(digits: str) -> int | float:
    value = int(digits)
    return value if abs(value) <= _SAFE_INTEGER else float(digits)


def sha256_hex(data: bytes) -> str:
    """SHA-256 of data as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def content_id(value: object) -> str:
    """SHA-256 over the canonical bytes of a JSON value."""
    return sha256_hex(canonical_bytes(value))


def leaf_hash(data: bytes) -> str:
    """RFC 9162 leaf hash, SHA-256(0x00 || data): the id of a record and its place in the Merkle tree."""
    return sha256_hex(b"\x00" + data)


def seed_of(key: str, replicate: int) -> int:
    """First 8 bytes of SHA-256(key || replicate) as an unsigned integer: every draw can be redone."""
    return int.from_bytes(hashlib.sha256(f"{key}|{replicate}".encode()).digest()[:8], "big")


class Later(Mapping[str, Any]):
    """An object in canonical bytes, read when it is first looked into; most appended bodies never are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._value: dict[str, Any] | None = None

    def _read(self) -> dict[str, Any]:
        if self._value is None:
            self._value = read_canonical(self._data)
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


def _same_in_both(value: object) -> bool:
    """Whether orjson writes this value as RFC 8785 does.

    The two differ in whole and very small or large floats, in integers beyond 2**53 (refused here) and in the order
    of keys beyond the basic plane; subclasses, dataclasses, dates and UUIDs, which orjson would write, are no JSON.
    """
    waiting = [value]
    for one in waiting:  # grows while it is walked
        kind = type(one)
        if kind is str or one is None or kind is bool:
            continue
        if kind is dict:
            if not "".join(one).isascii():  # type: ignore[arg-type]
                return False
            waiting += one.values()  # type: ignore[attr-defined]
        elif kind is list or kind is tuple:
            waiting += one  # type: ignore[arg-type]
        elif kind is int:
            if not -_SAFE_INTEGER <= one <= _SAFE_INTEGER:  # type: ignore[operator]
                return False
        elif kind is not float or not 1e-5 <= abs(one) < 1e15 or one.is_integer():  # type: ignore[arg-type, attr-defined]
            return False
    return True


def _write(value: object, put: _Put) -> None:
    if value is None:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif isinstance(value, str):
        put(encode_basestring(value))
    elif isinstance(value, int):
        if abs(value) > _SAFE_INTEGER:
            raise BadValue("number", f"{value} is beyond 2**53", "write it as a string")
        put(str(value))
    elif isinstance(value, float):
        put(_number(value))
    elif isinstance(value, Mapping):
        _write_object(value, put)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        put("[")
        for index, item in enumerate(value):
            if index:
                put(",")
            _write(item, put)
        put("]")
    else:
        raise BadValue("value", f"{type(value).__name__} is not JSON", "convert it to text, number, list or object")


def _write_object(value: Mapping[Any, object], put: _Put) -> None:
    for key in value:
        if not isinstance(key, str):
            raise BadValue("key", f"{key!r} is not text", "use text keys")
    put("{")
    first = True
    keys: list[str] = sorted(value, key=None if "".join(value).isascii() else _utf16)
    for key in keys:
        if not first:
            put(",")
        first = False
        put(encode_basestring(key))
        put(":")
        _write(value[key], put)
    put("}")


def _utf16(key: str) -> bytes:
    """RFC 8785 sorts keys by UTF-16 units; for ASCII keys that is the order of the texts themselves."""
    return key.encode("utf-16-be", "surrogatepass")


def _number(value: float) -> str:
    """A float as ECMAScript's Number::toString prints it (RFC 8785 section 3.2.2.3)."""
    if not math.isfinite(value):
        raise BadValue("number", f"{value} is not finite", "record the reason why it is missing instead")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    text, exponent = repr(abs(value)), 0
    if "e" in text:
        text, tail = text.split("e")
        exponent = int(tail)
    whole, _, fraction = text.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + exponent - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        if len(digits) <= point:
            return sign + digits + "0" * (point - len(digits))
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = point - 1
    head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{head}e{'+' if power > 0 else '-'}{abs(power)}"
