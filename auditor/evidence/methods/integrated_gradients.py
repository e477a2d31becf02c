"""Integrated gradients from the mean embedding to the recorded input.

Algorithm: score_i = <x_i - b, integral over a in [0, 1] of the gradient at b + a (x - b)>, with b the mean of the
embedding table at every position (inside the data; a zero baseline runs into the scale invariance of RMS norms and
does not converge). The integral is taken by Gauss-Legendre quadrature in panels of 8 nodes. Completeness holds for
every panel by itself: its part of the scores must sum to log p at its end minus log p at its start, which costs two
forwards to know. Panels that miss by more than their share are halved, until their sum misses by at most 5 % of the
difference (and their sizes by 15 %) or the nodes are spent; the remaining error is a check, which fails beyond 5 %.
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

NODES = 8
"""Per panel."""
MOST_NODES = 256
BOUND = 0.05
"""Largest completeness error, as a share of the difference."""
SLACK = 3.0
"""The panels' misses, all counted positive, may reach this many times the bound: they partly cancel."""
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Panel:
    """A piece [low, high] of the path: its part [T, D] of the mean gradient, and how far its scores miss."""

    low: float
    high: float
    gradient: torch.Tensor
    miss: float


def integrate(
    model: Any, ids: torch.Tensor, decision: Decision, baseline: torch.Tensor, most: int = MOST_NODES,
    aim: float = BOUND,
) -> Path:  # fmt: skip
    """Integrate for one decision from `baseline` [T, D], halving panels until their misses sum to at most `aim`."""
    length = decision.positions[-1]
    inputs, baseline = embeddings(model, ids)[:length], baseline[:length]
    step = (inputs - baseline).double()
    batch = max(1, BATCH_TOKENS // length)
    values = dict(zip((0.0, 1.0), _values(model, inputs, baseline, decision, [0.0, 1.0], batch), strict=True))
    difference = values[1.0] - values[0.0]
    scale = max(abs(difference), LEAST)
    panels: list[_Panel] = []
    todo = [(0.0, 0.5), (0.5, 1.0)]
    nodes = 0
    while todo:
        ends = sorted({end for panel in todo for end in panel} - set(values))
        values |= dict(zip(ends, _values(model, inputs, baseline, decision, ends, batch), strict=True))
        panels += _panels(model, inputs, baseline, decision, todo, values, batch)
        nodes += NODES * len(todo)
        missed = sum(abs(panel.miss) for panel in panels)
        enough = abs(sum(panel.miss for panel in panels)) <= aim * scale and missed <= SLACK * aim * scale
        wide = [] if enough else [p for p in panels if abs(p.miss) > aim * scale / (2 * len(panels))]
        if not wide or nodes + 2 * NODES * len(wide) > most:
            break
        panels = [panel for panel in panels if panel not in wide]
        todo = [half for p in wide for half in ((p.low, (p.low + p.high) / 2), ((p.low + p.high) / 2, p.high))]
    scores = (torch.stack([panel.gradient for panel in panels]).sum(0) * step).sum(-1)
    error = abs(float(scores.sum()) - difference) / scale
    return Path(scores=scores, difference=difference, error=error, nodes=nodes, runs=nodes + len(values))


def _panels(
    model: Any, inputs: torch.Tensor, baseline: torch.Tensor, decision: Decision, todo: list[tuple[float, float]],
    values: dict[float, float], batch: int,
) -> list[_Panel]:  # fmt: skip
    places, weights = np.polynomial.legendre.leggauss(NODES)
    at = [low + (place + 1) / 2 * (high - low) for low, high in todo for place in places.tolist()]
    found = path_gradients(model, inputs, baseline, decision, at, batch).double()
    share = torch.tensor(weights / 2, dtype=torch.float64, device=inputs.device)
    step = (inputs - baseline).double()
    panels = []
    for (low, high), part in zip(todo, torch.split(found, NODES), strict=True):
        gradient = torch.einsum("n,ntd->td", share, part) * (high - low)
        miss = float((gradient * step).sum()) - (values[high] - values[low])
        panels.append(_Panel(low=low, high=high, gradient=gradient, miss=miss))
    return panels


def _values(
    model: Any, inputs: torch.Tensor, baseline: torch.Tensor, decision: Decision, at: list[float], batch: int
) -> list[float]:
    """log p(decision) at points of the path."""
    found: list[float] = []
    where = torch.tensor(at, dtype=inputs.dtype, device=inputs.device)
    with torch.no_grad():
        for some in torch.split(where, batch):
            points = baseline + some[:, None, None] * (inputs - baseline)
            found += decision_log_prob(model, points, decision).double().tolist()
    return found


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
                    cost=Cost(seconds=seconds, forwards=path.runs, backwards=path.nodes),
                    detail=f"Integrated from the mean embedding with {path.nodes} nodes.",
                )
            )  # fmt: skip
        return answers
