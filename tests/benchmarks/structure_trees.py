"""Trees, sample sets and episodes of published logs against a second reading of the same files.

What the structure says (nodes, parents, depth, scores, fates, kept sets; answers, votes, agreement; turns,
observations, rewards) is compared with a reconstruction made here from the raw JSON, which shares no code with the
importers or with auditor.structure. Failures are listed by id. Nothing here is tuned; figures of both halves (even and
odd places in a file) are given all the same.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from auditor.capture.importers.catalogue import importer
from auditor.capture.importers.imported import Imported
from auditor.records.canonical import canonical_bytes, sha256_hex
from auditor.records.exchange import Payload, Transcript
from auditor.records.messages import Message, Span, Text, span_text
from auditor.records.structure import Step, Structure
from auditor.records.wire import read, write
from auditor.structure.build import build, messages_of
from auditor.structure.checks.selector import replay
from auditor.structure.inputs import RecordedTranscript
from auditor.structure.threads import group

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TREES = DATA / "traces" / "tree_of_thoughts"
GAME24, CHAINS, CROSSWORDS = "game24_propose_value_greedy", "game24_cot_sc_100", "crosswords_dfs_prune"
EPISODES = ("sql_react_gpt35", "sql_multiturn_gpt4")
SOLVED = 69
MOST_LISTED = 30


@dataclass(kw_only=True)
class Clock:
    """What importing and structuring took, without the comparisons."""

    seconds: float = 0.0
    messages: int = 0
    steps: int = 0

    def row(self) -> dict[str, float]:
        seconds = max(self.seconds, 1e-9)
        return {
            "messages": self.messages, "steps": self.steps, "seconds": round(self.seconds, 2),
            "messages_per_second": round(self.messages / seconds), "steps_per_second": round(self.steps / seconds),
        }  # fmt: skip


@dataclass(kw_only=True)
class Run:
    """One imported run, structured."""

    transcript: Transcript
    structure: Structure
    messages: dict[str, Message]
    steps: dict[str, Step]

    def text(self, span: Span | None) -> str:
        """The text of a span; of a JSON string, what it says."""
        if span is None:
            return ""
        text = span_text(self.messages[span.message], span)
        return str(json.loads(f'"{text}"')) if span.pointer is not None else text


@dataclass(kw_only=True)
class Tally:
    """How many of what was compared agree; the ids of those that do not."""

    right: int = 0
    total: int = 0
    halves: list[list[int]] = field(default_factory=lambda: [[0, 0], [0, 0]])
    wrong: list[str] = field(default_factory=list)

    def add(self, place: int, own: str, holds: bool) -> None:
        self.total += 1
        self.right += holds
        self.halves[place % 2][0] += holds
        self.halves[place % 2][1] += 1
        if not holds:
            self.wrong.append(own)

    def row(self) -> dict[str, Any]:
        even, odd = (f"{right}/{total}" for right, total in self.halves)
        return {"right": self.right, "total": self.total, "even": even, "odd": odd, "wrong": self.wrong[:MOST_LISTED]}

    def bar(self, what: str) -> dict[str, Any]:
        holds = self.right == self.total > 0
        return {"what": what, "value": f"{self.right}/{self.total}", "bar": "all", "holds": holds}

    def line(self, what: str) -> str:
        wrong = f"; wrong: {', '.join(self.wrong[:MOST_LISTED])}" if self.wrong else ""
        return f"{what}: {self.right} of {self.total}{wrong}"


def runs(name: str, path: Path, clock: Clock) -> Iterator[Run]:
    """Runs of a file as the server would structure them; facts go through the form they are stored in."""
    began = time.perf_counter()
    for place, one in enumerate(importer(name).read(path)):
        if not isinstance(one, Imported):
            raise TypeError(f"{path} holds telemetry")
        transcript = Transcript(
            format=one.format, run=one.run, model=one.model, messages=Payload(address="a", size=1), tools=None,
            origin="bench", facts=one.facts,
        )  # fmt: skip
        transcript = read(Transcript, json.loads(canonical_bytes(write(transcript))))
        recorded = RecordedTranscript(
            position=place, id=sha256_hex(one.run.encode()), project="bench", transcript=transcript,
            messages=one.messages,
        )  # fmt: skip
        (thread,) = group([], [], [recorded])
        store: dict[str, bytes] = {}

        def put(data: bytes, store: dict[str, bytes] = store) -> str:
            address = sha256_hex(data)
            store[address] = data
            return address

        structure = build(thread, put, 1)
        clock.seconds += time.perf_counter() - began
        clock.messages += len(one.messages)
        clock.steps += len(structure.steps)
        yield Run(transcript=transcript, structure=structure, messages=messages_of(structure, store.__getitem__),
                  steps={step.id: step for step in structure.steps})  # fmt: skip
        began = time.perf_counter()


# --- breadth-first: the game of 24


def breadth_first(figures: dict[str, Any], bars: list[dict[str, Any]], lines: list[str]) -> None:
    path = TREES / f"{GAME24}.json"
    log = json.loads(path.read_text())
    trees, solved, steps, found_solved = Tally(), Tally(), Tally(), 0
    doubled: list[str] = []
    twins: list[str] = []
    clock = Clock()
    for place, (entry, run) in enumerate(zip(log, runs("tree_of_thoughts", path, clock), strict=True)):
        own = str(entry["idx"])
        trees.add(place, own, _nodes_told(run) == _nodes_logged(entry) and _kept_told(run) == _kept_logged(entry))
        reached = _solved(run)
        found_solved += reached
        solved.add(place, own, reached == any(one["r"] for one in entry["infos"]))
        for number, (step, selection) in enumerate(zip(entry["steps"], run.structure.selections, strict=True)):
            order = sorted(range(len(step["values"])), key=lambda at, values=step["values"]: values[at], reverse=True)
            again = replay(selection.selector, selection.scores, len(selection.kept))
            same = [step["new_ys"][at] for at in order[: len(step["select_new_ys"])]] == step["select_new_ys"]
            steps.add(place, f"{own}.{number}", same and again == selection.kept)
            if len(set(step["new_ys"])) < len(step["new_ys"]):
                doubled.append(f"{own}.{number}")
            if len(set(step["ys"])) < len(step["ys"]):
                twins.append(f"{own}.{number}")
        steps.add(place, f"{own}.finding", [one.holds for one in run.structure.findings if one.check == "selector"]
                  == [True] * len(entry["steps"]))  # fmt: skip
    figures["game24"] = {"trees": trees.row(), "solved": found_solved, "solved_per_puzzle": solved.row(),
                         "selector": steps.row(), "equal_candidates": doubled,
                         "equal_states": twins, **clock.row()}  # fmt: skip
    bars += [
        trees.bar("game of 24: trees rebuilt exactly (nodes, parents, depth, scores, kept)"),
        {"what": "game of 24: puzzles solved, from the states alone", "value": found_solved, "bar": f"{SOLVED} of 100",
         "holds": found_solved == SOLVED},
        solved.bar("game of 24: solved or not, puzzle by puzzle, as the log says"),
        steps.bar("game of 24: selector replay agrees with the log, step by step"),
    ]  # fmt: skip
    lines += [
        trees.line("game of 24, trees"), solved.line("game of 24, solved or not"),
        steps.line("game of 24, selector (400 steps and the findings of 100 runs)"),
        f"  steps with equal candidates, of which the first is taken as the one kept: {', '.join(doubled) or 'none'}",
        f"  steps grown from equal states, of which the first is taken as the parent: {', '.join(twins) or 'none'}",
    ]  # fmt: skip


def _nodes_told(run: Run) -> list[tuple[Any, ...]]:
    text = _states(run)
    return [(one.depth, text[one.step], one.score, text[one.parent] if one.parent else "")
            for one in run.structure.branches]  # fmt: skip


def _states(run: Run) -> dict[str, str]:
    """The state each node stands for: the texts from the root to it."""
    states: dict[str, str] = {}
    for one in run.structure.branches:
        states[one.step] = states.get(one.parent or "", "") + run.text(run.steps[one.step].span)
    return states


def _nodes_logged(entry: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    nodes = []
    for depth, step in enumerate(entry["steps"], 1):
        for text, value in zip(step["new_ys"], step["values"], strict=True):
            (parent,) = {one for one in step["ys"] if text.startswith(one)}
            nodes.append((depth, text, value, parent))
    return nodes


def _kept_told(run: Run) -> list[Any]:
    """Of each selection the kept texts in order; and how often each text of each depth was kept or pruned."""
    fates, states = {one.step: one.fate for one in run.structure.branches}, _states(run)
    told: list[Any] = []
    for one in run.structure.selections:
        texts = [states[own] for own in one.candidates]
        told.append([texts[at] for at in one.kept])
        told.append(Counter((text, fates[own]) for text, own in zip(texts, one.candidates, strict=True)))
    return told


def _kept_logged(entry: Mapping[str, Any]) -> list[Any]:
    logged: list[Any] = []
    for step in entry["steps"]:
        kept, all_ = Counter(step["select_new_ys"]), Counter(step["new_ys"])
        fates: Counter[Any] = Counter()
        for text, count in all_.items():
            fates[text, "kept"] += min(count, kept[text])
            fates[text, "pruned"] += count - min(count, kept[text])
        logged += [step["select_new_ys"], +fates]
    return logged


def _solved(run: Run) -> bool:
    """Whether a kept state of the last selection ends in an expression of the puzzle's numbers that is 24."""
    asked = next(one for one in run.structure.steps if one.kind == "prompt")
    numbers = sorted(run.text(asked.span).split())
    last, states = run.structure.selections[-1], _states(run)
    return any(_is_24(states[last.candidates[at]], numbers) for at in last.kept)


