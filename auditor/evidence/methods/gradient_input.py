"""Gradient x input: the first-order effect of each token's embedding on the decision's log-probability.

Algorithm: one forward over the forced call, one vector-Jacobian product for each target; a token's score is
<gradient, embedding>, a span's the sum of its tokens'. Reference: Simonyan et al. 2013 (arXiv 1312.6034), Shrikumar
et al. 2016 (1605.01713). Blind spots: local; a saturated softmax has near-zero gradients; not complete (the sum is
reported beside the log-probability, not required to equal it). Ranks candidates, decides nothing.
"""

import time
from typing import Any

from auditor.evidence.answering import about, refused
from auditor.evidence.checks.faithfulness import comprehensiveness, random_span_control
from auditor.evidence.input_gradients import gradients
from auditor.evidence.passes import log_probs
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Replay
from auditor.evidence.specs import SPECS
from auditor.evidence.token_sources import claim_places, sources_of, span_totals, token_spans
from auditor.records.evidence import Check, Cost, Estimate, Evidence


class GradientInput:
    """Implements evidence.protocol.Method; needs weights and gradients."""

    spec = SPECS["gradient_input"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        told: Replay = replay
        answers: list[Evidence] = []
        cases = []
        for claim in question.claims:
            try:
                cases.append((claim, told.decision(claim.target), claim_places(told, claim)))
            except ReplayRefused as refusal:
                answers.append(refused(question, claim, self.spec, refusal))
        if not cases:
            return answers
        began = time.perf_counter()
        decisions = list({decision.positions: decision for _, decision, _ in cases}.values())
        inputs, found = gradients(told.model, told.ids, decisions)
        scores = {d.positions: (g * inputs).sum(-1).double().tolist() for d, g in zip(decisions, found, strict=True)}
        shared = (time.perf_counter() - began) / len(cases)
        spans = token_spans(told, max(decision.positions[0] for decision in decisions))
        checked = {d.positions: comprehensiveness(told, d, scores[d.positions]) for d in decisions}
        for claim, decision, places in cases:
            own = scores[decision.positions]
            target = told.logits_at(decision.positions)
            ids = told.ids[list(decision.positions)]
            total = float(log_probs(target, ids).double().sum())
            answers.append(
                about(
                    told, claim, self.spec, decision,
                    sources=sources_of(told, decision, places, own, "gradient_input", "nats", spans=spans),
                    estimates=(
                        Estimate(name="gradient_input", value=span_totals(told, places, own), unit="nats"),
                        Estimate(name="baseline_log_prob", value=total, unit="nats"),
                    ),
                    checks=(
                        Check(name="sum", passed=None, value=sum(own), bound=None, unit="nats",
                              note="sum over all tokens; this method is not complete"),
                        checked[decision.positions],
                        random_span_control(told, decision, places, own),
                    ),
                    cost=Cost(seconds=shared, forwards=1, backwards=1),
                    detail="Score of a token: gradient of the decision's log-probability times its embedding.",
                )
            )  # fmt: skip
        return answers
