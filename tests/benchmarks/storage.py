"""What resent contexts cost on disk: `make bench NAME=storage` (ARGS="--runs 5 --turns 200").

Agents of many turns are recorded as the proxy records them (spool, then ingester, then a SQLite ledger). Call n sends
the system prompt, 15 tool schemas and all earlier messages again; tool results are pieces of the standard library's
sources, log-normal around 1.5 KB. Nothing of it is repeated by construction except what agents repeat.

Ledger bytes are those of a file of its own per shape, checkpointed, with every table, index and record of the calls.

naive          every request and response body as it came, one after the other
unique         every message, tool list, head and answer once: the bytes somebody had to say
sent once      bytes of a second ledger with the same calls, the same answers and the same messages, in which no
               message is sent a second time (call n sends only what is new)

Bars, both of the issue's sentence, and the larger of the shapes counts:

- *resent contexts cost ≤ 1.3× the unique content*: ledger bytes / bytes of the ledger `sent once`. What records,
  hashes and answers cost is on both sides, so the figure is the price of resending alone. Shown without a bar: the
  whole ledger against the raw bytes of `unique`, and against `unique` under zstd-3 (per piece, as a ledger must to read
  one alone): these also charge it with every record, hash and index of every call.
- *200-turn agents ≥ 40× below naive*: naive / ledger bytes.

Afterwards the chain is verified, and some requests are rebuilt and compared to the bytes that were sent.
"""

import argparse
import asyncio
import hashlib
import json
import math
import os
import platform
import random
import sqlite3
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from auditor.access.protocol import Admission  # noqa: E402
from auditor.capture.flight import Flight  # noqa: E402
from auditor.capture.headers import open_vault  # noqa: E402
from auditor.capture.ingest import Ingester  # noqa: E402
from auditor.capture.spool import SPOOL, Spool  # noqa: E402
from auditor.ledger.sqlite import SqliteLedger  # noqa: E402
from auditor.ledger.verify import verify  # noqa: E402
from auditor.models import ModelsTable  # noqa: E402
from auditor.records.exchange import Exchange, Joins  # noqa: E402
from auditor.records.wire import read  # noqa: E402

SHAPES = ("openai_chat", "anthropic_messages", "openai_responses")
ROUTES = {
    "openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages", "openai_responses": "/v1/responses",
}  # fmt: skip
RESULT_BYTES, RESULT_SIGMA = 1500, 0.9
STEP = 25
"""Calls between two looks of the ingester, so that the spool stays small."""


@dataclass
class Sizes:
    """Bytes."""

    calls: int = 0
    naive: int = 0
    naive_zstd: int = 0
    unique: int = 0
    unique_zstd: int = 0
    ledger: int = 0
    compacted: int = 0
    """The same ledger through VACUUM INTO: what page fill costs."""
    once: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Library:
    """Real text: the standard library's sources, cut at random places."""

    def __init__(self) -> None:
        files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
        self._text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)

    def piece(self, draw: random.Random, size: int) -> str:
        start = draw.randrange(len(self._text) - size)
        return self._text[start : start + size]

    def result(self, draw: random.Random) -> str:
        mean = math.log(RESULT_BYTES) - RESULT_SIGMA**2 / 2
        return self.piece(draw, max(40, min(60_000, int(draw.lognormvariate(mean, RESULT_SIGMA)))))


@dataclass(frozen=True)
class Call:
    """One call: `head` fields of the request, the messages in it, and the answer's body."""

    head: dict[str, Any]
    array: str
    messages: list[dict[str, Any]]
    new: int
    """How many of the last messages were not sent before."""
    answer: bytes

    def body(self, *, once: bool = False) -> bytes:
        rows = self.messages[-self.new :] if once else self.messages
        rest = {key: value for key, value in self.head.items() if key != "tools"}
        tools = {"tools": self.head["tools"]}
        return json.dumps({**rest, self.array: rows, **tools}, separators=(",", ":")).encode()


