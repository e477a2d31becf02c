"""The raw effects of an intervention, read back from the ledger: one number per replicate, never a summary."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.errors import LedgerBroken
from auditor.records.evidence import Arm
from auditor.statistics.composite import equivalence, one_sided
from auditor.statistics.resampling import Side
from auditor.verdict.protocol import Payloads

WITHOUT_CHANCE = frozenset({"mask", "delete"})
"""Families with nothing to draw: hiding or deleting a source is one change, the same in every pass."""

FEWEST = 8
"""Below this many contexts a family without chance is compared in each of them; from here on its mean is tested."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """One arm's replicates in nats (positive supports the decision); `margins` may be empty."""

    family: str
    effects: tuple[float, ...]
    margins: tuple[float, ...]
    followed: int
    """Draws in which the decision took the value implied by the replacement…"""
    typed: int
    """…of this many in which there was such a value."""
    floor: float
    """Noise floor of the replay they were measured in, nats."""

    @property
    def n(self) -> int:
        return len(self.effects)

    @property
    def mean(self) -> float:
        return sum(self.effects) / len(self.effects)

    @property
    def exact(self) -> bool:
        """True where a comparison needs no test: nothing was drawn, and it was made in a handful of contexts only.

        Such an arm lies beyond a bound when every single one of its numbers does, by more than the noise floor.
        """
        if self.family not in WITHOUT_CHANCE:
            return False
        return self.n < FEWEST or max(self.effects) - min(self.effects) <= max(self.floor, 1e-9)

    def beyond(self, bound: float, side: Side) -> float:
        """p-value of H0: mean ≤ bound (`greater`) or ≥ bound (`less`); 0 or 1 where there is no chance."""
        if self.exact:
            away = min(self.effects) - bound if side == "greater" else bound - max(self.effects)
            return 0.0 if away > self.floor else 1.0
        return one_sided(self.effects, bound, side)

    def within(self, bound: float) -> float:
        """p-value of H0: |mean effect| ≥ bound."""
        return self._within(self.effects, bound)

    def margin_within(self, bound: float) -> float:
        """The same for the decision's margin; 1 when the arm recorded none, because silence is not equivalence."""
        return self._within(self.margins, bound) if self.margins else 1.0

    def _within(self, values: tuple[float, ...], bound: float) -> float:
        if self.exact:
            return 0.0 if max(abs(value) for value in values) + self.floor < bound else 1.0
        return equivalence(values, bound)


def read_draws(arm: Arm, floor: float, payloads: Payloads) -> Draws | None:
    """The replicates behind an arm, None when it was skipped. NotFound when erased, LedgerBroken when wrong."""
    if arm.skipped is not None or arm.n == 0:
        return None
    rows = _rows(arm, json.loads(payloads(arm.effects)))
    margins = [float(row["margin"]) for row in rows if row.get("margin") is not None]
    tracks = [bool(row["tracks"]) for row in rows if row.get("tracks") is not None]
    return Draws(
        family=arm.family, effects=tuple(float(row["effect"]) for row in rows),
        # a margin known for some draws only would be a selection of them
        margins=tuple(margins) if len(margins) == len(rows) else (),
        followed=sum(tracks), typed=len(tracks), floor=floor,
    )  # fmt: skip


def _rows(arm: Arm, rows: Any) -> Sequence[Mapping[str, Any]]:
    what = f"effects of the {arm.family} arm at {arm.effects}"
    if not isinstance(rows, list) or len(rows) != arm.n:
        raise LedgerBroken("effects", f"the {what} are not a list of {arm.n}", "run the evidence job again")
    for row in rows:
        numbers = [row.get("effect"), row.get("margin") or 0.0] if isinstance(row, dict) else [None]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            raise LedgerBroken("effects", f"the {what} hold {row!r}", "run the evidence job again")
    return rows
