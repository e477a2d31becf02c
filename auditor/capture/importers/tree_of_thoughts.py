"""Logs of tree-of-thought-llm (princeton-nlp): breadth-first search, depth-first search, and sampled chains.

A file is a JSON list; the shape of an entry tells what it is:

- `{"idx", "steps": [{"step", "x", "ys", "new_ys", "values", "select_new_ys"}], …}`: breadth-first. The user's message
  is `x`; every step becomes one event of the recorder's form with candidates, scores and what was kept.
- `[{"actions", "count", "info", …}, …]`: depth-first. Every visit becomes one event with its path; its score is the
  count of `impossible`, on which the search prunes.
- `{"idx", "ys", …}`: samples. The entries of `ys` are choices of one call (records.exchange.CHOICES_FACT).

The logs of the last two do not hold the puzzle, only its number: the first message is then an event that says so. No
log names the model (`unknown`), the selector or the threshold; those given here are the ones of the published runs
(`--method_select greedy`; prune where any word is impossible), and can be told otherwise.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.capture.exact import NotJson, exact, parse_json
from auditor.capture.importers.imported import Imported
from auditor.capture.importers.rows import MOST_FILE, Progress, Source, a_list, an_object, opened, silent
from auditor.errors import BadInput
from auditor.records.exchange import CHOICES_FACT
from auditor.records.messages import Message, Text

FORMAT = "tree_of_thoughts"
WHAT = "a tree-of-thought-llm log: a JSON list of puzzles with `steps`, `ys`, or visits"
_FIX = f"give {WHAT}"
_SCORE = "impossible"
"""The count a depth-first search prunes on."""


def read(
    source: Source, progress: Progress = silent, *, selector: str = "greedy", prune_from: float = 1
) -> Iterator[Imported]:
    """Runs of a file; BadInput names the entry and field that are wrong.

    Args:
        selector: how a breadth-first search kept candidates.
        prune_from: a depth-first search does not go on from a state whose score is this or more.
    """
    for number, entry in enumerate(_entries(source, progress)):
        where = f"entry {number}"
        if isinstance(entry, list):
            yield _depth_first(number, entry, where, prune_from)
            continue
        held = an_object(entry, where, WHAT)
        if "steps" in held:
            yield _breadth_first(held, where, selector)
        elif "ys" in held:
            yield _samples(held, where)
        else:
            raise BadInput(where, "has neither `steps` nor `ys` and is no list of visits", _FIX)


def _entries(source: Source, progress: Progress) -> list[Any]:
    file, total = opened(source, WHAT)
    with file:
        data = file.read(MOST_FILE + 1)
    if len(data) > MOST_FILE:
        raise BadInput("file", f"has more than {MOST_FILE} bytes", "split it")
    progress(len(data), total)
    try:
        value = exact(parse_json(data))
    except NotJson as fault:
        raise BadInput("file", f"is no JSON: {fault}", _FIX) from fault
    if not isinstance(value, list):
        raise BadInput("file", "is no list of puzzles", _FIX)
    return value


def _breadth_first(entry: Mapping[str, Any], where: str, selector: str) -> Imported:
    steps = a_list(entry, "steps", where, WHAT)
    puzzles, messages, kept = [], [], None
    for number, one in enumerate(steps):
        at = f"{where}.steps[{number}]"
        step = an_object(one, at, WHAT)
        puzzles.append(step.get("x"))
        kept = _texts(step, "select_new_ys", at)
        messages.append(_event(_selection(step, kept, at, number, selector)))
    if not puzzles or not isinstance(puzzles[0], str) or any(one != puzzles[0] for one in puzzles):
        raise BadInput(f"{where}.steps", "do not all have the same text `x`", _FIX)
    asked = Message(role="user", parts=(Text(text=puzzles[0]),))
    facts = {key: value for key, value in entry.items() if key not in ("steps", "ys")}
    if "ys" in entry and entry["ys"] != kept:
        facts["ys"] = entry["ys"]
    return Imported(
        format=FORMAT, run=f"tree_of_thoughts/breadth_first/{_idx(entry, where)}", model="unknown",
        messages=(asked, *messages), facts=facts,
    )  # fmt: skip


def _selection(
    step: Mapping[str, Any], kept: Sequence[str], where: str, number: int, selector: str
) -> dict[str, object]:
    """The recorder's form of one step. Of equal candidates the first that is not yet taken was kept."""
    texts, scores = _texts(step, "new_ys", where), a_list(step, "values", where, WHAT)
    if len(scores) != len(texts):
        raise BadInput(f"{where}.values", f"has {len(scores)} entries for {len(texts)} of `new_ys`", _FIX)
    for place, score in enumerate(scores):
        _number(score, f"{where}.values[{place}]")
    free: dict[str, list[int]] = {}
    for place in reversed(range(len(texts))):
        free.setdefault(texts[place], []).append(place)
    indices = []
    for place, text in enumerate(kept):
        if not free.get(text):
            raise BadInput(f"{where}.select_new_ys[{place}]", "is not among `new_ys`", _FIX)
        indices.append(free[text].pop())
    order = step.get("step", number)
    return {
        "selector": selector, "depth": order + 1 if type(order) is int and 0 <= order < 2**31 else number + 1,
        "state": _texts(step, "ys", where),
        "candidates": [{"text": text, "score": score} for text, score in zip(texts, scores, strict=True)],
        "chosen": indices[0] if indices else None, "kept": indices,
    }  # fmt: skip


