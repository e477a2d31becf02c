"""Where the messages lie in a body, against a JSON parser."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.exact import NotJson
from auditor.capture.scanner import read_object

TEXT = st.text(st.sampled_from('ab"\\{}[],: \né🙂'), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(before=st.dictionaries(TEXT, JSON, max_size=3), messages=st.lists(JSON, max_size=5),
       after=st.dictionaries(TEXT, JSON, max_size=3), indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans(),
       nested=JSON)  # fmt: skip
def test_every_element_is_found(
    before: dict[str, object], messages: list[object], after: dict[str, object], indent: int | None, ascii_only: bool,
    nested: object,
) -> None:  # fmt: skip
    form = {**before, "deep": {"messages": [nested]}, "messages": messages, **after}
    body = json.dumps(form, indent=indent, ensure_ascii=ascii_only).encode()
    value, spans = read_object(body, b"messages")
    assert value == form
    assert spans is not None
    assert [json.loads(body[start:end]) for start, end in spans] == messages
    for start, end in spans:
        assert body[start:end] == body[start:end].strip()


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b'{"messages": 1}', b'{"messages": [1, 2}', b'{"messages": [1,,2]}', b'{"messages": [1,]}',
    b'{"messages":[1],"messages":[2]}', b'{"x":{"messages":[1]}}', b'{"x":"messages","y":[1]}', b'["messages",[1]]',
    b'{"messages":[{"a":"b]}', b"\xff\xfe{",
])  # fmt: skip
def test_what_has_no_clear_list_of_messages_is_not_cut(body: bytes) -> None:
    try:
        _, spans = read_object(body, b"messages")
    except NotJson:
        with pytest.raises(ValueError):
            json.loads(body)
    else:
        assert spans is None


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('{}[]",:1 e"messages\\'), max_size=40).map(lambda text: '{"messages":[' + text))
def test_it_accepts_what_the_standard_reader_accepts(text: str) -> None:
    try:
        wanted = json.loads(text)
    except ValueError:
        with pytest.raises(NotJson):
            read_object(text.encode(), b"messages")
    else:
        assert read_object(text.encode(), b"messages")[0] == wanted


def test_an_empty_list_has_no_elements() -> None:
    assert read_object(b'{"messages":[ ]}', b"messages") == ({"messages": []}, [])
