"""What a recorder says of a search over thoughts: JSON objects, in a span's attribute or in an event of a transcript.

A choice among candidates (breadth-first, beam, one level)::

    {"selector": "greedy", "candidates": [{"text": …, "score": 3.0, "parent": …}, …], "chosen": 1,
     "kept": [1, 0], "keep": 2, "depth": 1, "state": ["…"]}

`chosen` is the one that was taken, the first of `kept` where several were. All behind it is optional: `kept` in the
selector's order; `keep` is how many it was to keep; `depth` counts from 1; `state` are the texts that candidates were
grown from; a candidate's `parent` is the text of the candidate it grew from, or its place among those of the choice
before.

Visits (depth-first)::

    {"selector": "depth_first", "prune_from": 1, "visits": [{"path": ["…", "…"], "score": 0, "expanded": true}, …]}

`path` leads from the root to the visited thought, which is its last entry. The search does not go on from a score of
`prune_from` or more, or of less than `prune_below`. `score` and `expanded` are optional. One event may hold one visit
or many; several events are one search. Other fields are left where they stand.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Candidate:
    text: str
    score: float
    parent: str | int | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A selector's inputs and choice."""

    selector: str
    candidates: tuple[Candidate, ...]
    chosen: int
    kept: tuple[int, ...]
    """Empty where only `chosen` was."""
    keep: int | None
    depth: int | None
    state: tuple[str, ...] | None

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(one.score for one in self.candidates)

    @property
    def all_kept(self) -> tuple[int, ...]:
        return self.kept or (self.chosen,)


@dataclass(frozen=True, kw_only=True)
class Visit:
    path: tuple[str, ...]
    score: float | None
    expanded: bool | None


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Visits in their order, and on which scores the search turned back."""

    selector: str
    visits: tuple[Visit, ...]
    prune_from: float | None
    prune_below: float | None

    def prunes(self, score: float | None) -> bool | None:
        """Whether the search must turn back at a score; None where that cannot be told."""
        if score is None or (self.prune_from is None and self.prune_below is None):
            return None
        return (self.prune_from is not None and score >= self.prune_from) or (
            self.prune_below is not None and score < self.prune_below
        )


@dataclass(frozen=True, kw_only=True)
class Visited:
    """Where a visit was recorded."""

    step: str
    """Its branch."""
    message: str
    place: int
    """Among the visits of the message."""
    walk: Walk


def is_search(text: str) -> bool:
    """Whether an event means to be a choice or visits, readable or not."""
    return text.lstrip()[:1] == "{" and ('"candidates"' in text or '"visits"' in text)


def read_search(text: str) -> Choice | Walk | None:
    """The choice or visits of an event; None when it is neither or anything in it is not as above."""
    try:
        data: Any = json.loads(text)
        return _walk(data) if isinstance(data, dict) and "visits" in data else _choice(data)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _choice(data: Any) -> Choice:
    candidates = tuple(_candidate(one) for one in data["candidates"])
    chosen, kept = data["chosen"], tuple(data.get("kept") or ())
    for place in (chosen, *kept):
        if type(place) is not int or not 0 <= place < len(candidates):
            raise ValueError(f"{place!r} is no place of a candidate")
    if kept and (kept[0] != chosen or len(set(kept)) < len(kept)):
        raise ValueError("`kept` does not begin with `chosen`, or holds a candidate twice")
    state = data.get("state")
    if state is not None and not (isinstance(state, list) and all(isinstance(one, str) for one in state)):
        raise ValueError("`state` is no list of texts")
    return Choice(
        selector=str(data.get("selector", "unknown")), candidates=candidates, chosen=chosen, kept=kept,
        keep=_count(data, "keep"), depth=_count(data, "depth"), state=None if state is None else tuple(state),
    )  # fmt: skip


def _candidate(data: Any) -> Candidate:
    parent = data.get("parent")
    if parent is not None and type(parent) not in (str, int):
        raise ValueError("`parent` is neither text nor number")
    if not isinstance(data["text"], str):
        raise ValueError("`text` is no text")
    return Candidate(text=data["text"], score=_finite(data["score"]), parent=parent)


def _walk(data: Mapping[str, Any]) -> Walk:
    return Walk(
        selector=str(data.get("selector", "unknown")), visits=tuple(_visit(one) for one in data["visits"]),
        prune_from=_maybe(data, "prune_from"), prune_below=_maybe(data, "prune_below"),
    )  # fmt: skip


def _visit(data: Any) -> Visit:
    path, expanded = data["path"], data.get("expanded")
    if not isinstance(path, list) or not path or not all(isinstance(one, str) for one in path):
        raise ValueError("`path` is no list of texts")
    if expanded is not None and type(expanded) is not bool:
        raise ValueError("`expanded` is neither true nor false")
    return Visit(path=tuple(path), score=_maybe(data, "score"), expanded=expanded)


def _count(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (type(value) is not int or not 1 <= value < 2**31):
        raise ValueError(f"`{name}` is no number from 1")
    return value


def _maybe(data: Mapping[str, Any], name: str) -> float | None:
    return None if data.get(name) is None else _finite(data[name])


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
