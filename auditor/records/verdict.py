"""Bodies of `audit` and `verdict` records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.records.evidence import Estimate, Reason

VerdictWord = Literal["relied_on", "decorative", "contradicted", "undetermined"]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Somebody asked for an audit of a run."""

    run: str
    requested_by: str
    structure: str
    """Id of the structure record that was audited."""
    methods: tuple[str, ...]
    jobs: tuple[str, ...]
    protocol: str


@dataclass(frozen=True, kw_only=True)
class RuleFinding:
    """What one rule concluded, and from which evidence."""

    rule: str
    conclusion: Literal["holds", "fails", "cannot_tell"]
    message: str
    cites: tuple[str, ...]
    """Record ids of evidence or structure."""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rules conclude on one claim. The current verdict is the latest by ledger position."""

    run: str
    claim: str
    verdict: VerdictWord
    reason: Reason | None
    """Set when undetermined."""
    text: str
    """One plain sentence with number, unit, interval, what was changed and what was not checked."""
    effect: Estimate
    method: str
    """Method and families the verdict rests on, e.g. `ablation@1: swap, mask`."""
    findings: tuple[RuleFinding, ...]
    evidence: tuple[str, ...]
    protocol: str
    structure: str = "unknown"
    """Id of the structure record that was judged: with it and the ledger the verdict can be derived again."""
    disclosed: bool | None = None
    """Whether a used source was acknowledged; None where nothing was used or it cannot be told."""
    not_checked: tuple[str, ...] = ()
    certificate: str | None = None
    strength: Literal["weak", "moderate", "strong"] | None = None
