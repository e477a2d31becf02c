"""What masking does to OTLP requests."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture import otlp_mask
from auditor.capture.otlp_mask import mask_request
from auditor.capture.redact import compile_rules, mask_text

SECRET = "sk-abcdefghijklmnopqrstuvwx"
RULES = compile_rules(("keys", "card"))


def fingerprint(value: bytes) -> str:
    return f"h:{len(value):032x}"


def test_an_id_that_is_none_is_masked_and_integers_stay_exact() -> None:
    own = {"traceId": "4111111111111111" * 2, "spanId": "4111111111111111", "parentSpanId": SECRET, "n": 2**70}
    kept, found = mask_request(json.dumps({"s": [own]}).encode(), "traces", True, RULES, fingerprint)
    (span,) = json.loads(kept)["s"]
    assert span == own | {"parentSpanId": "[redacted:keys:00000000]"}
    assert [one.rule for one in found] == ["keys"]


def test_an_id_of_a_wrong_length_is_masked_in_protobuf_too() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = SECRET.encode(), b"41111111"
    kept, _ = mask_request(request.SerializeToString(), "traces", False, RULES, fingerprint)
    assert SECRET.encode() not in kept and b"41111111" in kept


def test_a_key_that_comes_twice_stays_twice() -> None:
    body = '{"a":"x","a":{"b":[],"b":{},"k":"KEY","k":"KEY"},"KEY":1,"a":"KEY"}'
    kept, found = mask_request(body.replace("KEY", SECRET).encode(), "traces", True, RULES, fingerprint)
    assert SECRET not in kept.decode()
    mark = "[redacted:keys:00000000]"
    pairs = json.loads(kept, object_pairs_hook=list)
    inner = [("b", []), ("b", []), ("k", mark), ("k", mark)]
    assert pairs == [("a", "x"), ("a", inner), (mark, 1), ("a", mark)]
    assert sum(one.count for one in found) == 4


def _written(text: str, draw: random.Random) -> str:
    """A JSON string of the text, every character of it escaped in one of the ways there are."""
    short = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
    pieces = []
    for char in text:
        units = char.encode("utf-16-be").hex()
        whole = "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
        plain = char if char not in short and char >= " " else short.get(char, whole)
        pieces.append(draw.choice([plain, plain, short.get(char, plain), whole]))
    return '"' + "".join(pieces) + '"'


@given(st.text(alphabet='ab"\\/\n\t\r\b\fé€🙂u0073', max_size=12), st.sampled_from(["", "\n", '"', "\\", "é", "x"]),
       st.randoms(use_true_random=False), st.booleans())  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_escapes_hide_nothing(around: str, before: str, draw: random.Random, nested: bool) -> None:
    text = around + before + SECRET + " " + around
    value = f'{{"k":{_written(text, draw)}}}' if nested else text
    body = f'{{"a":{_written(around, draw)},"v":{_written(value, draw)}}}'.encode()
    kept, found = mask_request(body, "traces", True, RULES, fingerprint)
    alone, _ = mask_text(RULES, fingerprint, value, "request")
    assert json.loads(kept)["v"] == alone
    assert bool(found) == (alone != value)


def test_what_holds_nothing_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_mask, "_json", None)
    body = json.dumps({"v": json.dumps({"role": "user", "text": 'say "hi" \\ \n é 🙂'})}).encode()
    assert mask_request(body, "traces", True, RULES, fingerprint) == (body, ())
