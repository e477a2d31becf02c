"""Workers always get evidence: findings, or one of the closed list of reasons."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from auditor.evidence.answer import answer
from auditor.evidence.specs import SPECS
from auditor.records.evidence import REASONS, Evidence
from auditor.records.wire import read, write

WHITE_BOX = ["ablation", "gradient_input", "integrated_gradients", "attention"]


def test_every_method_answers_every_claim_from_one_replay(kit: Any, shop: Callable[..., Any]) -> None:
    told: list[tuple[int, int, str]] = []
    question = replace(
        shop(kit, options={"replicates": 8}), progress=lambda done, total, note: told.append((done, total, note))
    )
    cache: dict[str, Any] = {}
    found = answer(question, WHITE_BOX, cache)
    assert {(e.claim, e.method) for e in found} == {
        (claim.id, f"{name}@1") for claim in question.claims for name in WHITE_BOX
    }
    assert all(e.reason is None and e.fidelity is not None and e.target_tokens is not None for e in found)
    assert len(cache) == 1 and told[0][:2] == (0, 4) and told[-1] == (4, 4, "done")
    for evidence in found:
        body = json.loads(json.dumps(write(evidence), allow_nan=False))
        assert read(Evidence, body) == evidence


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"model": None}, "weights_unavailable"), ({"digest": "sha256:other"}, "weights_changed")],
)
def test_without_the_right_weights_the_reason_is_given(
    kit: Any, shop: Callable[..., Any], change: dict[str, Any], reason: str
) -> None:
    question = shop(kit, digest=change.get("digest", "unknown"))
    if "model" in change:
        question = replace(question, model=None)
    found = answer(question, WHITE_BOX, {})
    assert len(found) == len(WHITE_BOX) * len(question.claims)
    assert {e.reason for e in found} == {reason} <= set(REASONS)
    assert all(e.detail and not e.arms and not e.sources for e in found)


def test_a_greedy_record_that_does_not_replay_has_no_numbers(kit: Any, shop: Callable[..., Any]) -> None:
    found = answer(shop(kit, settings={"temperature": 0}), ["ablation"], {})
    assert {e.reason for e in found} == {"replay_mismatch"}


def test_budget_leaves_later_claims_with_a_reason(kit: Any, shop: Callable[..., Any]) -> None:
    found = answer(shop(kit, options={"replicates": 4, "max_seconds": 0}), ["ablation"], {})
    assert {e.reason for e in found} == {"budget"}


def test_specs_and_doors_load_no_torch() -> None:
    code = (
        "import sys, auditor.evidence.specs, auditor.evidence.catalogue, auditor.evidence.protocol;"
        "list(auditor.evidence.catalogue.specs()); import auditor.evidence.methods.selector;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_attention_is_labelled_as_read() -> None:
    assert SPECS["attention"].note == "read, not relied on" and SPECS["attention"].kind == "provenance"
