"""Where the elements of a top-level JSON array lie in the bytes of a body, without decoding or copying it."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]', re.DOTALL)
_SPACE = b" \t\r\n"
_OPEN, _CLOSE = b"{[", b"}]"


def array_spans(body: bytes, key: bytes) -> list[tuple[int, int]] | None:
    """Byte ranges of the elements of the array under `key` of a top-level object, white space around them excluded.

    None when there is no such array, when the key stands twice, or when the body is visibly no JSON; escaped spellings
    of the key are not recognised. The result is a place to cut, not a validation.
    """
    wanted = b'"' + key + b'"'
    depth, inside, found = 0, False, None
    last_text, current_key = b"", b""
    start = 0
    spans: list[tuple[int, int]] = []
    for place, token in _tokens(body):
        if token in _OPEN:
            depth += 1
            if depth == 1 and token != b"{":
                return None
            if depth == 2 and token == b"[" and current_key == wanted:
                if found is not None:
                    return None
                inside, start, spans = True, place + 1, []
        elif token in _CLOSE:
            if inside and depth == 2:
                spans.append(_trimmed(body, start, place))
                inside, found = False, spans
            depth -= 1
        elif token == b",":
            if inside and depth == 2:
                spans.append(_trimmed(body, start, place))
                start = place + 1
            elif depth == 1:
                current_key = b""
        elif token == b":":
            if depth == 1:
                current_key = last_text
        elif depth == 1:
            last_text = token
    if found is None or depth != 0:
        return None
    if len(found) == 1 and found[0][0] == found[0][1]:
        return []
    return None if any(first == last for first, last in found) else found


def _tokens(body: bytes) -> Iterator[tuple[int, bytes]]:
    for match in _TOKEN.finditer(body):
        yield match.start(), match.group()


def _trimmed(body: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and body[start] in _SPACE:
        start += 1
    while end > start and body[end - 1] in _SPACE:
        end -= 1
    return start, end
