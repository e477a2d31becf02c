"""tau-bench, 200 GPT-4o airline runs: recovery, record checks, first divergence, and 400 corruptions of one value each.

Run by structure.py; alone: `python tests/benchmarks/structure_tau.py [--show FILE] [--misses]`.

1. Every tool call, argument and result is compared with the raw JSON, not with what the importer read.
2. Record checks over all runs; 50 of the findings that do not hold are drawn by a fixed seed. A person's reading of
   each drawn one is kept in structure_tau_reading.json by the finding's key; a finding without a reading is counted.
3. Runs with reward 0: the first write-action that differs from the expected ones.
4. structure_corruptions.py: each changed value is found when a finding that does not hold has its first place on it;
   the uncorrupted twin must have none there. The rules were tuned looking at misses of both halves, so that the
   figures by half say nothing of other data.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from auditor.capture.importers.tau_bench import read
from auditor.records.canonical import sha256_hex
from auditor.records.exchange import Payload, Transcript
from auditor.records.messages import Message, Span, Text, ToolCall, part_text, span_text
from auditor.records.structure import Finding, Step, Structure
from auditor.structure.build import build, messages_of
from auditor.structure.inputs import RecordedTranscript
from auditor.structure.threads import group

HERE = Path(__file__).resolve().parent
FILE = "traces/tau_bench/gpt-4o-airline.json"
READING = HERE / "structure_tau_reading.json"
SEED = 5
DRAWN = 50
_READS = ("get_", "search_", "list_", "calculate", "think")
"""Beginnings of the names of tools that change nothing."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Built:
    structure: Structure
    messages: Mapping[str, Message]

    @property
    def wrong(self) -> list[Finding]:
        return [one for one in self.structure.findings if not one.holds]

    def text(self, span: Span) -> str:
        return span_text(self.messages[span.message], span)

    def around(self, span: Span, before: int = 160, after: int = 80) -> str:
        data = part_text(self.messages[span.message].parts[span.part]).encode()
        left, right = data[max(0, span.start - before) : span.start], data[span.end : span.end + after]
        inside = data[span.start : span.end][:300].decode(errors="ignore")
        return f"{left.decode(errors='ignore')}>>>{inside}<<<{right.decode(errors='ignore')}"


def data_folder() -> Path:
    return HERE.parents[1].parent / "shared" / "data"


def rows_of(data: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((data / FILE).read_text())
    return rows


def built(row: Row, index: int) -> Built:
    """One run through the importer and the room's front door."""
    (imported,) = read(json.dumps([row]).encode())
    body = Transcript(format=imported.format, run=imported.run, model=imported.model, tools=None, origin="bench",
                      messages=Payload(address="0", size=0))  # fmt: skip
    recorded = RecordedTranscript(position=index, id=f"{index:064x}", project="bench", transcript=body,
                                  messages=list(imported.messages))  # fmt: skip
    (thread,) = group([], [], [recorded])
    store: dict[str, bytes] = {}

    def put(data: bytes) -> str:
        address = sha256_hex(data)
        store[address] = data
        return address

    structure = build(thread, put, 1)
    return Built(structure=structure, messages=messages_of(structure, store.__getitem__))


def recovery(rows: Sequence[Row], runs: Sequence[Built]) -> tuple[dict[str, int], list[str]]:
    """Compare steps with the raw JSON; failures by run."""
    counts = Counter[str]()
    failures: list[str] = []
    for index, (row, run) in enumerate(zip(rows, runs, strict=True)):
        asked = [call for message in row["traj"] for call in message.get("tool_calls") or ()]
        given = [message for message in row["traj"] if message["role"] == "tool"]
        calls = [step for step in run.structure.steps if step.kind == "tool_call"]
        results = [step for step in run.structure.steps if step.kind == "tool_result"]
        own = []
        for step in calls:
            span = spanned(step)
            part = run.messages[span.message].parts[span.part]
            own.append((part.call_id, part.name, run.text(span)) if isinstance(part, ToolCall) else (None, "", ""))
        wanted = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in asked]
        by_id = {step.id: at for at, step in enumerate(calls)}
        tied = [
            (own[by_id[step.parent]][0] if step.parent in by_id else None, run.text(spanned(step))) for step in results
        ]  # fmt: skip
        if own != wanted:
            failures.append(f"run {index}: tool calls differ")
        if tied != [(one["tool_call_id"], one["content"]) for one in given]:
            failures.append(f"run {index}: tool results differ")
        if len(run.structure.messages) != len(row["traj"]) or run.structure.gaps:
            failures.append(f"run {index}: messages or gaps differ")
        counts.update({"messages": len(row["traj"]), "tool_calls": len(asked), "tool_results": len(given)})
    return dict(counts), failures


