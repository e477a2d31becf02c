"""What a method is asked and what it answers. Torch-free, so that plans and pages can list methods cheaply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from auditor.models import ModelEntry
from auditor.records.evidence import Evidence, EvidenceKind
from auditor.records.messages import Message
from auditor.records.structure import Claim, ModelCall, Structure

Need = Literal["record", "weights", "gradients", "attention", "dictionary", "influence_index"]


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """Everything a reader must know of a method without running it."""

    name: str
    version: int
    kind: EvidenceKind
    title: str
    needs: frozenset[Need]
    unit: str
    cost: str
    """In forwards F and backwards B of one call, e.g. `1 F + K B`."""
    reference: str
    blind_spots: str
    note: str = ""
    """Shown beside every number, e.g. `read, not relied on`."""
    per_call: bool = False
    """True when it speaks about a call as a whole: one Evidence without a claim, also for calls without claims."""

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One model call and the claims whose target lies in its output."""

    structure: Structure
    call: ModelCall
    claims: tuple[Claim, ...]
    messages: Mapping[str, Message]
    """Every message of the run by id."""
    tools: tuple[Mapping[str, Any], ...]
    model: ModelEntry | None
    """None when the models file has no weights for the recorded name."""
    seed_key: str
    """Draw r uses records.canonical.seed_of(seed_key, r)."""
    keep: Callable[[bytes], str]
    """Stores bytes in the ledger and gives their address."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Budget of the audit: `replicates` (default 32), `max_seconds`…"""
    progress: Callable[[int, int, str], None] = lambda done, total, note: None


class Method(Protocol):
    """One file per method; found through evidence.catalogue."""

    spec: MethodSpec

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        """One Evidence per claim it can say something about; an Evidence with a `reason` where it cannot.

        `replay` is the evidence.replay.Replay of question.call, or None for methods that need only the record.
        """
        ...


class Rollout(Protocol):
    """Free continuation of a recorded run after one edit; implemented outside this room (agents.replay)."""

    def continue_from(self, run: str, step: str, replacement: str, seed: int) -> str:
        """The decision text the agent reaches."""
        ...
