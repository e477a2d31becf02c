"""Structure of every recorded provider exchange (../shared/data/wire): one cassette is one client's conversation.

Bars: no message that could not be read, and no tool call without its result where a later request of the cassette
holds that result.
"""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from auditor.capture.dialects import parse_exchange
from auditor.capture.dialects.catalogue import by_route
from auditor.records.canonical import sha256_hex
from auditor.records.exchange import Exchange, Joins, Payload, Times
from auditor.records.messages import Call, Other, ToolCall, ToolResult
from auditor.structure.build import build
from auditor.structure.inputs import RecordedCall, recorded_call
from auditor.structure.segment import lay_out
from auditor.structure.threads import group

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "wire"


def measure() -> dict[str, Any]:
    """Figures, bars and lines of this part; see structure.py."""
    tapes, skipped, plain = read_tapes()
    figures: Counter[str] = Counter()
    unread: list[str] = []
    lost: list[str] = []
    for name, calls in tapes.items():
        threads = group(calls)
        figures["exchanges"] += len(calls)
        figures["runs"] += len(threads)
        foreign = {one.id for one in calls if one.id in plain}
        unread += [f"{name}: {one.call.unparsed}" for one in calls if one.call.unparsed and one.id not in foreign]
        parts = [part for one in calls for said in (*one.call.messages, *one.call.outputs) for part in said.parts]
        figures["parts without a word"] += sum(isinstance(part, Other) for part in parts)
        results = {part.call_id for part in parts if isinstance(part, ToolResult) and part.call_id}
        for thread in threads:
            structure = build(thread, sha256_hex, 1)
            figures["messages"] += len(structure.messages)
            figures["steps"] += len(structure.steps)
            unread += [f"{name}: {gap}" for gap in structure.gaps
                       if "could not be read" in gap and not any(one[:12] in gap for one in foreign)]  # fmt: skip
            answered = {step.parent for step in structure.steps if step.kind == "tool_result"}
            by_id = {own: placed.message for own, placed in lay_out(thread).placed.items()}
            for step in structure.steps:
                if step.kind != "tool_call" or step.span is None:
                    continue
                figures["tool calls"] += 1
                part = by_id[step.span.message].parts[step.span.part]
                assert isinstance(part, ToolCall)
                figures["tool calls with their result"] += step.id in answered
                if part.call_id in results and step.id not in answered:
                    lost.append(f"{name}: {part.name} {part.call_id}")
    lines = [f"{name:>32}  {count}" for name, count in figures.items()]
    lines += [f"{'not of our dialects':>32}  {len(skipped)}", *(f"UNREAD {one}" for one in unread)]
    lines += [f"no model's answer (the server sent {kind}): {name}" for name, kind in plain.values()]
    lines += [f"NO RESULT {one}" for one in lost]
    return {
        "figures": dict(figures) | {"skipped": len(skipped)}, "lines": lines,
        "bars": [
            {"what": "wire: messages unparsed", "value": len(unread), "bar": "0", "holds": not unread},
            {"what": "wire: tool calls without their recorded result", "value": len(lost), "bar": "0",
             "holds": not lost},
        ],
    }  # fmt: skip


def read_tapes() -> tuple[dict[str, list[RecordedCall]], list[str], dict[str, tuple[str, str]]]:
    """(calls of each cassette, exchanges no dialect of ours speaks, answers that are neither JSON nor events)."""
    spec = importlib.util.spec_from_file_location("cassettes", ROOT / "tests" / "wire" / "cassettes.py")
    assert spec is not None and spec.loader is not None
    cassettes = sys.modules["cassettes"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cassettes)
    tapes: dict[str, list[RecordedCall]] = {}
    skipped: list[str] = []
    plain: dict[str, tuple[str, str]] = {}
    for number, one in enumerate(cassettes.read_cassettes(DATA)):
        dialect = by_route(one.method, one.path.partition("?")[0]) if isinstance(one, cassettes.Recorded) else None
        if dialect is None:
            skipped.append(one.name)
            continue
        call = _call(number, one, dialect.name)
        tapes.setdefault(one.name.partition("#")[0], []).append(call)
        kind = next((value for name, value in one.headers if name.lower() == "content-type"), "nothing")
        if "json" not in kind and "event-stream" not in kind:
            plain[call.id] = one.name, kind
    return tapes, skipped, plain


def _call(number: int, one: Any, dialect: str) -> RecordedCall:
    at = f"2026-01-02T00:{number // 60:02d}:{number % 60:02d}.000000000Z"
    exchange = Exchange(
        dialect=dialect, method=one.method, path=one.path, upstream=one.upstream, status=one.status,
        outcome="complete", request=Payload(address="a", size=1), response=Payload(address="b", size=1),
        request_headers=dict(one.sent_headers), response_headers=dict(one.headers),
        times=Times(started=at, upstream_headers=at, first_byte=at, last_byte=at), joins=Joins(), model=None,
        model_digest="unknown", relayed=len(one.body),
    )  # fmt: skip
    own = sha256_hex(one.name.encode())
    call: Call = parse_exchange(own, exchange, one.sent, one.body)
    return recorded_call(number, own, "p", call, exchange)