def agent(shape: str, run: int, turns: int, library: Library) -> Iterator[Call]:
    """One conversation with a tool call in every turn."""
    draw = random.Random(f"{shape}/{run}")
    system = library.piece(random.Random("system"), 4000)
    head: dict[str, Any] = {"model": "some-model", "tools": [tool(shape, number, library) for number in range(15)]}
    task = f"Task {run}: {library.piece(draw, 400)}"
    messages: list[dict[str, Any]]
    if shape == "openai_chat":
        messages = [{"role": "system", "content": system}, {"role": "user", "content": task}]
    elif shape == "anthropic_messages":
        head |= {"max_tokens": 4096, "system": system}
        messages = [{"role": "user", "content": task}]
    else:
        head |= {"instructions": system, "store": False, "include": ["reasoning.encrypted_content"]}
        messages = [{"role": "user", "content": task}]
    array, new = "input" if shape == "openai_responses" else "messages", len(messages)
    for turn in range(turns):
        said, answer, result = exchange(shape, turn, draw, library)
        yield Call(head, array, list(messages), new, json.dumps(answer, separators=(",", ":")).encode())
        messages += [*said, *result]
        new = len(said) + len(result)


def tool(shape: str, number: int, library: Library) -> dict[str, Any]:
    draw = random.Random(f"tool {number}")
    name, about = f"tool_{number}", library.piece(draw, 300)
    fields = {f"field_{n}": {"type": "string", "description": library.piece(draw, 60)} for n in range(3)}
    schema = {"type": "object", "properties": fields, "required": ["field_0"]}
    if shape == "anthropic_messages":
        return {"name": name, "description": about, "input_schema": schema}
    form = {"name": name, "description": about, "parameters": schema}
    return {"type": "function", **form} if shape == "openai_responses" else {"type": "function", "function": form}