def _is_24(state: str, numbers: list[str]) -> bool:
    line = state.strip().splitlines()[-1]
    if not line.lower().startswith("answer:"):
        return False
    expression = line.split(":", 1)[1].split("=")[0]
    return sorted(re.findall(r"\d+", expression)) == numbers and _value(expression) == 24


def _value(expression: str) -> Fraction | None:
    """Value of numbers, + - * / and brackets, exactly; None for anything else."""
    tokens = re.findall(r"\d+|\S", expression)
    at = 0

    def peek() -> str:
        return tokens[at] if at < len(tokens) else ""

    def operand() -> Fraction:
        nonlocal at
        token = peek()
        at += 1
        if token.isdigit():
            return Fraction(token)
        if token != "(":
            raise ValueError(token)
        inner = level(sums, "+-")
        if peek() != ")":
            raise ValueError("a bracket is open")
        at += 1
        return inner

    def sums() -> Fraction:
        return level(operand, "*/")

    def level(part: Callable[[], Fraction], operators: str) -> Fraction:
        nonlocal at
        value = part()
        while peek() and peek() in operators:
            operator = peek()
            at += 1
            other = part()
            value = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
                     "/": lambda a, b: a / b}[operator](value, other)  # fmt: skip
        return value

    try:
        found = level(sums, "+-")
    except (ValueError, ZeroDivisionError, RecursionError):
        return None
    return found if at == len(tokens) else None


