"""Integrated gradients from the mean embedding to the recorded input.

Algorithm: score_i = <x_i - b, integral over a in [0, 1] of the gradient at b + a (x - b)>, with b the mean of the
embedding table at every position (inside the data; a zero baseline runs into the scale invariance of RMS norms and
does not converge). The integral is taken by Gauss-Legendre quadrature, nodes doubled from 16 to 128 until the scores'
sum equals log p(y | x) - log p(y | b) within 5 %; the remaining error is a check, which fails beyond that.
Reference: Sundararajan et al. 2017 (arXiv 1703.01365). Blind spots: the baseline is a choice; points on the path are
no inputs anybody sends. Ranks candidates, decides nothing.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from auditor.evidence.answering import about, refused
from auditor.evidence.checks.faithfulness import comprehensiveness, random_span_control
from auditor.evidence.input_gradients import decision_log_prob, embeddings, mean_embedding, path_gradients
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.specs import SPECS
from auditor.evidence.token_sources import claim_places, sources_of, span_totals, token_spans
from auditor.records.evidence import Check, Cost, Estimate, Evidence

NODES = (16, 32, 64, 128)
BOUND = 0.05
"""Largest completeness error, as a share of the difference."""
LEAST = 0.05
"""Nats: below this difference between input and baseline the relative error is taken against it instead."""
BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """`scores` [T] in nats; `difference` = log p(y | x) - log p(y | b); `error` relative; `nodes` used."""

    scores: torch.Tensor
    difference: float
    error: float
    nodes: int
    runs: int


def integrate(
    model: Any, ids: torch.Tensor, decision: Decision, baseline: torch.Tensor, most: int = NODES[-1], aim: float = BOUND
) -> Path:
    """Integrate for one decision from `baseline` [T, D]; nodes are added until the error is at most `aim`."""
    length = decision.positions[-1]
    inputs, baseline = embeddings(model, ids)[:length], baseline[:length]
    with torch.no_grad():
        ends = decision_log_prob(model, torch.stack([inputs, baseline]), decision).double()
    difference = float(ends[0] - ends[1])
    runs, best = 2, None
    for nodes in [n for n in NODES if n <= most]:
        places, weights = np.polynomial.legendre.leggauss(nodes)
        batch = max(1, BATCH_TOKENS // length)
        found = path_gradients(model, inputs, baseline, decision, ((places + 1) / 2).tolist(), batch)
        share = torch.tensor(weights / 2, dtype=torch.float64, device=ids.device)
        scores = (torch.einsum("n,ntd->td", share, found.double()) * (inputs - baseline).double()).sum(-1)
        runs += nodes
        error = abs(float(scores.sum()) - difference) / max(abs(difference), LEAST)
        best = Path(scores=scores, difference=difference, error=error, nodes=nodes, runs=runs)
        if error <= aim:
            break
    assert best is not None
    return best


class IntegratedGradients:
    """Implements evidence.protocol.Method; needs weights and gradients."""

    spec = SPECS["integrated_gradients"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        told: Replay = replay
        baseline = mean_embedding(told.model).expand(len(told.ids), -1)
        paths: dict[tuple[int, ...], tuple[Path, Check, float]] = {}
        answers = []
        for claim in question.claims:
            try:
                decision, places = told.decision(claim.target), claim_places(told, claim)
            except ReplayRefused as refusal:
                answers.append(refused(question, claim, self.spec, refusal))
                continue
            if decision.positions not in paths:
                began = time.perf_counter()
                path = integrate(told.model, told.ids, decision, baseline)
                check = comprehensiveness(told, decision, path.scores.tolist())
                paths[decision.positions] = (path, check, time.perf_counter() - began)
            path, check, seconds = paths[decision.positions]
            scores = path.scores.tolist()
            spans = token_spans(told, decision.positions[0])
            answers.append(
                about(
                    told, claim, self.spec, decision,
                    sources=sources_of(told, decision, places, scores, "integrated_gradients", "nats", spans=spans),
                    estimates=(
                        Estimate(name="integrated_gradients", value=span_totals(told, places, scores), unit="nats"),
                        Estimate(name="difference_from_baseline", value=path.difference, unit="nats"),
                    ),
                    checks=(
                        Check(name="completeness", passed=path.error <= BOUND, value=path.error, bound=BOUND,
                              unit="share", note=f"{path.nodes} Gauss-Legendre nodes"),
                        check, random_span_control(told, decision, places, scores),
                    ),
                    cost=Cost(seconds=seconds, forwards=path.runs, backwards=path.runs - 2),
                    detail=f"Integrated from the mean embedding with {path.nodes} nodes.",
                )
            )  # fmt: skip
        return answers
