"""Gradient methods against the naive loop, captum, and the completeness axiom; in float64.

Transformers computes RMS norms in float32 whatever the model's type, so two ways round differently near 1e-7.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients

from auditor.evidence.input_gradients import decision_log_prob, embeddings, gradients, mean_embedding
from auditor.evidence.methods.gradient_input import GradientInput
from auditor.evidence.methods.integrated_gradients import IntegratedGradients as Integrated
from auditor.evidence.methods.integrated_gradients import integrate
from auditor.evidence.replay import replay


@pytest.fixture
def told(kit64: Any, shop: Callable[..., Any]) -> Any:
    return replay(shop(kit64), kit64.loaded)


def naive(told: Any, decision: Any) -> torch.Tensor:
    """One forward and one backward from scratch for every decision token; [T, D] summed gradients."""
    total = torch.zeros(len(told.ids), told.model.config.hidden_size, dtype=torch.float64)
    for position, token in zip(decision.positions, decision.ids, strict=True):
        inputs = told.model.get_input_embeddings()(told.ids).detach()[None].requires_grad_(True)
        logits = told.model(inputs_embeds=inputs).logits
        logits[0, position - 1].log_softmax(-1)[token].backward()
        total += inputs.grad[0]
    return total


def test_one_product_equals_the_loop_over_tokens(told: Any) -> None:
    decision = told.decision(told.question.claims[0].target)
    assert len(decision.positions) == 2
    inputs, (found,) = gradients(told.model, told.ids, [decision])
    torch.testing.assert_close(found, naive(told, decision), atol=3e-6, rtol=1e-4)
    assert float(found[decision.positions[-1] :].abs().max()) == 0.0
    assert inputs.shape == found.shape


def test_gradient_input_equals_captum(told: Any) -> None:
    decision = told.decision(told.question.claims[0].target)
    inputs, (found,) = gradients(told.model, told.ids, [decision])
    peer = InputXGradient(lambda x: decision_log_prob(told.model, x, decision))
    expected = peer.attribute(inputs[None].clone().requires_grad_(True))[0].sum(-1)
    torch.testing.assert_close((found * inputs).sum(-1), expected, atol=1e-10, rtol=1e-8)


def test_integrated_gradients_equal_captum(told: Any) -> None:
    decision = told.decision(told.question.claims[0].target)
    baseline = mean_embedding(told.model).expand(len(told.ids), -1)
    found = integrate(told.model, told.ids, decision, baseline, most=4096, aim=1e-7)
    inputs = embeddings(told.model, told.ids)
    length = decision.positions[-1]
    peer = IntegratedGradients(lambda x: decision_log_prob(told.model, x, decision))
    expected = peer.attribute(
        inputs[None, :length], baseline[None, :length].contiguous(), n_steps=256, method="gausslegendre"
    )
    torch.testing.assert_close(found.scores, expected[0].sum(-1), atol=1e-6, rtol=1e-5)


def test_scores_sum_to_the_difference(told: Any) -> None:
    decision = told.decision(told.question.claims[0].target)
    baseline = mean_embedding(told.model).expand(len(told.ids), -1)
    found = integrate(told.model, told.ids, decision, baseline, aim=1e-6)
    assert found.error < 1e-3
    with torch.no_grad():
        ends = decision_log_prob(told.model, torch.stack([embeddings(told.model, told.ids), baseline]), decision)
    assert found.difference == pytest.approx(float(ends[0] - ends[1]), abs=1e-12)
    assert float(found.scores.sum()) == pytest.approx(found.difference, rel=1e-3)


def test_evidence_lists_claim_and_every_token(told: Any) -> None:
    evidence = GradientInput().answer(told.question, told)[0]
    decision = told.decision(told.question.claims[0].target)
    tokens = [s for s in evidence.sources if s.detail["role"] == "token"]
    assert len(tokens) == decision.positions[0]
    claimed = next(s for s in evidence.sources if s.detail["role"] == "claimed source")
    own = sum(s.effect.value or 0.0 for s in tokens[claimed.tokens.start : claimed.tokens.end])  # type: ignore[union-attr]
    assert claimed.effect.value == pytest.approx(own)
    inputs, (found,) = gradients(told.model, told.ids, [decision])
    np.testing.assert_allclose([s.effect.value for s in tokens], (found * inputs).sum(-1)[: len(tokens)], atol=1e-10)
    placed = [s for s in tokens if s.span is not None]
    assert {s.span.message for s in placed if s.span} >= set(told.question.call.inputs)


def test_completeness_is_reported(told: Any) -> None:
    evidence = Integrated().answer(told.question, told)[0]
    check = next(c for c in evidence.checks if c.name == "completeness")
    assert check.passed and check.value is not None and check.value < 0.05
