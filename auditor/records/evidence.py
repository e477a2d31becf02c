"""One method's answer about one claim: body of an `evidence` record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.records.messages import Span

EvidenceKind = Literal["record", "intervention", "attribution", "provenance", "feature", "influence"]

Reason = Literal[
    "weights_unavailable", "weights_changed", "replay_mismatch", "underpowered", "saturated", "noisy",
    "off_distribution", "nondeterministic", "redundant", "surface_coded", "redacted", "sentinel_failed", "budget",
    "unsupported",
]  # fmt: skip
"""Why there is no number or no verdict. The list is closed (design §10)."""

REASONS: tuple[str, ...] = Reason.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """`level` in (0, 1); `n` independent replicates; `population` says what they are draws of."""

    low: float
    high: float
    level: float
    method: str
    n: int
    population: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A named number with unit and interval. `value` is None only together with a `reason`."""

    name: str
    value: float | None
    unit: str
    """`nats`, `probability`, `share`, `log-odds`, `1` (dimensionless)…"""
    interval: Interval | None = None
    reason: Reason | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TokenRange:
    """Tokens [start, end) of one stream; only inside evidence."""

    start: int
    end: int
    tokenizer_digest: str
    stream: Literal["encoder", "decoder"] = "decoder"
    shared: bool = False
    """True when an end token also overlaps a neighbouring span."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source with its effect on the target. `effect` follows the method's unit and sign (positive supports)."""

    label: str
    """Short text of the source, at most 80 characters, untrusted."""
    span: Span | None
    effect: Estimate
    tokens: TokenRange | None = None
    ref: str | None = None
    """Feature id, training document id, head id… where the source is not a span."""
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One intervention family as it was run. `effects` holds one number per replicate, in nats.

    effect = log p(y | recorded) - log p(y | changed), summed over the decision tokens; positive supports the decision.
    """

    family: Literal["swap", "mask", "delete", "placebo", "decoy", "joint", "copies", "resample", "selector_swap"]
    n: int
    effects: str
    """Payload address of a JSON array of {"replacement", "effect", "margin", "tracks" or null, "seed"}."""
    mean: Estimate
    margin: Estimate | None
    """Change of the decision's log-odds against its strongest alternative."""
    tracks: Estimate | None = None
    """For typed swaps: share of draws in which the decision followed the swapped value."""
    skipped: str | None = None
    """Why the family was not run, e.g. no meaning-preserving rewrite of JSON exists."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A test of the evidence itself."""

    name: str
    passed: bool | None
    value: float | None
    bound: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How well the replay reproduced the recorded call."""

    tokens: int
    """Output tokens compared."""
    argmax_agreement: float
    max_logprob_gap: float | None
    """Largest |replayed - recorded| log-probability; None where the upstream gave none."""
    noise_floor: float
    """Largest |difference| in nats between identical passes in other batch shapes."""
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    dtype: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Cost:
    seconds: float
    forwards: int = 0
    backwards: int = 0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one method found. `reason` is set when it could not find anything."""

    run: str
    claim: str | None
    call: str
    kind: EvidenceKind
    method: str
    """`name@version`."""
    target: Span
    target_tokens: TokenRange | None
    sources: tuple[Source, ...] = ()
    arms: tuple[Arm, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    checks: tuple[Check, ...] = ()
    fidelity: Fidelity | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    seed: str = "0"
    """Decimal text; beyond 2**53 JSON numbers are not exact."""
    cost: Cost | None = None
    reason: Reason | None = None
    detail: str = ""
    """One sentence: what was done, or why not."""
    note: str = ""
    """The limit that must be shown beside the number, e.g. `read, not relied on`."""
    surrogate: bool = False
