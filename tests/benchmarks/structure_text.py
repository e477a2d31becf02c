"""Steps inside texts, written arithmetic, and the speed of structuring.

Steps: worked solutions whose line breaks were replaced by spaces are cut again; a boundary counts as found where a gap
between two pieces holds the place of a line break. The rules were written while reading even places of test.jsonl; odd
places and the four sets of model solutions were only measured.

Arithmetic: every `<<a=b>>` is computed by auditor.structure.arithmetic and, apart from it, by the reader in this file,
which shares no code with it; where both read it they must agree; what only one of them reads is listed.

Speed: CPU seconds of one process (time.process_time), the best of three; `loop_rate` says how fast the machine ran a
plain Python loop just before, so that figures of a busy machine can be told from those of an idle one. The long run is
one transcript of a tool-using agent, made here; memory is the peak that tracemalloc saw, per step, at two sizes.
"""

import gc
import hashlib
import json
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from auditor.records.exchange import Payload, Transcript
from auditor.records.messages import Message, Text, ToolCall, ToolResult
from auditor.records.structure import Structure
from auditor.structure.arithmetic import sums
from auditor.structure.build import build
from auditor.structure.inputs import RecordedTranscript
from auditor.structure.texts import cut
from auditor.structure.threads import group

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
LEAST_F1 = 0.95
LEAST_RATE = 2000
LONG_STEPS, LONG_SECONDS = 32_843, 20.0
MEMORY_GROWTH = 1.1
SIZES = (4_000, 16_000)
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
MOST_LISTED = 20
Solutions = list[tuple[int, str]]
"""Place in the file, from 0, and the text."""


def measure() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    bars: list[dict[str, Any]] = []
    lines: list[str] = []
    for part in (_steps, _arithmetic, _speed):
        found, own, said = part()
        figures |= found
        bars += own
        lines += said
    return {"figures": figures, "bars": bars, "lines": lines}


