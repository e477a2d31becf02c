"""A simulated run: claims with arms whose true effects are chosen, stored the way workers store them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from auditor.records.canonical import sha256_hex
from auditor.records.evidence import Arm, Estimate, Evidence, Fidelity
from auditor.records.messages import Span
from auditor.records.structure import Claim, Finding, ModelCall, PlacedPayload, Step, Structure, claim_id
from auditor.records.verdict import Verdict
from auditor.verdict.combine import judge
from auditor.verdict.protocol import Cited, Protocol

DIGEST = "sha256:weights"
SAW = PlacedPayload(id="in", parent=None, role="user", payload="p")


class Bench:
    """Collects claims and evidence, then judges them."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.claims: list[Claim] = []
        self.cited: list[Cited] = []
        self.findings: list[Finding] = []
        self.steps: list[Step] = []
        self.blobs: dict[str, bytes] = {}
        self.digest = DIGEST
        self.protocol = Protocol()

    def claim(
        self, type: str = "tool_answer", status: str = "stated", relation: str = "depends_on", target: int = 0
    ) -> Claim:
        at = 10 * len(self.claims)
        source = (Span(message="in", part=0, start=at, end=at + 5),)
        aim = Span(message="out", part=0, start=10 * target, end=10 * target + 3)
        made = Claim(
            id=claim_id(type, source, aim, relation), type=type, status=status, relation=relation,  # type: ignore[arg-type]
            sources=source, target=aim, source_step="s", target_step="t", call="c", found_by="test", text="says so",
        )  # fmt: skip
        self.claims.append(made)
        return made

    def arm(
        self, family: str, effects: Sequence[float], margins: Sequence[float] | None = None,
        tracks: Sequence[bool] | None = None,
    ) -> Arm:  # fmt: skip
        rows = [
            {
                "replacement": str(i), "effect": float(effect),
                "margin": float(margins[i] if margins is not None else effect),
                "tracks": None if tracks is None else bool(tracks[i]), "seed": str(i),
            }
            for i, effect in enumerate(effects)
        ]  # fmt: skip
        data = json.dumps(rows).encode()
        address = sha256_hex(data)
        self.blobs[address] = data
        return Arm(
            family=family, n=len(rows), effects=address, margin=None,  # type: ignore[arg-type]
            mean=Estimate(name=family, value=float(np.mean(effects)), unit="nats"),
        )  # fmt: skip

    def evidence(self, claim: Claim, arms: Sequence[Arm] = (), **more: Any) -> Evidence:
        noise = more.pop("noise_floor", 1e-6)
        fidelity = Fidelity(
            tokens=10, argmax_agreement=1.0, max_logprob_gap=0.0, noise_floor=noise, weights_digest=DIGEST,
            tokenizer_digest="t", template_digest="c", dtype="float32", device="cpu",
        )  # fmt: skip
        given: dict[str, Any] = {
            "run": "r", "claim": claim.id, "call": claim.call, "kind": "intervention", "method": "ablation@1",
            "target": claim.target, "target_tokens": None, "arms": tuple(arms), "fidelity": fidelity,
        } | more  # fmt: skip
        made = Evidence(**given)
        self.cited.append(Cited(f"record{len(self.cited)}", made))
        return made

    def measured(
        self, claim: Claim, effect: float, sd: float = 0.02, n: int = 32, mask: float | None = None,
        placebo: float | None = None, decoy: float = 0.01, joint: float | None = None, typed: bool = True, **more: Any,
    ) -> Evidence:  # fmt: skip
        """An ablation whose swap effects are normal around `effect`; the mask is one number, the decoy is small."""
        swap = self.rng.normal(effect, sd, n)
        arms = [
            self.arm("swap", swap, tracks=[effect > 0.3] * n if typed else None),
            self.arm("mask", [effect if mask is None else mask] * n),
            self.arm("decoy", self.rng.normal(0, decoy, n)),
        ]
        if placebo is not None:
            arms.append(self.arm("placebo", self.rng.normal(placebo, sd, n)))
        if joint is not None:
            arms.append(self.arm("joint", self.rng.normal(joint, sd, n)))
        return self.evidence(claim, arms, **more)

    @property
    def structure(self) -> Structure:
        call = ModelCall(
            id="c", record="x", model="m", model_digest=self.digest, dialect=None, inputs=("in",), outputs=("out",),
            tools=None, settings={}, at=None,
        )  # fmt: skip
        return Structure(
            run="r", version=1, code="structure@1", agent="react", model="m", origin="proxy", records=(),
            messages=(SAW,), calls=(call,), steps=tuple(self.steps), claims=tuple(self.claims), links=(),
            findings=tuple(self.findings),
        )  # fmt: skip

    def payload(self, address: str) -> bytes:
        return self.blobs[address]

    def judge(self) -> list[Verdict]:
        return judge(self.structure, "structure-record", self.cited, self.protocol, self.payload)

    def one(self) -> Verdict:
        (verdict,) = self.judge()
        return verdict


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def new_bench() -> Callable[[int], Bench]:
    return Bench