def _depth_first(number: int, visits: Sequence[Any], where: str, prune_from: float) -> Imported:
    messages = [_event({"puzzle": number})]
    for place, one in enumerate(visits):
        at = f"{where}[{place}]"
        visit = an_object(one, at, WHAT)
        path, counts = _texts(visit, "actions", at), an_object(visit.get("count"), f"{at}.count", WHAT)
        if not path:
            raise BadInput(f"{at}.actions", "is empty", _FIX)
        score = _number(counts.get(_SCORE), f"{at}.count.{_SCORE}")
        rest = {key: value for key, value in visit.items() if key not in ("actions", "count")}
        messages.append(_event({
            "selector": "depth_first", "prune_from": prune_from,
            "visits": [rest | {"path": path, "score": score, "counts": counts}],
        }))  # fmt: skip
    return Imported(
        format=FORMAT, run=f"tree_of_thoughts/depth_first/{number}", model="unknown", messages=tuple(messages),
    )  # fmt: skip


def _samples(entry: Mapping[str, Any], where: str) -> Imported:
    texts, own = _texts(entry, "ys", where), _idx(entry, where)
    facts = {key: value for key, value in entry.items() if key != "ys"} | {CHOICES_FACT: [[1, len(texts)]]}
    said = (Message(role="assistant", parts=(Text(text=text),)) for text in texts)
    return Imported(
        format=FORMAT, run=f"tree_of_thoughts/samples/{own}", model="unknown",
        messages=(_event({"idx": entry["idx"]}), *said), facts=facts,
    )  # fmt: skip


def _event(body: Mapping[str, object]) -> Message:
    return Message(role="event", parts=(Text(text=json.dumps(body, ensure_ascii=False)),))


def _idx(entry: Mapping[str, Any], where: str) -> str:
    own = entry.get("idx")
    if type(own) is not int and not (isinstance(own, str) and own):
        raise BadInput(f"{where}.idx", "is missing or neither number nor text", _FIX)
    return str(own)


def _texts(holder: Mapping[str, Any], name: str, where: str) -> list[str]:
    values = a_list(holder, name, where, WHAT)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise BadInput(f"{where}.{name}[{place}]", "is no text", _FIX)
    return values


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        raise BadInput(where, "is missing or no number", _FIX)
    return value  # type: ignore[no-any-return]