# --- depth-first: crosswords


def depth_first(figures: dict[str, Any], bars: list[dict[str, Any]], lines: list[str]) -> None:
    path = TREES / f"{CROSSWORDS}.json"
    log = json.loads(path.read_text())
    trees, visits, silent = Tally(), Tally(), []
    clock = Clock()
    for place, (entry, run) in enumerate(zip(log, runs("tree_of_thoughts", path, clock), strict=True)):
        logged, told = _visits_logged(entry), _visits_told(run)
        trees.add(place, str(place), told == logged)
        findings = [one for one in run.structure.findings if one.check == "selector"]
        decided = [number for number, one in enumerate(logged) if one[4] != "open"]
        visits.add(place, f"{place}.findings", len(findings) == len(decided))
        for number, finding in zip(decided, findings, strict=False):
            # The published search goes on from a state of which no word is impossible, and from no other.
            agrees = (logged[number][4] == "kept") == (entry[number]["count"]["impossible"] == 0)
            visits.add(place, f"{place}.{number}", finding.holds and agrees)
        silent += [f"{place}.{number}" for number, one in enumerate(logged) if one[4] == "open"]
    figures["crosswords"] = {"trees": trees.row(), "pruning": visits.row(), "open": silent, **clock.row()}
    bars += [
        trees.bar("crosswords: trees rebuilt exactly (nodes, parents, depth, scores, fates)"),
        visits.bar("crosswords: pruning replay agrees with the log, visit by visit; the others are listed"),
    ]  # fmt: skip
    lines += [
        trees.line("crosswords, trees"), visits.line("crosswords, pruning"),
        f"  {len(silent)} visits may be gone on from and are not (puzzle.visit): {', '.join(silent)}",
    ]  # fmt: skip


