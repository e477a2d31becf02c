"""What fuzzing found once, one test per finding."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from auditor.capture.dialects import anthropic_stream, openai_chat, parse_exchange
from auditor.capture.exact import parse_json
from auditor.capture.importers.catalogue import importer
from auditor.capture.importers.imported import Imported
from auditor.capture.prices import cost, read_prices
from auditor.capture.redact import compile_rules
from auditor.capture.scanner import read_object
from auditor.capture.stream import SseEvent, events
from auditor.errors import BadInput, BadSetup
from auditor.records.canonical import canonical_bytes
from auditor.records.exchange import Exchange, Joins, Times
from auditor.records.messages import Call
from auditor.records.wire import write
from auditor.settings import read_settings
from auditor.views.api import problems
from auditor.views.api.paths import Id, RawPath


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"content":"\xed\xa0\xbd"}]}',
        '{"messages":[]}'.encode("utf-16-le"),
        '{"messages":[1]}'.encode("utf-16"),
    ],
)
def test_the_scanner_takes_what_the_plain_reader_takes(body: bytes) -> None:
    assert json.dumps(read_object(body, b"messages")[0]) == json.dumps(parse_json(body))


@pytest.mark.parametrize("choices", [[{"delta": "x"}], [{"delta": 7}], ["x"], "x", {"delta": {"content": "x"}}, [None]])
def test_a_chunk_whose_delta_is_no_object_brings_nothing(choices: Any) -> None:
    event = SseEvent(event="message", data=json.dumps({"choices": choices, "delta": 1}))
    assert openai_chat.moment(event) is None


def _table(**entry: Any) -> bytes:
    row = {"match": "m*", "input": "1", "output": "1", **entry}
    return json.dumps({"version": "1", "currency": "USD", "models": [row]}).encode()


@pytest.mark.parametrize(
    "table",
    [
        _table().replace(b"m*", b"m\xf6"),
        _table(input="1e999999"),
        _table(input="1e-999999999"),
        _table(input="NaN"),
        _table(above="9" * 5000),
        _table(above="\u00b2"),
        b"[" * 100_000,
    ],
)
def test_a_price_table_that_cannot_be_used_is_refused(table: bytes, tmp_path: Path) -> None:
    place = tmp_path / "prices.json"
    place.write_bytes(table)
    with pytest.raises(BadInput, match="prices"):
        read_prices(place)


def test_torn_characters_in_a_price_table_do_not_reach_a_record(tmp_path: Path) -> None:
    place = tmp_path / "prices.json"
    place.write_bytes(_table(match="\ud800*"))
    found = cost(read_prices(place), "openai_chat", "\ufffdx", {"prompt_tokens": 1, "completion_tokens": 1})
    assert found is not None
    assert found.model.encode() == "\ufffd*".encode()


@pytest.mark.parametrize(
    "toml",
    [
        b'data = "x\xd6"',
        b"port = [1]",
        b"port = inf",
        b"data = 5",
        b'data = "a\\u0000b"',
        b"upstreams = [1]",
        b"upstreams = {a = 1}",
        b'upstreams = {a = "http://["}',
        b'upstreams = {a = "http://x:99999"}',
        b"host = 5",
        b"private_upstreams = 5",
        b"private_upstreams = [1]",
    ],
)
def test_wrong_settings_are_said_in_words(toml: bytes, tmp_path: Path) -> None:
    place = tmp_path / "auditor.toml"
    place.write_bytes(toml)
    with pytest.raises(BadSetup):
        read_settings({"AUDITOR_CONFIG": str(place)})


def test_torn_characters_of_an_answer_do_not_reach_an_imported_run() -> None:
    stream = 'data: {"error":{"message":"e\\ude00"}}\n\n'
    line = json.dumps({"request": {"messages": [{"role": "user", "content": "x"}]}, "response": stream}).encode()
    [run] = importer("openai_jsonl").read(line)
    assert isinstance(run, Imported)
    assert str(run.facts["unparsed"]).encode()


@pytest.mark.parametrize("pattern", ["[[a]bcd", "[a--b]bcd", "[a&&b]bcd", "[a~~b]bcd", "[a||b]bcd"])
@pytest.mark.filterwarnings("default::FutureWarning")
def test_a_class_that_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="inside"):
        compile_rules((), (("own", pattern),))
    assert compile_rules((), (("own", r"[\[a&|]bcd"),))


def test_a_pattern_of_very_many_parts_is_refused() -> None:
    with pytest.raises(BadInput, match="parts in a row"):
        compile_rules((), (("own", "\ufffd" * 190),))
    assert compile_rules((), (("own", "\ufffd" * 20),))


def _zip(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("header.json", "{}")
        archive.writestr("samples/1_epoch_1.json", "{}")
    return file.getvalue()


def test_a_zip_whose_directory_lies_is_refused() -> None:
    whole = _zip(zipfile.ZIP_STORED)
    broken = whole[:40] + whole[90:]  # members then begin before the file does
    with pytest.raises(BadInput):
        list(importer("inspect").read(broken))


def test_a_zip_method_that_may_ask_for_any_memory_is_refused() -> None:
    with pytest.raises(BadInput, match="compressed in a way"):
        list(importer("inspect").read(_zip(zipfile.ZIP_LZMA)))


def test_an_id_with_a_line_break_finds_its_route() -> None:
    app, inner = FastAPI(), FastAPI()
    problems.install(inner)
    inner.add_middleware(RawPath)

    @inner.get("/v1/runs/{run}/steps")
    def steps(run: Id) -> dict[str, str]:
        return {"run": run}

    app.mount("/api", inner)
    app.add_middleware(RawPath)
    with TestClient(app) as client:
        assert client.get("/api/v1/runs/a%0Ab/steps").json() == {"run": "a\nb"}


def _call(dialect: str, path: str, method: str, request: bytes, response: bytes, kind: str) -> Call:
    found = Exchange(
        dialect=dialect, method=method, path=path, upstream="u", status=200, outcome="complete", request=None,
        response=None, request_headers={}, response_headers={"content-type": kind},
        times=Times(started="2026-01-01T00:00:00.000000000Z", upstream_headers=None, first_byte=None, last_byte=None),
        joins=Joins(), model=None, model_digest="unknown", relayed=len(response),
    )  # fmt: skip
    return parse_exchange("r", found, request, response)


def test_a_torn_character_in_the_kind_of_a_frame_does_not_reach_the_record() -> None:
    frame = b'\x1e{"type":"respon\\ud83dse.create"}\n'
    call = _call("openai_responses", "/v1/responses", "WEBSOCKET", frame, b"", "application/json-seq")
    assert canonical_bytes(write(call))


def test_a_function_that_is_a_list_does_not_stop_a_stream() -> None:
    delta = {"tool_calls": [{"function": [1]}, {"function": [2]}]}
    body = b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
    call = _call("openai_chat", "/v1/chat/completions", "POST", b'{"messages":[]}', body * 2, "text/event-stream")
    assert call.outputs


@pytest.mark.parametrize("usage", [None, 3, "x", [1], {"output_tokens": 2}])
def test_a_usage_inside_a_delta_does_not_stop_an_anthropic_stream(usage: Any) -> None:
    rows = [{"type": "message_delta", "delta": {"usage": usage}, "usage": {"output_tokens": 7}},
            {"type": "message_delta", "usage": {"output_tokens": 9}}]  # fmt: skip
    stream = "".join(f"event: message_delta\ndata: {json.dumps(row)}\n\n" for row in rows).encode()
    assembled = anthropic_stream.assemble(events(stream))
    assert assembled.message["usage"] == {"output_tokens": 9}
    assert assembled.message["events"] == [rows[0]]


def test_a_number_of_thousands_of_digits_in_the_settings_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "auditor.toml"
    file.write_text("port = " + "9" * 5000)
    with pytest.raises(BadSetup, match="correct the TOML"):
        read_settings({"AUDITOR_CONFIG": str(file)})
