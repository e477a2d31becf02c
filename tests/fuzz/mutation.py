"""New cases from old ones: bytes are damaged, and JSON inside a case is changed as JSON, so that it stays readable."""

import json
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    10**40,
    1.5,
    1e308,
    "",
    "x",
    "\ud800",
    "\u0000",
    "\U0001f600",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"type": None},
    {"type": "text"},
    {"role": 1},
    "a" * 5000,
    "[" * 300,
    '{"a":',
    "data: ",
    "NaN",
    "assistant",
    "tool_use",
    "index",
    {"index": -1},
    {"index": "0"},
    {"id": []},
    "\u2028",
    "__REDACTED__",
    "attachment://x",
)
_TOKENS = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"data: ",
    b"event: ",
    b"[DONE]",
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\x1e",
    b"null",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\u",
    b"\\ud83d",
    b"1e999",
    b"-0",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"NaN",
)
MOST_DEEP = 400


def mutate(case: bytes, draw: Random, most: int) -> bytes:
    """One case, changed once or a few times."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        changed = _as_json(case, draw) if draw.random() < 0.6 else None
        case = _as_bytes(case, draw) if changed is None else changed
    return case[:most]


def grow(case: bytes, draw: Random, most: int) -> bytes:
    """The case with a piece of it repeated, up to `most` bytes: what costs more than its size shows here."""
    if not case:
        return case
    start = draw.randrange(len(case))
    piece = case[start : start + draw.choice((1, 2, 8, 64, 512, 4096))]
    times = draw.randrange(1, max(2, most // len(piece)))
    return (case[:start] + piece * times + case[start:])[:most]


def _as_json(case: bytes, draw: Random) -> bytes | None:
    """A JSON value somewhere in the case, changed; None where none was found."""
    for _ in range(4):
        starts = (
            [place for place in range(len(case)) if case[place : place + 1] in (b"{", b"[")]
            if len(case) < 4096
            else [case.find(b"{", draw.randrange(len(case)))]
        )
        # the beginnings of lines, bodies and events are where whole documents begin
        whole = [place for place in starts if place <= 0 or case[place - 1 : place] in (b"\n", b" ", b"\x1e", b"\x00")]
        starts = whole or starts
        if not starts or starts[0] < 0:
            return None
        start = draw.choice(starts)
        try:
            text = case[start:].decode("utf-8", "strict")
            value, end = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            continue
        behind = text[end:].encode()
        try:
            written = json.dumps(changed(value, draw), ensure_ascii=draw.random() < 0.5, separators=(",", ":"))
        except (ValueError, RecursionError):
            continue
        return case[:start] + written.encode("utf-8", "surrogatepass") + behind
    return None


def changed(value: Any, draw: Random) -> Any:
    """The value with one place in it changed."""
    holders: list[Any] = []
    level = [value]
    for _ in range(MOST_DEEP):
        level = [one for one in level if isinstance(one, (dict, list))]
        holders += level
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        if not level or len(holders) > 5000:
            break
    if not holders or draw.random() < 0.02:
        return draw.choice(ODD)
    holder = draw.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if not keys or draw.random() < 0.1:
        odd = draw.choice(ODD)
        if isinstance(holder, dict):
            holder[draw.choice(("type", "role", "content", "index", "id", "x"))] = odd
        else:
            holder.insert(draw.randrange(len(holder) + 1), odd)
        return value
    key = draw.choice(keys)
    what = draw.randrange(6)
    if what == 0:
        del holder[key]
    elif what == 1:
        holder[key] = draw.choice(ODD)
    elif what == 2:
        holder[key] = [holder[key]] if draw.random() < 0.5 else {"x": holder[key]}
    elif what == 3:
        other = draw.choice(holders)
        holder[key] = json.loads(json.dumps(other)) if len(holders) < 500 else draw.choice(ODD)
    elif what == 4 and isinstance(holder, list):
        holder.insert(draw.randrange(len(holder) + 1), holder[key])
    elif isinstance(holder[key], str):
        text = holder[key]
        place = draw.randrange(len(text) + 1)
        odd = draw.choice(("\ud83d", "\ude00", "<think>", "</think>", "\n", '"', "\x00", "\u20ac", "9" * 30, text))
        holder[key] = text[:place] + odd + text[place:]
    else:
        holder[key] = draw.choice(ODD)
    return value


def _as_bytes(case: bytes, draw: Random) -> bytes:
    place = draw.randrange(len(case) + 1)
    what = draw.randrange(7)
    if what == 0:
        return case[:place] + bytes([draw.randrange(256)]) + case[place + 1 :]
    if what == 1:
        return case[:place] + draw.choice(_TOKENS) + case[place:]
    if what == 2:
        return case[:place] + case[place + draw.randrange(1, 64) :]
    if what == 3:
        return case[:place]
    if what == 4:
        piece = case[place : place + draw.randrange(1, 200)]
        return case[:place] + piece * draw.choice((2, 2, 50)) + case[place:]
    if what == 5 and case:
        bit = draw.randrange(len(case))
        return case[:bit] + bytes([case[bit] ^ (1 << draw.randrange(8))]) + case[bit + 1 :]
    other = draw.randrange(len(case) + 1)
    return case[:place] + case[other : other + 50] + case[place:]