def spanned(step: Step) -> Span:
    if step.span is None:
        raise TypeError("a tool step without text")
    return step.span


def key_of(row_index: int, run: Built, finding: Finding) -> str:
    """Stable name of a finding: run, check, position and text of what is quoted."""
    place = finding.places[0]
    order = {one.id: at for at, one in enumerate(run.structure.messages)}
    return f"{row_index}/{finding.check}/{order[place.message]}.{place.part}.{place.start}/{run.text(place)[:40]}"


def drawn(runs: Sequence[Built]) -> list[tuple[str, int, Finding]]:
    """50 of the findings that do not hold, by seed."""
    every = [(key_of(index, run, one), index, one) for index, run in enumerate(runs) for one in run.wrong]
    return random.Random(SEED).sample(every, min(DRAWN, len(every)))


def show(runs: Sequence[Built], path: Path) -> None:
    """The drawn findings with their places, to be read by a person."""
    pieces = []
    for number, (key, index, finding) in enumerate(drawn(runs), start=1):
        places = "\n".join(f"    [{at}] {runs[index].around(one)}" for at, one in enumerate(finding.places))
        pieces.append(f"#{number} {key}\n  {finding.message}\n{places}\n")
    path.write_text("\n".join(pieces))


def reading(runs: Sequence[Built]) -> tuple[dict[str, float], list[str]]:
    """Share of the drawn findings that hold on reading; those that do not, and those nobody read."""
    read_: dict[str, dict[str, Any]] = json.loads(READING.read_text()) if READING.is_file() else {}
    held = unread = 0
    lines = []
    every = drawn(runs)
    for key, _, finding in every:
        own = read_.get(key)
        if own is None:
            unread += 1
            lines.append(f"  not read: {key}: {finding.message}")
        elif own["holds"]:
            held += 1
        else:
            lines.append(f"  does not hold on reading: {key}: {own['why']}")
    share = held / len(every) if every else 1.0
    return {"drawn": len(every), "held_on_reading": held, "unread": unread, "share_held": round(share, 4)}, lines


def divergence(row: Row) -> tuple[str, str]:
    """(outcome, sentence) of a run's executed write-actions against the expected ones, in order."""
    names = {call["id"]: call for message in row["traj"] for call in message.get("tool_calls") or ()}
    failed = {
        message["tool_call_id"] for message in row["traj"]
        if message["role"] == "tool" and message["content"].lstrip().startswith("Error")
    }  # fmt: skip
    executed = [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for own, call in names.items()
        if own not in failed and not call["function"]["name"].startswith((*_READS, "transfer_"))
    ]  # fmt: skip
    expected = [
        (one["name"], one["kwargs"]) for one in row["info"]["task"]["actions"]
        if not one["name"].startswith((*_READS, "transfer_"))
    ]  # fmt: skip
    for at, (want, did) in enumerate(zip(expected, executed, strict=False)):
        if want[0] != did[0]:
            return "other action", f"action {at}: expected {want[0]}, executed {did[0]}"
        differing = [name for name in {**want[1], **did[1]} if want[1].get(name) != did[1].get(name)]
        if differing:
            name = sorted(differing)[0]
            said, asked = json.dumps(did[1].get(name)), json.dumps(want[1].get(name))
            return "other argument", f"action {at}: {want[0]}.{name} expected {asked[:90]}, executed {said[:90]}"
    if len(executed) < len(expected):
        return "missing action", f"action {len(executed)}: expected {expected[len(executed)][0]}, never executed"
    if len(executed) > len(expected):
        return "extra action", f"action {len(expected)}: {executed[len(expected)][0]} was executed, nothing expected"
    outputs = row["info"]["task"].get("outputs") or []
    said = " ".join(message.get("content") or "" for message in row["traj"] if message["role"] == "assistant")
    lacking = [one for one in outputs if str(one).lower() not in said.replace(",", "").lower()]
    if lacking:
        return "output not said", f"all actions as expected; the output {lacking[0]} was never said"
    return "none", "actions and outputs are as expected; the reward compares the whole data base, which is not recorded"


def corruptions(rows: Sequence[Row], runs: Sequence[Built]) -> tuple[dict[str, Any], list[str]]:
    """How many single-value corruptions are found at their span, by kind and half; misses and twin alarms by name."""
    script = sibling("structure_corruptions")
    places, counts = script.draw(rows)
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    by_check: Counter[str] = Counter()
    lines: list[str] = []
    twins = 0
    for one in places:
        run = built(script.corrupted(rows, one), one.run)
        groups = ("all", f"kind {one.kind}", f"form {one.kind}/{one.form}",
                  "half even" if one.run % 2 == 0 else "half odd",
                  "false value elsewhere in the run" if one.elsewhere else "false value nowhere else")  # fmt: skip
        hits = [finding for finding in run.wrong if _on(run, finding, one, len(one.false.encode()))]
        total.update(groups)
        if hits:
            found.update(groups)
            by_check.update({hit.check for hit in hits})
        else:
            lines.append(f"  missed: {one.name} ({one.kind} {one.form}{', elsewhere' if one.elsewhere else ''})")
        alarms = [f for f in runs[one.run].wrong if _on(runs[one.run], f, one, len(one.true.encode()))]
        if alarms:
            twins += 1
            lines.append(f"  twin named: {one.name}: {alarms[0].message}")
    figures = {
        "found": {name: [found[name], total[name]] for name in sorted(total)}, "twins_named": twins,
        "by_check": dict(by_check), "places": counts,
    }  # fmt: skip
    return figures, lines