def exchange(
    shape: str, turn: int, draw: random.Random, library: Library
) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """(what the model said as it is sent again, the answer's body, the tool's result)."""
    thought, result = library.piece(draw, draw.randrange(80, 400)), library.result(draw)
    given, own = {"field_0": library.piece(draw, 60)}, f"{draw.getrandbits(96):024x}"
    name, tokens = f"tool_{draw.randrange(15)}", {"prompt": 1000 + turn * 400, "completion": 150}
    if shape == "openai_chat":
        call = {"id": f"call_{own}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        said: dict[str, Any] = {"role": "assistant", "content": thought, "tool_calls": [call]}
        answer = {
            "id": f"chatcmpl-{own}", "object": "chat.completion", "created": 1_760_000_000 + turn,
            "model": "some-model-2026-01-01", "choices": [{"index": 0, "message": said, "logprobs": None,
            "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": tokens["prompt"], "completion_tokens": 150,
            "total_tokens": tokens["prompt"] + 150}, "system_fingerprint": "fp_44709d6fcb",
        }  # fmt: skip
        return [said], answer, [{"role": "tool", "tool_call_id": call["id"], "content": result}]
    if shape == "anthropic_messages":
        blocks = [{"type": "text", "text": thought}, {"type": "tool_use", "id": f"toolu_{own}", "name": name,
                  "input": given}]  # fmt: skip
        answer = {"id": f"msg_{own}", "type": "message", "role": "assistant", "model": "some-model",
                  "content": blocks, "stop_reason": "tool_use", "stop_sequence": None,
                  "usage": {"input_tokens": tokens["prompt"], "output_tokens": 150}}  # fmt: skip
        block = {"type": "tool_result", "tool_use_id": f"toolu_{own}", "content": result}
        return [{"role": "assistant", "content": blocks}], answer, [{"role": "user", "content": [block]}]
    sealed = f"{draw.getrandbits(8 * 180):0360x}"
    items = [
        {"type": "reasoning", "id": f"rs_{own}", "summary": [{"type": "summary_text", "text": thought}],
         "encrypted_content": sealed},
        {"type": "function_call", "id": f"fc_{own}", "call_id": f"call_{own}", "name": name,
         "arguments": json.dumps(given)},
    ]  # fmt: skip
    answer = {"id": f"resp_{own}", "object": "response", "status": "completed", "model": "some-model",
              "output": items, "usage": {"input_tokens": tokens["prompt"], "output_tokens": 150}}  # fmt: skip
    return items, answer, [{"type": "function_call_output", "call_id": f"call_{own}", "output": result}]


async def record(folder: Path, shape: str, runs: int, turns: int, library: Library, *, once: bool) -> Path:
    """Every call through spool, flight and ingester; the ledger's file."""
    ledger = SqliteLedger(folder / "ledger.db")
    spool, vault = Spool(folder / SPOOL), open_vault(folder)
    ingester = Ingester(ledger, ModelsTable(), folder / SPOOL, vault)
    await spool.open()
    sent = 0
    for run in range(runs):
        for call in agent(shape, run, turns, library):
            fly(spool, vault, shape, call, once=once)
            sent += 1
            if sent % STEP == 0:
                await spool.settle()
                await asyncio.to_thread(ingester.step)
    await spool.settle()
    await asyncio.to_thread(ingester.step)
    await spool.close()
    recorded = ingester.counts()["exchanges"]
    if recorded != sent or ingester.gaps:
        raise SystemExit(f"{recorded} of {sent} calls were recorded, {ingester.gaps} gaps")
    ledger.close()
    with sqlite3.connect(folder / "ledger.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder / "ledger.db"


def fly(spool: Spool, vault: Any, shape: str, call: Call, *, once: bool) -> None:
    body = call.body(once=once)
    headers = {
        "content-type": "application/json", "content-length": str(len(body)), "user-agent": "bench/1",
        "accept": "application/json", "authorization": vault.fingerprint(b"secret"), "host": "127.0.0.1:8787",
    }  # fmt: skip
    flight = Flight(
        spool=spool, vault=vault, admission=Admission(), method="POST", path=ROUTES[shape], route=ROUTES[shape],
        request_headers=headers, joins=Joins(credential=vault.fingerprint(b"secret")), started=time.time_ns(),
        upstream="upstream",
    )  # fmt: skip
    flight.begin()
    flight.asked(body)
    flight.answered(200, {
        "content-type": "application/json", "date": "Mon, 01 Jan 2026 00:00:00 GMT",
        "x-request-id": f"req_{hashlib.sha256(body).hexdigest()[:24]}", "server": "upstream",
    })  # fmt: skip
    flight.gave(call.answer)
    flight.outcome = "complete"
    flight.end()


def measure(shape: str, runs: int, turns: int, library: Library) -> Sizes:
    sizes = Sizes()
    began = time.monotonic()
    packer = zstandard.ZstdCompressor(level=3)
    seen: set[bytes] = set()
    samples: list[str] = []

    def unique(data: bytes) -> None:
        own = hashlib.sha256(data).digest()
        if own not in seen:
            seen.add(own)
            sizes.unique += len(data)
            sizes.unique_zstd += len(packer.compress(data))

    for run in range(runs):
        for call in agent(shape, run, turns, library):
            body = call.body()
            sizes.calls += 1
            sizes.naive += len(body) + len(call.answer)
            if sizes.calls % 10 == 0:  # a tenth of the calls, scaled: compressing all of them is most of the bench
                sizes.naive_zstd += 10 * (len(packer.compress(body)) + len(packer.compress(call.answer)))
                samples.append(hashlib.sha256(body).hexdigest())
            for piece in (call.head, *call.messages[-call.new :]):
                unique(json.dumps(piece, separators=(",", ":")).encode())
            unique(call.answer)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "all").mkdir()
        (folder / "once").mkdir()
        path = asyncio.run(record(folder / "all", shape, runs, turns, library, once=False))
        sizes.ledger = path.stat().st_size
        sizes.compacted = compacted(path, folder / "compact.db")
        sizes.tables = tables(folder / "compact.db")
        sizes.once = asyncio.run(record(folder / "once", shape, runs, turns, library, once=True)).stat().st_size
        check(path, set(samples))
    sizes.seconds = round(time.monotonic() - began, 1)
    return sizes


def compacted(path: Path, to: Path) -> int:
    connection = sqlite3.connect(path)
    connection.execute("VACUUM INTO ?", (str(to),))
    connection.close()
    return to.stat().st_size


def tables(path: Path) -> dict[str, int]:
    """Bytes by table and index: pages where this SQLite counts them (dbstat), else nothing."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC").fetchall()
    except sqlite3.OperationalError:
        rows = [
            (name, connection.execute(f"SELECT sum({columns}) FROM {name}").fetchone()[0] or 0)
            for name, columns in (
                ("records", "length(data)+length(id)+length(chain)"), ("payloads", "length(address)+32+length(data)"),
                ("dedup", "length(plain)+length(address)"), ("contexts", "length(h)+length(parent)+length(address)"),
            )
        ]  # fmt: skip
    connection.close()
    return {str(row[0]): int(row[1]) for row in rows}


def check(path: Path, wanted: set[str]) -> None:
    """The chain verifies, and sampled requests come back as they were sent."""
    ledger = SqliteLedger(path)
    try:
        found = verify(ledger)
        if not (found.intact and found.complete):
            raise SystemExit(f"the ledger does not verify: {found.problems[:3]}")
        left = set(wanted)
        for stored in ledger.records(kinds=["exchange"]):
            exchange = read(Exchange, dict(stored.record.body))
            if exchange.request is not None:
                left.discard(hashlib.sha256(ledger.payload(exchange.request)).hexdigest())
        if left:
            raise SystemExit(f"{len(left)} sampled requests are not in the ledger as they were sent")
    finally:
        ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--tables", action="store_true", help="Show where the bytes go.")
    options = parser.parse_args()
    library = Library()
    print(f"{'shape':20} {'calls':>6} {'naive':>8} {'unique':>8} {'u.zstd':>8} {'ledger':>8} {'once':>8}"
          f" {'/once':>6} {'/unique':>7} {'/u.zstd':>7} {'below naive':>11} {'below nv-zstd':>13}")  # fmt: skip
    figures: dict[str, Any] = {}
    for shape in SHAPES:
        sizes = measure(shape, options.runs, options.turns, library)
        row = {
            "resent_over_once": sizes.ledger / sizes.once, "over_unique": sizes.ledger / sizes.unique,
            "over_unique_zstd": sizes.ledger / sizes.unique_zstd, "below_naive": sizes.naive / sizes.ledger,
            "below_naive_zstd": sizes.naive_zstd / sizes.ledger,
        }  # fmt: skip
        print(f"{shape:20} {sizes.calls:6} {mb(sizes.naive)} {mb(sizes.unique)} {mb(sizes.unique_zstd)}"
              f" {mb(sizes.ledger)} {mb(sizes.once)} {row['resent_over_once']:6.2f} {row['over_unique']:7.2f}"
              f" {row['over_unique_zstd']:7.2f} {row['below_naive']:11.1f} {row['below_naive_zstd']:13.1f}"
              f"   ({sizes.seconds} s)", flush=True)  # fmt: skip
        if options.tables:
            for name, size in sizes.tables.items():
                print(f"    {name:40} {size / sizes.calls:8.0f} bytes per call")
        figures[shape] = {key: round(value, 3) for key, value in row.items()} | {
            "calls": sizes.calls, "naive": sizes.naive, "unique": sizes.unique, "unique_zstd": sizes.unique_zstd,
            "ledger": sizes.ledger, "ledger_compacted": sizes.compacted, "ledger_sent_once": sizes.once,
        }  # fmt: skip
    print("megabytes of 10^6 bytes; naive under zstd-3 is a tenth of the calls, scaled")
    worst = max(one["resent_over_once"] for one in figures.values())
    below = min(one["below_naive"] for one in figures.values())
    unique = max(one["over_unique"] for one in figures.values())
    bars = [
        bar("ledger with resent contexts / unique content as raw JSON", unique, "<= 1.3", unique <= 1.3),
        bar("ledger with resent contexts / ledger with each message sent once", worst, "<= 1.3", worst <= 1.3),
        bar(f"{options.turns}-turn agents below naive JSON", below, ">= 40", below >= 40),
    ]  # fmt: skip
    for one in bars:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
               "sqlite": sqlite3.sqlite_version}  # fmt: skip
    print(json.dumps({"bench": "storage", "figures": figures, "bars": bars, "machine": machine}))


def mb(size: int) -> str:
    return f"{size / 1e6:8.2f}"


def bar(what: str, value: float, limit: str, holds: bool) -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "bar": limit, "holds": holds}


if __name__ == "__main__":
    main()
