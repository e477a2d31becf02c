"""What the judge is given and what it answers. Pure: every verdict can be derived again from ledger records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from auditor.records.evidence import Evidence
from auditor.records.structure import Structure
from auditor.records.verdict import Verdict


class Cited(NamedTuple):
    """A piece of evidence and the id of its record."""

    id: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Thresholds of protocol EP-1, stored by name with every verdict; units in nats unless said."""

    name: str = "EP-1.0"
    superiority_margin: float = 0.10
    """Smallest effect of interest; raised to the 95th percentile of placebo and decoy effects when that is larger."""
    equivalence_margin: float = 0.10
    """Fixed beforehand; never grows with noise."""
    margin_shift: float = 0.5
    """Largest |change of the decision's log-odds| for decorative, or `margin_share` of it when that is larger."""
    margin_share: float = 0.10
    false_discovery_rate: float = 0.05
    confidence: float = 0.95
    noise_factor: float = 10.0
    """The noise floor times this must stay below the equivalence margin."""


Payloads = Callable[[str], bytes]
"""Ledger payload address -> bytes (the raw effects of an arm)."""

Judge = Callable[[Structure, str, Sequence[Cited], Protocol, Payloads], list[Verdict]]
"""`verdict.combine.judge`: all claims of one run at once, because multiplicity is controlled within a run."""
