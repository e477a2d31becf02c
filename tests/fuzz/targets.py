"""Every parser as a function of bytes: what hostile bytes it is given, which errors are its documented ones, and what
must hold for what it gives. Used by benchmarks/fuzz.py and by test_fuzz.py.

A target raises for a fault only. `SEPARATOR` cuts a case where a parser takes several texts.
"""

import contextlib
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEPARATOR = b"\n\x00\n"
Check = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class Target:
    """`make` imports what it needs and gives the check; `seeds` are cases to start from."""

    name: str
    make: Callable[[], Check]
    seeds: Callable[[], Iterable[bytes]]


def pieces(data: bytes, count: int) -> list[bytes]:
    """The texts of a case, empty where it has fewer."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def join(*texts: bytes) -> bytes:
    return SEPARATOR.join(texts)


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def exchange(name: str, path: str, method: str, sent: Mapping[str, str], gave: Mapping[str, str]) -> Any:
    from auditor.records.exchange import Exchange, Joins, Times

    return Exchange(
        dialect=name,
        method=method,
        path=path,
        upstream="u",
        status=200,
        outcome="complete",
        request=None,
        response=None,
        request_headers=sent,
        response_headers=gave,
        times=Times(started="", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(),
        model=None,
        model_digest="unknown",
        relayed=0,
    )


def recordable(value: Any) -> None:
    """A frozen value must have canonical bytes, or it cannot be appended."""
    from auditor.records.canonical import canonical_bytes
    from auditor.records.wire import write

    canonical_bytes(write(value))


_KINDS = ("application/json", "text/event-stream", "", "text/event-stream; charset=utf-8")
_ENCODINGS = ("", "gzip", "zstd", "br", "deflate", "identity, gzip")


def _dialect(name: str, paths: tuple[tuple[str, str], ...]) -> Callable[[], Check]:
    def make() -> Check:
        from auditor.capture.dialects import parse_exchange
        from auditor.capture.dialects.catalogue import by_name
        from auditor.capture.moments import first_moments
        from auditor.capture.stream import events
        from auditor.records.messages import place

        dialect = by_name(name)
        assert dialect is not None

        def check(data: bytes) -> None:
            head, request, response = pieces(data, 3)
            chosen = head[0] if head else 0
            method, path = paths[chosen % len(paths)]
            gave = {"content-type": _KINDS[chosen // 8 % 4]}
            if len(head) > 1 and head[1] > 250:
                gave["content-encoding"] = _ENCODINGS[head[1] - 250]
            call = parse_exchange("r", exchange(name, path, method, {}, gave), request, response)
            recordable(call)
            place((*call.messages, *call.outputs))
            for event in events(response[:65536]):
                dialect.moment(event)
            first_moments(dialect, response, gave, [(1, len(response) // 2), (2, len(response) - len(response) // 2)])

        return check

    return make


def _sse() -> Check:
    from auditor.capture.stream import SseDecoder, events

    def check(data: bytes) -> None:
        whole = list(events(data))
        for step in (1, 2, 3, 7) if len(data) <= 256 else (1 + data[0] % 16, 61):
            decoder, found = SseDecoder(), []
            for start in range(0, len(data), step):
                found += decoder.feed(data[start : start + step])
            found += decoder.close()
            assert found == whole, f"cut every {step} bytes the events differ"

    return check


def _scanner() -> Check:
    from auditor.capture.exact import NotJson, parse_json
    from auditor.capture.scanner import read_object

    def same(one: Any, other: Any) -> bool:
        return json.dumps(one) == json.dumps(other)

    def check(data: bytes) -> None:
        try:
            value, spans = read_object(data, b"messages")
        except NotJson:
            value, spans = None, None
            try:
                parse_json(data)
            except NotJson:
                return
            raise AssertionError("refused what the plain reader takes") from None
        assert same(value, parse_json(data)), "the value is another one"
        if spans is not None:
            rows = [parse_json(data[start:end]) for start, end in spans]
            assert same(rows, value["messages"]), "the ranges do not hold the elements"

    return check


def _exact() -> Check:
    from auditor.capture.exact import NotJson, exact, parse_json
    from auditor.records.canonical import canonical_bytes

    def check(data: bytes) -> None:
        for text in (
            data,
            data.decode("utf-8", "surrogatepass" if data[:1] == b"\xed" else "replace") if _decodes(data) else data,
        ):
            try:
                value = exact(parse_json(text))
            except NotJson:
                continue
            if isinstance(value, dict):
                canonical_bytes(value)

    return check


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _encoding() -> Check:
    from auditor.capture.decoding import open_decoder
    from auditor.capture.encoding import NotDecoded, decode

    names = ("gzip", "zstd", "br", "deflate", "x-gzip", "gzip, br", "zstd, gzip", "identity", "what")
    most = 2**22

    def check(data: bytes) -> None:
        if not data:
            return
        name, body = names[data[0] % len(names)], data[1:]
        for whole in (False, True):
            with contextlib.suppress(NotDecoded):
                assert len(decode(body, name, whole=whole, most=most)) <= most
        decoder = open_decoder(name, most)
        if decoder is not None:
            try:
                for start in range(0, len(body), 61):
                    decoder.feed(body[start : start + 61])
            except NotDecoded:
                pass

    return check


def _otlp(signal: str, form: str) -> Callable[[], Check]:
    def make() -> Check:
        from auditor.capture import otlp_read
        from auditor.errors import BadInput
        from auditor.records import wire
        from auditor.records.canonical import canonical_bytes
        from auditor.records.telemetry import TelemetryLog, TelemetrySpan

        read = otlp_read.read_json if form == "json" else otlp_read.read_protobuf
        kind: Any = TelemetrySpan if signal == "traces" else TelemetryLog

        def check(data: bytes) -> None:
            try:
                batch = read(data, signal)  # type: ignore[arg-type]
            except BadInput:
                return
            for item in batch.items:
                canonical_bytes(item)
                wire.read(kind, item)
            assert all(isinstance(one, str) for one in batch.reasons)

        return check

    return make


def _conventions() -> Check:
    from auditor.capture.conventions.catalogue import CONVENTIONS, observe
    from auditor.capture.exact import NotJson, exact, parse_json
    from auditor.records.telemetry import SpanEvent, TelemetryLog, TelemetrySpan

    def check(data: bytes) -> None:
        try:
            form = exact(parse_json(data))
        except NotJson:
            return
        if not isinstance(form, dict):
            return
        attributes, told = form.get("attributes"), form.get("events")
        attributes = attributes if isinstance(attributes, dict) else form
        told = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
        span = TelemetrySpan(
            trace_id="a" * 32,
            span_id="b" * 16,
            parent_span_id=None,
            name=str(form.get("name", "x")),
            kind=1,
            started=None,
            ended=None,
            attributes=attributes,
            resource={},
            scope=str(form.get("scope", "")) or None,
            status="error" if form.get("error") else "unset",
            events=tuple(SpanEvent(name=str(one.get("name")), at=None, attributes=one) for one in told),
        )
        logs = [
            TelemetryLog(
                trace_id=None,
                span_id=None,
                time=None,
                observed=None,
                severity=0,
                severity_text=None,
                event=str(one.get("name")),
                body=one.get("body"),
                attributes=one,
                resource={},
                scope=None,
            )
            for one in told
        ]
        found = [observe(span, logs), *(one.read(span, logs) for one in CONVENTIONS)]
        for one in found:
            if one is not None:
                recordable(one)

    return check


def _importer(name: str) -> Callable[[], Check]:
    def make() -> Check:
        from auditor.capture.importers.catalogue import importer
        from auditor.capture.importers.imported import Imported
        from auditor.errors import BadInput
        from auditor.records.canonical import canonical_bytes
        from auditor.records.wire import write

        chosen = importer(name)

        def check(data: bytes) -> None:
            try:
                for item in chosen.read(data):
                    if isinstance(item, Imported):
                        canonical_bytes(
                            {
                                "messages": [write(one) for one in item.messages],
                                "run": item.run,
                                "model": item.model,
                                "facts": dict(item.facts),
                                "tools": [dict(one) for one in item.tools],
                            }
                        )
                    else:
                        for one in item.items:
                            canonical_bytes(one)
            except BadInput as fault:
                assert fault.fix

        return check

    return make


def _frames() -> Check:
    from auditor.capture.spool import frames

    def check(data: bytes) -> None:
        last = 0
        for _, _, offset, length in frames(data, 0):
            assert last <= offset <= offset + length <= len(data)
            last = offset + length

    return check


def _spool() -> Check:
    from auditor.capture.spool import segment_name
    from auditor.capture.spool_read import OwnerReader

    root = Path(tempfile.mkdtemp(prefix="fuzz-spool-"))
    folder = root / "owner"
    folder.mkdir()

    def check(data: bytes) -> None:
        one, other = pieces(data, 2)
        (folder / segment_name(1)).write_bytes(one)
        (folder / segment_name(2)).write_bytes(other)
        reader = OwnerReader(folder, set())
        try:
            given = list(reader.read())
            assert reader.finished, "a dead owner is read to its end"
            for stream in given:
                for piece in (*stream.request, *stream.response):
                    assert len(reader.payload(piece)) == piece.length
            reader.ended(given)
        finally:
            reader.close()

    return check


def _traceparent() -> Check:
    from auditor.structure.spans import trace_of

    def check(data: bytes) -> None:
        found = trace_of(data.decode("latin-1"))
        assert found is None or (len(found[0]) == 32 and len(found[1]) == 16)

    return check


def _headers() -> Check:
    from auditor.access.gate import is_loopback, presented
    from auditor.access.keys import token_id
    from auditor.capture.headers import Vault, end_to_end, to_upstream
    from auditor.records.canonical import canonical_bytes
    from auditor.records.wire import write

    vault = Vault(b"k" * 32)

    def check(data: bytes) -> None:
        path, *lines = data.split(b"\n")
        rows = []
        for line in lines[:64]:
            name, _, value = line.partition(b":")
            rows.append((name.strip(), value.strip()))
        canonical_bytes(vault.stored(rows))
        canonical_bytes({"path": vault.path(path.decode("latin-1"))})
        canonical_bytes(write(vault.joins(rows)))
        assert not any(name.startswith(b"x-audit-") for name, _ in to_upstream(rows))
        end_to_end(rows)
        token, _, _ = presented(rows)
        token_id(token or "")
        is_loopback(path.decode("latin-1"))

    return check


def _redact() -> Check:
    from auditor.capture.masking import BodyMask
    from auditor.capture.redact import BUILT_IN, Masker, compile_rules, mask_text
    from auditor.errors import BadInput

    rules = compile_rules(tuple(BUILT_IN), (("ticket", r"TK-\d{4,8}"),))

    def own(secret: bytes) -> str:
        return "h:" + f"{len(secret):032x}"

    def check(data: bytes) -> None:
        pattern, body = pieces(data, 2)
        whole = Masker(rules, own).whole(body)
        for step in (1, 5, 64) if len(body) <= 256 else (16 + body[0] % 64, 256):
            masker, found = Masker(rules, own), []
            for start in range(0, len(body), step):
                found.append(masker.feed(body[start : start + step]))
            found.append(masker.close())
            assert b"".join(found) == whole, f"cut every {step} bytes the mask differs"
        mask_text(rules, own, body[:4096].decode("utf-8", "replace"), "header")
        for encoding in ("gzip", "br", "zstd"):
            mask = BodyMask(rules, own, "response", encoding)
            mask.feed(body[: len(body) // 2])
            mask.feed(body[len(body) // 2 :])
            mask.close()
        try:
            custom = compile_rules((), (("custom", pattern.decode("utf-8", "replace")),))
        except BadInput:
            return
        Masker(custom, own).whole(body[:4096])

    return check


def _prices() -> Check:
    from auditor.capture.exact import NotJson, exact, parse_json
    from auditor.capture.prices import cost, read_prices
    from auditor.capture.usage import tokens
    from auditor.errors import BadInput

    place = Path(tempfile.mkdtemp(prefix="fuzz-prices-")) / "prices.json"
    shipped = read_prices()
    dialects = ("openai_chat", "anthropic_messages", "openai_responses", "openai_completions", "openai_embeddings")

    def check(data: bytes) -> None:
        table, used = pieces(data, 2)
        place.write_bytes(table)
        prices = shipped
        with contextlib.suppress(BadInput):
            prices = read_prices(place)
        try:
            usage = exact(parse_json(used))
        except NotJson:
            return
        if isinstance(usage, dict):
            for dialect in dialects:
                counted = tokens(dialect, usage)
                if counted is not None:
                    recordable(counted)
                for model in ("gpt-4o", "claude-sonnet-4-5"):
                    charged = cost(prices, dialect, model, usage)
                    if charged is not None:
                        assert math.isfinite(float(charged.usd))
                        recordable(charged)

    return check


def _settings() -> Check:
    from auditor.errors import BadSetup
    from auditor.settings import read_settings

    place = Path(tempfile.mkdtemp(prefix="fuzz-settings-")) / "auditor.toml"

    def check(data: bytes) -> None:
        toml, environment = pieces(data, 2)
        place.write_bytes(toml)
        env = {"AUDITOR_CONFIG": str(place)}
        for line in environment.decode("utf-8", "replace").split("\n"):
            name, mark, value = line.partition("=")
            if mark and name and name != "CONFIG":
                env["AUDITOR_" + name] = value
        try:
            read_settings(env)
        except BadSetup as fault:
            assert fault.fix

    return check


def _dialect_targets() -> tuple[Target, ...]:
    from_routes = {
        "openai_chat": (("POST", "/v1/chat/completions"),),
        "openai_completions": (("POST", "/v1/completions"),),
        "openai_embeddings": (("POST", "/v1/embeddings"),),
        "openai_responses": (
            ("POST", "/v1/responses"),
            ("WEBSOCKET", "/v1/responses"),
            ("GET", "/v1/responses/resp_1"),
            ("POST", "/v1/responses/compact"),
            ("GET", "/v1/responses/resp_1/input_items"),
            ("POST", "/v1/responses/resp_1/cancel"),
            ("DELETE", "/v1/responses/resp_1"),
            ("POST", "/v1/responses/input_tokens"),
        ),
        "anthropic_messages": (("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens?beta=true")),
    }
    return tuple(
        Target(name=name, make=_dialect(name, routes), seeds=_seeds(f"dialect:{name}"))
        for name, routes in from_routes.items()
    )


def _seeds(of: str) -> Callable[[], Iterable[bytes]]:
    def give() -> Iterable[bytes]:
        import importlib.util
        import sys

        name = "fuzz_corpus"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("corpus.py"))
            assert spec is not None and spec.loader is not None
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        found: Iterable[bytes] = sys.modules[name].seeds(of, join)
        return found

    return give


_IMPORTERS = (
    "tau_bench", "otlp", "openai_jsonl", "anthropic_jsonl", "langsmith", "langfuse", "inspect", "tree_of_thoughts",
    "intercode", "gsm8k",
)  # fmt: skip
TARGETS: tuple[Target, ...] = (
    *_dialect_targets(),
    Target(name="sse", make=_sse, seeds=_seeds("sse")),
    Target(name="scanner", make=_scanner, seeds=_seeds("json")),
    Target(name="exact", make=_exact, seeds=_seeds("json")),
    Target(name="encoding", make=_encoding, seeds=_seeds("encoding")),
    *(
        Target(name=f"otlp_{form}_{signal}", make=_otlp(signal, form), seeds=_seeds(f"otlp_{form}:{signal}"))
        for form in ("protobuf", "json")
        for signal in ("traces", "logs")
    ),
    Target(name="conventions", make=_conventions, seeds=_seeds("conventions")),
    *(Target(name=f"import_{name}", make=_importer(name), seeds=_seeds(f"import:{name}")) for name in _IMPORTERS),
    Target(name="spool_frames", make=_frames, seeds=_seeds("spool")),
    Target(name="spool_reader", make=_spool, seeds=_seeds("spool")),
    Target(name="traceparent", make=_traceparent, seeds=_seeds("traceparent")),
    Target(name="headers_keys", make=_headers, seeds=_seeds("headers")),
    Target(name="redact", make=_redact, seeds=_seeds("redact")),
    Target(name="prices", make=_prices, seeds=_seeds("prices")),
    Target(name="settings", make=_settings, seeds=_seeds("settings")),
)