def _visits_logged(entry: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """(text, place of the parent, depth, score, fate), by a stack: the log is in order of the search."""
    stack: list[int] = []
    found: list[list[Any]] = []
    for number, visit in enumerate(entry):
        depth = len(visit["actions"])
        del stack[depth - 1 :]
        parent = stack[-1] if stack else None
        if [found[at][0] for at in stack] != visit["actions"][:-1]:
            raise ValueError(f"visit {number} is not where a depth-first search would be")
        if parent is not None:
            found[parent][4] = "kept"
        score = visit["count"]["impossible"]
        found.append([visit["actions"][-1], parent, depth, score, "pruned" if score > 0 else "open"])
        stack.append(number)
    return [tuple(one) for one in found]


def _visits_told(run: Run) -> list[tuple[Any, ...]]:
    places = {one.step: place for place, one in enumerate(run.structure.branches)}
    return [
        (run.text(run.steps[one.step].span), places[one.parent] if one.parent else None, one.depth, one.score, one.fate)
        for one in run.structure.branches
    ]  # fmt: skip


# --- samples: 100 chains for each puzzle


def samples(figures: dict[str, Any], bars: list[dict[str, Any]], lines: list[str]) -> None:
    path = TREES / f"{CHAINS}.json"
    log = json.loads(path.read_text())
    answers, votes, agreement, total = Tally(), Tally(), 0.0, 0
    clock = Clock()
    for place, (entry, run) in enumerate(zip(log, runs("tree_of_thoughts", path, clock), strict=True)):
        own, sets = str(entry["idx"]), run.structure.samples
        wanted = [_answer(text) for text in entry["ys"]]
        total += len(wanted)
        given = list(sets[0].answers) if len(sets) == 1 else []
        for number, answer in enumerate(wanted):
            answers.add(place, f"{own}.{number}", number < len(given) and given[number] == answer)
        counted = Counter(one for one in wanted if one is not None)
        most = max(counted.values())
        best = [one for one, count in counted.items() if count == most]
        votes.add(place, own, len(sets) == 1 and len(given) == len(wanted) and dict(sets[0].votes) == dict(counted)
                  and sets[0].winner == (best[0] if len(best) == 1 else None) and sets[0].grade == "recorded"
                  and Fraction(most, len(wanted)) == Fraction(sets[0].agreement).limit_denominator(10**6))  # fmt: skip
        agreement += most / len(wanted)
    figures["samples"] = {"answers": answers.row(), "votes": votes.row(), "samples": total,
                          "mean_agreement": round(agreement / len(log), 4), **clock.row()}  # fmt: skip
    bars += [answers.bar("sampled chains: the answer of every sample"),
             votes.bar("sampled chains: sets, votes, winner and agreement")]  # fmt: skip
    lines += [answers.line("sampled chains, answers"), votes.line("sampled chains, votes"),
              f"  mean agreement {agreement / len(log):.4f}"]  # fmt: skip


def _answer(text: str) -> str | None:
    """What stands behind the last `Answer:`, at the start of a line or behind a sentence; else behind "the answer is";
    else the last line. Formulas without blanks; of a sentence that denies nothing its last number; else its words."""
    rows = [row.strip() for row in text.split("\n") if row.strip()]
    row = rows[-1]
    for one in rows:
        head, mark, tail = one.rpartition("Answer:")
        if mark and (not head.strip() or head.rstrip()[-1] in ".!?"):
            row = tail
    row = row.rpartition("the answer is")[2].strip(" *\"")
    row = row.replace("×", "*").replace("÷", "/").replace("−", "-")
    numbers = [word.strip(".") for word in re.split(r"[^0-9.]+", row) if word.strip(".")]
    if row and all(letter in "0123456789.+-*/=() " for letter in row) and len(numbers) > 1:
        return "".join(row.split()).rstrip(".")
    words = set(re.split(r"[^a-z]+", row.lower().replace("n't", " not")))
    if numbers and not words & {"no", "not", "none", "never", "cannot", "unable", "impossible"}:
        return numbers[-1].rstrip("0").rstrip(".") if "." in numbers[-1] else numbers[-1]
    return " ".join(row.lower().split()).rstrip(".!? \"") or None


# --- episodes: InterCode


def episodes(figures: dict[str, Any], bars: list[dict[str, Any]], lines: list[str]) -> None:
    for name in EPISODES:
        path = DATA / "traces" / "intercode" / f"{name}.json"
        log = json.loads(path.read_text())
        whole, turns, rewards = Tally(), 0, Tally()
        clock = Clock()
        for place, ((own, entry), run) in enumerate(zip(log.items(), runs("intercode", path, clock), strict=True)):
            told = entry["turn_history"]
            turns += len(told["actions"])
            whole.add(place, own, _turns(run) == _turns_logged(told))
            facts = run.transcript.facts
            rewards.add(place, own, facts["rewards"] == told["rewards"] and facts["summary"] == entry["summary"]
                        and facts["valid_action"] == told["valid_action"])  # fmt: skip
        figures[name] = {"episodes": whole.row(), "turns": turns, "rewards": rewards.row(), **clock.row()}
        bars += [whole.bar(f"{name}: turns and observations of every episode"), rewards.bar(f"{name}: rewards")]
        lines += [whole.line(f"{name}, episodes ({turns} turns)"), rewards.line(f"{name}, rewards")]


def _turns(run: Run) -> list[tuple[str, str, str]]:
    """(thought, action, observation): of each call its text, its tool call, and the result whose parent that is."""
    results = {one.parent: run.text(one.span) for one in run.structure.steps if one.kind == "tool_result"}
    asked = {one.call: one for one in run.structure.steps if one.kind == "tool_call"}
    found = []
    for call in run.structure.calls:
        thought = "".join(part.text for part in run.messages[call.outputs[0]].parts if isinstance(part, Text))
        step = asked[call.id]
        found.append((thought, run.text(step.span), results[step.id]))
    return found


def _turns_logged(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    thoughts = told.get("thoughts", [""] * len(told["actions"]))
    return list(zip(thoughts, told["actions"], told["observations"], strict=True))


def measure() -> dict[str, Any]:
    """Figures, bars and lines for structure.py."""
    figures: dict[str, Any] = {}
    bars: list[dict[str, Any]] = []
    lines: list[str] = []
    for part in (breadth_first, depth_first, samples, episodes):
        part(figures, bars, lines)
    for name, row in figures.items():
        lines.append(
            f"speed, {name}: {row['messages']} messages and {row['steps']} steps imported and structured in"
            f" {row['seconds']} s: {row['messages_per_second']} messages/s, {row['steps_per_second']} steps/s"
        )
    return {"figures": figures, "bars": bars, "lines": lines}


def main() -> None:
    found = measure()
    print("\n".join(found["lines"]))
    for one in found["bars"]:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")


if __name__ == "__main__":
    main()
