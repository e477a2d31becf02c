"""Every recorded exchange through the real server: `make bench NAME=wire`.

Each cassette exchange is replayed by a scripted upstream in three splits, driven through `auditor serve`, and compared:
bytes and end-to-end headers on both sides of the relay, the stored payloads, and the parsed call against what the
official SDK accumulates from the same bytes. WIRE_DATA names another folder of cassettes.
"""

import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from auditor.capture.dialects import parse_exchange  # noqa: E402
from auditor.demo.processes import free_port, running, wait_for  # noqa: E402
from auditor.errors import AuditorError  # noqa: E402
from auditor.ledger.protocol import Ledger, Stored  # noqa: E402
from auditor.ledger.sqlite import SqliteLedger  # noqa: E402
from auditor.records.exchange import Exchange  # noqa: E402
from auditor.records.messages import COUNT_ONLY  # noqa: E402
from auditor.records.wire import read  # noqa: E402

DATA = Path(os.environ.get("WIRE_DATA", ROOT.parent / "shared" / "data" / "wire"))
RECORD_SECONDS = 30.0


def load(name: str) -> Any:
    """A module of the wire tests."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "wire" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cassettes, accumulated, scripted = load("cassettes"), load("accumulated"), load("scripted_upstream")


@dataclass
class Tally:
    """What was counted, and every difference in words."""

    relayed: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    """Exchanges that hold no answer to compare, by reason."""
    uncompared: Counter[str] = field(default_factory=Counter)
    """Answers for which the SDK has no accumulated object, by reason."""
    relay_faults: list[str] = field(default_factory=list)
    record_faults: list[str] = field(default_factory=list)
    call_faults: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unknown: int = 0
    pieces: int = 0
    """Pieces the upstream wrote, each in a write of its own; the network may join some."""


def main() -> int:
    if not DATA.is_dir():
        print(f"no cassettes: {DATA} does not exist; set WIRE_DATA", file=sys.stderr)
        return 1
    tapes = list(cassettes.read_cassettes(DATA))
    recorded = [one for one in tapes if isinstance(one, cassettes.Recorded)]
    skipped = [one for one in tapes if isinstance(one, cassettes.Skipped)]
    print(f"{len(recorded)} exchanges in {len({one.name.split('#')[0] for one in recorded})} cassettes")
    for one in skipped:
        print(f"skipped {one.name}: {one.why}")
    tally, began = Tally(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="auditor-wire-") as folder:
            drive(recorded, Path(folder), tally)
    except AuditorError as fault:
        print(f"could not measure: {fault}", file=sys.stderr)
        return 1
    report(tally, len(recorded), len(skipped), time.monotonic() - began)
    return 0


def drive(recorded: list[Any], folder: Path, tally: Tally) -> None:
    """Start the server and send it everything; then read its ledger."""
    upstream = scripted.ScriptedUpstream()
    port, log = free_port(), folder / "serve.log"
    environment = {
        "AUDITOR_DATA": str(folder / "data"), "AUDITOR_PORT": str(port), "AUDITOR_WORKERS": "0",
        "AUDITOR_UPSTREAMS": f"openai={upstream.address},anthropic={upstream.address}",
    }  # fmt: skip
    sent: dict[str, tuple[str, Any]] = {}
    with running("auditor", [sys.executable, "-m", "auditor", "serve"], log, environment, cwd=ROOT) as child:
        wait_for(f"http://127.0.0.1:{port}/healthz", child, log, "auditor serve", 60, lambda: None)
        for split in cassettes.SPLITS:
            began = time.monotonic()
            for one in recorded:
                step = f"{split}/{one.name}"
                faults = relay(upstream, port, one, split, step)
                tally.relayed[split] += 1
                tally.pieces += len(one.pieces(split))
                tally.relay_faults += [f"{step}: {fault}" for fault in faults]
                sent[step] = (split, one)
            print(f"{split}: {tally.relayed[split]} exchanges relayed in {time.monotonic() - began:.1f} s")
        ledger = SqliteLedger(folder / "data" / "ledger.db")
        try:
            check(ledger, sent, tally)
        finally:
            ledger.close()
    upstream.close()


def relay(upstream: Any, port: int, one: Any, split: str, step: str) -> list[str]:
    """One exchange through the server; what did not pass unchanged."""
    pieces = one.pieces(split)
    upstream.script = [
        scripted.Reply(
            status=f"{one.status} {one.reason}",
            headers=one.headers,
            pieces=pieces,
            chunked=one.is_stream or split == "1-byte splits",
        )  # fmt: skip
    ]
    before = len(upstream.received)
    try:
        answer = cassettes.ask(port, one, step=step)
    except (OSError, ValueError) as fault:
        return [f"the call failed: {type(fault).__name__}: {fault}"]
    if len(upstream.received) != before + 1:
        return [f"the upstream got {len(upstream.received) - before} requests"]
    found: list[str] = cassettes.differences(one, answer, upstream.received[-1])
    return found


def check(ledger: Ledger, sent: dict[str, tuple[str, Any]], tally: Tally) -> None:
    """Every call has its record, its record the bytes, and the bytes their meaning."""
    records = wait_for_records(ledger, len(sent))
    by_step: dict[str, list[tuple[Stored, Exchange]]] = {}
    for stored in records:
        exchange = read(Exchange, dict(stored.record.body))
        by_step.setdefault(exchange.joins.step or "", []).append((stored, exchange))
    seen: dict[str, Any] = {}
    for step, (split, one) in sent.items():
        rows = by_step.get(step, [])
        if len(rows) != 1:
            tally.record_faults.append(f"{step}: {len(rows)} records")
            continue
        stored, exchange = rows[0]
        request = ledger.payload(exchange.request) if exchange.request else b""
        response = ledger.payload(exchange.response) if exchange.response else b""
        pairs = {"request": (request, one.sent), "response": (response, one.body),
                 "bytes relayed": (exchange.relayed, len(one.body)), "status": (exchange.status, one.status),
                 "outcome": (exchange.outcome, "complete")}  # fmt: skip
        tally.record_faults += [f"{step}: {what} differs" for what, (got, want) in pairs.items() if got != want]
        if exchange.dialect is None:
            tally.unread[f"{split}: passed through, no dialect"] += 1
            continue
        call = parse_exchange(stored.id, exchange, request, response)
        if call.about == COUNT_ONLY:
            tally.unread[f"{split}: token count, no answer"] += 1
            continue
        if one.name not in seen:
            seen[one.name] = accumulate(exchange.dialect, one)
        sdk = seen[one.name]
        if isinstance(sdk, str):
            tally.uncompared[sdk] += 1
            continue
        tally.compared[exchange.dialect] += 1
        tally.unknown += call.unknown if split == cassettes.SPLITS[0] else 0
        for fault in accumulated.compare(exchange.dialect, call, sdk):
            (tally.lost if fault.startswith("lost") else tally.call_faults).append(f"{step}: {fault}")


def accumulate(dialect: str, one: Any) -> Any:
    """The SDK's form, or why there is none."""
    try:
        form = accumulated.by_sdk(dialect, one.body, one.headers, one.status, one.is_stream)
    except Exception as fault:  # noqa: BLE001 - whatever the SDK makes of these bytes is counted and printed
        return f"the SDK raised {type(fault).__name__} on {one.name}: {fault}"[:200]
    return form if form is not None else f"no SDK object for {dialect}"


