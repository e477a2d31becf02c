"""What masking does to OTLP requests."""

import json

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auditor.capture.otlp_mask import mask_request
from auditor.capture.redact import compile_rules

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
