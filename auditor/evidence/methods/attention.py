"""Which tokens the decision's rows attend to: what was read, not what was relied on.

Algorithm: one forward; the attention rows that predict the decision tokens are computed in float32 inside the
attention call (evidence.attention_rows) and averaged over those rows. Three readings: the raw mean over layers and
heads; norm-weighted, ‖Σ_h α f(x)‖ scaled to 1 within a layer; rollout, the product of (A + I)/2 over layers.
Reference: Abnar and Zuidema 2020 (arXiv 2005.00928), Kobayashi et al. 2020 (arXiv 2004.10102). Blind spots:
association only; first tokens soak up attention (reported as `sink`); rollout smooths. Never decides.
"""

import time
from typing import Any

from auditor.evidence.answering import about, refused
from auditor.evidence.attention_rows import Rows, read_rows
from auditor.evidence.checks.faithfulness import random_span_control
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.specs import SPECS
from auditor.evidence.token_sources import claim_places, sources_of, span_totals, token_spans
from auditor.records.evidence import Check, Cost, Estimate, Evidence

ROW_SUM = 1e-4
RESIDUAL = 1e-3


class Attention:
    """Implements evidence.protocol.Method; needs weights and readable attention."""

    spec = SPECS["attention"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        told: Replay = replay
        answers: list[Evidence] = []
        rows: dict[tuple[int, ...], tuple[Rows, float]] = {}
        for claim in question.claims:
            try:
                decision, places = told.decision(claim.target), claim_places(told, claim)
                if decision.positions not in rows:
                    began = time.perf_counter()
                    seen = read_rows(told.model, told.ids, [p - 1 for p in decision.positions])
                    rows[decision.positions] = (seen, time.perf_counter() - began)
            except ReplayRefused as refusal:
                answers.append(refused(question, claim, self.spec, refusal))
                continue
            seen, seconds = rows[decision.positions]
            raw, beside = _readings(seen, decision)
            names = {"attention": raw, **beside}
            answers.append(
                about(
                    told, claim, self.spec, decision,
                    sources=sources_of(told, decision, places, raw, "attention", "share", beside,
                                       token_spans(told, decision.positions[0])),
                    estimates=(
                        *(Estimate(name=name, value=span_totals(told, places, values), unit="share")
                          for name, values in names.items()),
                        Estimate(name="sink", value=raw[0], unit="share"),
                    ),
                    checks=(*_checks(seen), random_span_control(told, decision, places, raw)),
                    cost=Cost(seconds=seconds, forwards=1),
                    detail="Share of the decision rows' attention, mean over layers and heads.",
                )
            )  # fmt: skip
        return answers


def _readings(rows: Rows, decision: Decision) -> tuple[list[float], dict[str, list[float]]]:
    """Raw shares per token, and the other readings that this model allows."""
    beside: dict[str, list[float]] = {}
    if len(rows.norms) == len(rows.weights):
        beside["norm_weighted"] = rows.norm_weighted().mean(0).double().tolist()
    if rows.means:
        beside["rollout"] = rows.rollout().mean(0).double().tolist()
    return rows.mean().mean(0).double().tolist(), beside


def _checks(rows: Rows) -> tuple[Check, ...]:
    gap = max(float((weights.sum(-1) - 1).abs().max()) for weights in rows.weights)
    found = [Check(name="row_sum", passed=gap <= ROW_SUM, value=gap, bound=ROW_SUM, unit="1", note="rows sum to 1")]
    if rows.norms:
        found.append(
            Check(
                name="decomposition", passed=rows.residual <= RESIDUAL, value=rows.residual, bound=RESIDUAL, unit="1",
                note="summed contributions against the attention output of the decision rows",
            )
        )  # fmt: skip
    return tuple(found)
