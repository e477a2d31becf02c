"""Attention rows against eager attention, rollout against the matrix product, the norm decomposition's residual."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from auditor.evidence.attention_rows import read_rows
from auditor.evidence.methods.attention import Attention
from auditor.evidence.replay import replay


def eager(told: Any) -> list[torch.Tensor]:
    """Full attention maps [H, T, T] of every layer, from transformers' own eager path."""
    model = told.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            maps = model(told.ids[None], output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
    return [layer[0] for layer in maps]


@pytest.mark.parametrize("full", [True, False])
def test_rows_equal_eager(kit: Any, shop: Callable[..., Any], full: bool) -> None:
    told = replay(shop(kit), kit.loaded)
    rows = [p - 1 for p in told.decision(told.question.claims[0].target).positions]
    found = read_rows(told.model, told.ids, rows, full=full)
    for layer, expected in zip(found.weights, eager(told), strict=True):
        assert float((layer - expected[:, rows]).abs().max()) < 1e-5
    assert told.model.config._attn_implementation == "sdpa"


def test_reading_does_not_change_the_model(kit: Any, shop: Callable[..., Any]) -> None:
    told = replay(shop(kit), kit.loaded)
    with torch.no_grad():
        before = told.model(told.ids[None]).logits
        read_rows(told.model, told.ids, [5])
        after = told.model(told.ids[None]).logits
    assert torch.equal(before, after)


def test_rollout_is_the_product_of_the_layers(kit64: Any, shop: Callable[..., Any]) -> None:
    told = replay(shop(kit64), kit64.loaded)
    rows = [p - 1 for p in told.decision(told.question.claims[0].target).positions]
    product = torch.eye(len(told.ids), dtype=torch.float64)
    for layer in eager(told):
        product = (layer.double().mean(0) + torch.eye(len(told.ids), dtype=torch.float64)) / 2 @ product
    found = read_rows(told.model, told.ids, rows).rollout()
    assert float((found - product[rows]).abs().max()) < 1e-6  # eager rounds its softmax to float32
    assert torch.allclose(found.sum(-1), torch.ones(len(rows), dtype=torch.float64))


def test_contributions_sum_to_the_attention_output(kit64: Any, shop: Callable[..., Any]) -> None:
    told = replay(shop(kit64), kit64.loaded)
    found = read_rows(told.model, told.ids, [20, 60])
    assert found.residual < 1e-12
    assert float(found.norms[0][0, 21:].max()) == 0.0  # nothing comes from later tokens


def test_evidence_says_read(kit: Any, shop: Callable[..., Any]) -> None:
    told = replay(shop(kit), kit.loaded)
    evidence = Attention().answer(told.question, told)[0]
    assert evidence.kind == "provenance" and "read, not relied on" in evidence.note
    assert all(check.passed is not False for check in evidence.checks)
    tokens = [s for s in evidence.sources if s.detail["role"] == "token"]
    assert 0.9 < sum(s.effect.value or 0 for s in tokens) <= 1.0 + 1e-6  # the row's own token is not listed