def wait_for_records(ledger: Ledger, count: int) -> list[Stored]:
    deadline = time.monotonic() + RECORD_SECONDS
    while True:
        found = list(ledger.records(kinds=["exchange"]))
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def report(tally: Tally, exchanges: int, skipped: int, seconds: float) -> None:
    for reason, number in sorted((tally.unread + tally.uncompared).items()):
        print(f"not compared, {number}x: {reason}")
    for faults in (tally.relay_faults, tally.record_faults, tally.call_faults, tally.lost):
        for fault in faults[:20]:
            print(f"DIFFERS {fault}")
    wanted, compared = exchanges * len(cassettes.SPLITS), sum(tally.compared.values())
    bars = [
        bar(f"exchanges relayed in {len(cassettes.SPLITS)} splits", sum(tally.relayed.values()), f">= {wanted}",
            sum(tally.relayed.values()) >= wanted > 0),
        bar("relayed otherwise than byte-identical", len(tally.relay_faults), "<= 0", not tally.relay_faults),
        bar("records that are not what was relayed", len(tally.record_faults), "<= 0", not tally.record_faults),
        bar("calls compared with the SDK's object", compared, f">= {wanted - sum(tally.unread.values())}",
            compared >= wanted - sum(tally.unread.values()) and compared > 0),
        bar("fields other than the SDK's object", len(tally.call_faults), "<= 0", not tally.call_faults),
        bar("texts of answers found nowhere in the call", len(tally.lost), "<= 0", not tally.lost),
    ]  # fmt: skip
    for one in bars:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")
    figures = {
        "exchanges": exchanges, "skipped": skipped, "relayed": dict(tally.relayed), "compared": dict(tally.compared),
        "without_answer": sum(tally.unread.values()), "unknown_parts_kept": tally.unknown,
        "pieces_written": tally.pieces, "seconds": round(seconds, 1),
    }  # fmt: skip
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"bench": "wire", "figures": figures, "bars": bars, "machine": machine}))


def bar(what: str, value: float, limit: str, holds: bool) -> dict[str, Any]:
    return {"what": what, "value": value, "bar": limit, "holds": holds}


if __name__ == "__main__":
    sys.exit(main())