def _on(run: Built, finding: Finding, one: Any, size: int) -> bool:
    """The first place of a finding lies on the changed bytes."""
    place = finding.places[0]
    placed = run.structure.messages[one.message]
    if place.message != placed.id:
        return False
    parts = run.messages[placed.id].parts
    texts = [at for at, part in enumerate(parts) if isinstance(part, Text)]
    calls = [at for at, part in enumerate(parts) if isinstance(part, ToolCall)]
    part = texts[0] if one.call is None else calls[one.call]
    start = len(part_text(parts[part])[: one.start].encode())
    return place.part == part and place.start < start + size and start < place.end


def sibling(name: str) -> ModuleType:
    """A file of this folder, which is no package."""
    import sys

    if name not in sys.modules:
        spec = spec_from_file_location(name, HERE / f"{name}.py")
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def measure(data: Path | None = None) -> dict[str, Any]:
    """Figures, bars and lines of this data set."""
    rows = rows_of(data or data_folder())
    runs = [built(row, index) for index, row in enumerate(rows)]
    counts, failures = recovery(rows, runs)
    table = Counter((one.check, one.holds) for run in runs for one in run.structure.findings)
    read_, read_lines = reading(runs)
    first = {index: divergence(row) for index, row in enumerate(rows) if row["reward"] == 0}
    spoiled, spoiled_lines = corruptions(rows, runs)
    share = spoiled["found"]["all"][0] / spoiled["found"]["all"][1]
    lines = [f"recovered: {counts}", *failures, "findings of the record checks (check, holds, how many):"]
    lines += [f"  {name:24} {'holds' if holds else 'wrong':6} {many}" for (name, holds), many in sorted(table.items())]
    lines += [f"read: {read_}", *read_lines, f"first divergence of {len(first)} runs with reward 0:"]
    lines += [f"  {outcome}: {count}" for outcome, count in Counter(kind for kind, _ in first.values()).most_common()]
    lines += [f"  run {index}: {sentence}" for index, (_, sentence) in first.items()]
    lines += ["corruptions found / made:", *(f"  {name:44} {a} / {b}" for name, (a, b) in spoiled["found"].items())]
    lines += [f"  by check: {spoiled['by_check']}", f"  places: {spoiled['places']}", *spoiled_lines]
    undiverged = sum(kind == "none" for kind, _ in first.values())
    bars = [
        {"what": "tau-bench: runs whose calls, arguments or results differ", "value": len(failures), "bar": 0,
         "holds": not failures and counts["tool_results"] > 0},
        {"what": "tau-bench: share of 50 drawn findings that hold on reading", "value": read_["share_held"], "bar": 0.9,
         "holds": read_["share_held"] >= 0.9 and read_["unread"] == 0},
        {"what": "tau-bench: runs with reward 0 without a named divergence", "value": undiverged, "bar": 0,
         "holds": undiverged == 0},
        {"what": "tau-bench: share of corruptions found at their span", "value": round(share, 4), "bar": 0.95,
         "holds": share >= 0.95},
        {"what": "tau-bench: uncorrupted twins that name the span", "value": spoiled["twins_named"], "bar": 0,
         "holds": spoiled["twins_named"] == 0},
    ]  # fmt: skip
    figures = {
        "recovered": counts, "findings": {f"{check} {holds}": count for (check, holds), count in sorted(table.items())},
        "reading": read_, "divergence": dict(Counter(kind for kind, _ in first.values())),
        "reward_0_without_divergence": undiverged, "corruptions": spoiled,
    }  # fmt: skip
    return {"figures": figures, "bars": bars, "lines": lines}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", type=Path, help="write the drawn findings with their places to this file")
    parser.add_argument("--data", type=Path, default=data_folder())
    asked = parser.parse_args()
    if asked.show is not None:
        show([built(row, index) for index, row in enumerate(rows_of(asked.data))], asked.show)
        return
    result = measure(asked.data)
    print(*result["lines"], sep="\n")
    print(json.dumps({"figures": result["figures"], "bars": result["bars"]}))


if __name__ == "__main__":
    main()