def solutions() -> dict[str, Solutions]:
    folder = DATA / "tasks" / "gsm8k"
    test = [json.loads(line)["answer"] for line in (folder / "test.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in (folder / "example_model_solutions.jsonl").read_text().splitlines()]
    return {"test": list(enumerate(test))} | {
        name: [(at, row[name]["solution"]) for at, row in enumerate(rows)] for name in MODELS
    }


# Steps


def boundaries(text: str) -> tuple[int, int, int, list[str]]:
    """Found, wrongly found and missed line ends of one solution, and what stands around the wrong and missed ones."""
    flat = text.replace("\n", " ")
    wanted: list[tuple[int, int]] = []
    for at in (at for at, one in enumerate(text) if one == "\n"):
        before, after = flat[:at].rstrip(), flat[at:].lstrip()
        gap = len(before), len(flat) - len(after)
        if before and after and gap not in wanted:
            wanted.append(gap)
    pieces = [piece.chars for piece in cut(flat)]
    given = [(left[1], right[0]) for left, right in zip(pieces, pieces[1:], strict=False)]

    def meets(gap: tuple[int, int], line: tuple[int, int]) -> bool:
        return gap[0] <= line[0] and line[1] <= gap[1]

    missed = [line for line in wanted if not any(meets(gap, line) for gap in given)]
    wrong = [gap for gap in given if not any(meets(gap, line) for line in wanted)]
    shown = [f"missed: …{flat[max(0, a - 30) : a]} | {flat[b : b + 30]}…" for a, b in missed]
    shown += [f"wrong:  …{flat[max(0, a - 30) : a]} | {flat[b : b + 30]}…" for a, b in wrong]
    return len(wanted) - len(missed), len(wrong), len(missed), shown


def _steps() -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    figures: dict[str, Any] = {}
    lines = [f"{'step boundaries':28} {'precision':>9} {'recall':>7} {'F1':>7} {'found':>6} {'wrong':>6} {'missed':>6}"]
    listed: list[str] = []
    for name, rows in solutions().items():
        counted = [(at, *boundaries(text)) for at, text in rows]
        for half, chosen in (
            ("", counted), (" even", [one for one in counted if one[0] % 2 == 0]),
            (" odd", [one for one in counted if one[0] % 2]),
        ):  # fmt: skip
            found, wrong, missed = (sum(one[column] for one in chosen) for column in (1, 2, 3))
            precision, recall = found / (found + wrong), found / (found + missed)
            f1 = 2 * precision * recall / (precision + recall)
            figures[f"steps_{name}{half.replace(' ', '_')}"] = {
                "precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4),
            }  # fmt: skip
            lines.append(f"{name + half:28} {precision:9.4f} {recall:7.4f} {f1:7.4f} {found:6} {wrong:6} {missed:6}")
        worst = sorted((one for one in counted if one[2] + one[3]), key=lambda one: (-(one[2] + one[3]), one[0]))
        ids = ", ".join(f"{one[0]} ({one[2] + one[3]})" for one in worst[:MOST_LISTED])
        listed.append(f"{name}, most wrong and missed: {ids}")
        if name == "test":
            listed += [f"  {one[0]}: {shown}" for one in worst[:5] for shown in one[4][:3]]
    f1 = figures["steps_test"]["f1"]
    lowest = min(figures[f"steps_{name}"]["f1"] for name in MODELS)
    bars = [
        bar("GSM8K test solutions without line breaks: F1 of step boundaries", f1, f">= {LEAST_F1}", f1 >= LEAST_F1),
        bar("the same, lowest of the four model solution sets", lowest, f">= {LEAST_F1}", lowest >= LEAST_F1),
    ]
    return figures, bars, lines + listed


# Arithmetic, read a second time

_NUMBER = re.compile(r"\d[\d,]*\.?\d*|\.\d+")
_SIGN = re.compile(r"\s*(\d[\d,]*\.?\d*|\.\d+|[-+*/()%x])")


def second_reading(annotation: str) -> tuple[Fraction, Fraction, str] | None:
    """(left, right, digits of the right side) of `a=b` by recursive descent; None where it is no such thing."""
    left, equals, right = annotation.partition("=")
    if not equals or "=" in right:
        return None
    values = [_Descent(side).value() for side in (left, right)]
    return None if values[0] is None or values[1] is None else (values[0], values[1], right.strip())


class _Descent:
    def __init__(self, text: str) -> None:
        self.signs: list[str] = []
        at, text = 0, text.strip()
        while at < len(text):
            hit = _SIGN.match(text, at)
            if hit is None:
                self.signs = ["?"]
                return
            self.signs.append(hit[1])
            at = hit.end()

    def value(self) -> Fraction | None:
        try:
            found = self._sum()
        except (ValueError, IndexError, ZeroDivisionError):
            return None
        return None if self.signs else found

    def _sum(self) -> Fraction:
        found = self._product()
        while self.signs and self.signs[0] in "+-":
            found = found + self._product() if self.signs.pop(0) == "+" else found - self._product()
        return found

    def _product(self) -> Fraction:
        found = self._atom()
        while self.signs and self.signs[0] in "*/x(":
            sign = "*" if self.signs[0] == "(" else self.signs.pop(0)
            found = found / self._atom() if sign == "/" else found * self._atom()
        return found

    def _atom(self) -> Fraction:
        sign = self.signs.pop(0)
        if sign in "+-":
            return self._atom() if sign == "+" else -self._atom()
        if sign == "(":
            found = self._sum()
            if self.signs.pop(0) != ")":
                raise ValueError("a bracket is not closed")
        else:
            found = Fraction(sign.replace(",", "").rstrip("."))
        while self.signs and self.signs[0] == "%":
            self.signs.pop(0)
            found /= 100
        return found


def second_verdict(left: Fraction, right: Fraction, said: str, widest: Fraction) -> bool:
    """Half a unit of the last decimal; whole numbers exactly; what a machine printed, to the precision of doubles."""
    decimals = len(said.partition(".")[2].strip("%)"))
    slack = Fraction(1, 2 * 10**decimals) if decimals else Fraction(0)
    if len(re.sub(r"\D", "", said).lstrip("0")) >= 15:
        slack = max(slack, widest / 2**50)
    return abs(left - right) <= slack


def _arithmetic() -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    figures: dict[str, Any] = {}
    lines = [
        f"{'calculator annotations':28} {'all':>6} {'read':>6} {'wrong':>6} {'apart':>6} {'stated':>7} {'wrong':>6}"
    ]
    listed: list[str] = []
    apart_in_all, unread_in_test = 0, 0
    for name, rows in solutions().items():
        total = read = stated = 0
        wrong: list[str] = []
        unread: list[str] = []
        apart: list[str] = []
        one_sided: list[str] = []
        loose: list[str] = []
        for at, text in rows:
            found = list(sums(text))
            by_place = {one.left_at[0]: one for one in found if one.annotated}
            for hit in re.finditer(r"<<([^<>\n]*)>>", text):
                total += 1
                mine = next((by_place[place] for place in range(*hit.span(1)) if place in by_place), None)
                other = second_reading(hit[1])
                verdict = None
                if other is not None:
                    numbers = _NUMBER.findall(hit[1].partition("=")[0])
                    widest = max([abs(other[0]), *(Fraction(one.replace(",", "").rstrip(".")) for one in numbers)])
                    verdict = second_verdict(*other, widest)
                if mine is None:
                    unread.append(f"{at} {hit[0]}")
                else:
                    read += 1
                    if not mine.holds:
                        wrong.append(f"{at} {hit[0]}")
                if (mine is None) != (other is None):
                    one_sided.append(f"{at} {hit[0]}")
                elif mine is not None and other is not None and (mine.holds, mine.value) != (verdict, other[0]):
                    apart.append(f"{at} {hit[0]}")
            own = [one for one in found if not one.annotated]
            stated += len(own)
            loose += [f"{at} {one.left} = {one.right}" for one in own if not one.holds]
        figures[f"arithmetic_{name}"] = {
            "annotations": total, "read": read, "wrong": len(wrong), "apart": len(apart), "one_sided": len(one_sided),
            "stated": stated,
            "stated_wrong": len(loose),
        }  # fmt: skip
        lines.append(f"{name:28} {total:6} {read:6} {len(wrong):6} {len(apart):6} {stated:7} {len(loose):6}")
        for word, what in (
            ("wrong", wrong), ("not read", unread), ("two readings differ", apart), ("one reading only", one_sided),
            ("wrong beside annotations", loose),
        ):  # fmt: skip
            if what:
                more = f" and {len(what) - MOST_LISTED} more" if len(what) > MOST_LISTED else ""
                listed.append(f"{name}, {word}: {'; '.join(what[:MOST_LISTED])}{more}")
        apart_in_all += len(apart)
        unread_in_test += len(unread) if name == "test" else 0
    bars = [
        bar("GSM8K test annotations not computed", unread_in_test, "0", unread_in_test == 0),
        bar("annotations on which a second reading differs (all five sets)", apart_in_all, "0", apart_in_all == 0),
    ]
    return figures, bars, lines + listed


# Speed


def _speed() -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    loops = _loop_rate()
    runs = _recorded_runs()
    count = sum(len(one.messages) for one in runs)
    taken = _best(lambda: [_structured(one) for one in runs])
    rate = count / taken
    long = long_run(LONG_STEPS)
    steps = len(_structured(long).steps)
    long_taken = _best(lambda: _structured(long))
    memory = [_peak(size) for size in SIZES]
    growth = memory[1] / memory[0]
    figures = {
        "messages_per_second": round(rate), "messages": count, "long_run_seconds": round(long_taken, 2),
        "long_run_steps": steps, "bytes_per_step": dict(zip(map(str, SIZES), map(round, memory), strict=True)),
        "loop_rate": round(loops),
    }  # fmt: skip
    shown = ", ".join(f"{one:.0f} bytes at {size}" for one, size in zip(memory, SIZES, strict=True))
    lines = [
        f"{count} recorded messages structured in {taken:.2f} s CPU: {rate:.0f} per second",
        f"a run of {steps} steps structured in {long_taken:.2f} s CPU",
        f"peak memory per step: {shown}",
        f"plain Python loop: {loops / 1e6:.1f} million rounds per second (an idle core of 2023 makes 25 to 40)",
    ]
    bars = [
        bar("messages structured per second and core", round(rate), f">= {LEAST_RATE}", rate >= LEAST_RATE),
        bar(
            f"a {LONG_STEPS}-step run, seconds",
            round(long_taken, 2),
            f"<= {LONG_SECONDS:g}",
            long_taken <= LONG_SECONDS and steps == LONG_STEPS,
        ),  # fmt: skip
        bar(
            f"memory per step at {SIZES[1]} steps / at {SIZES[0]}",
            round(growth, 3),
            f"<= {MEMORY_GROWTH}",
            growth <= MEMORY_GROWTH,
        ),  # fmt: skip
    ]
    return figures, bars, lines


def _structured(recorded: RecordedTranscript) -> Structure:
    (thread,) = group((), (), [recorded])
    return build(thread, lambda data: hashlib.sha256(data).hexdigest(), 1)


def _recorded_runs() -> list[RecordedTranscript]:
    rows = json.loads((DATA / "traces" / "tau_bench" / "gpt-4o-airline.json").read_text())
    return [_transcript(at, [_message(message) for message in row["traj"]]) for at, row in enumerate(rows)]


def _message(row: dict[str, Any]) -> Message:
    if row["role"] == "tool":
        result = ToolResult(call_id=row["tool_call_id"], name=row["name"], text=row["content"])
        return Message(role="tool", parts=(result,))
    parts: list[Any] = [Text(text=row["content"])] if row.get("content") else []
    parts += [
        ToolCall(call_id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in row.get("tool_calls") or ()
    ]
    return Message(role=row["role"], parts=tuple(parts))


def long_run(steps: int) -> RecordedTranscript:
    """A tool-using agent of exactly so many steps: each turn is a call, a thought, a tool call and its result."""
    turns, extra = divmod(steps - 4, 4)
    messages = [_said("system", "You keep the stock of a shop. Use the tools.")]
    messages += [_said("user", f"Count every shelf from {at} on and add 7 to each.") for at in range(extra + 1)]
    for turn in range(turns):
        messages += _turn(turn)
    messages.append(_said("assistant", "All shelves were counted, and the last one holds 12 items."))
    return _transcript(0, messages)


def _turn(turn: int) -> Iterator[Message]:
    here, there = turn * 7919 % 9973, (turn + 1) * 7919 % 9973
    arguments = json.dumps({"shelf": f"S{turn:05d}", "last": here})
    call = ToolCall(call_id=f"call-{turn}", name="look", arguments=arguments)
    yield Message(role="assistant", parts=(Text(text=f"Shelf {turn} should hold {here} + 7 = {here + 7} items."), call))
    found = json.dumps({"shelf": f"S{turn + 1:05d}", "count": there, "day": f"2024-05-{turn % 28 + 1:02d}"})
    yield Message(role="tool", parts=(ToolResult(call_id=f"call-{turn}", name="look", text=found),))


def _said(role: Any, text: str) -> Message:
    return Message(role=role, parts=(Text(text=text),))


def _transcript(at: int, messages: Sequence[Message]) -> RecordedTranscript:
    body = Transcript(format="bench", run=f"run-{at}", model="unknown", tools=None, origin="bench",
                      messages=Payload(address="0", size=0))  # fmt: skip
    return RecordedTranscript(position=at, id=f"{at:064x}", project="p", transcript=body, messages=messages)


def _best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        gc.collect()
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def _peak(steps: int) -> float:
    """Peak bytes per step while a run of that many steps is structured."""
    recorded = long_run(steps)
    gc.collect()
    tracemalloc.start()
    _structured(recorded)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / steps


def _loop_rate() -> float:
    started, total = time.process_time(), 0
    for number in range(5_000_000):
        total += number & 7
    return 5_000_000 / (time.process_time() - started)


def bar(what: str, value: float, limit: str, holds: bool) -> dict[str, Any]:
    return {"what": what, "value": value, "bar": limit, "holds": holds}


__all__ = ["boundaries", "long_run", "measure", "second_reading", "second_verdict", "solutions"]
