"""What was represented where the decision was made, and whether taking it out changes the decision.

Algorithm, for decision tokens at positions p (predicted by rows p - 1):
1. residual stream x of the dictionary's layer and its gradient g = d log p(decision) / dx: one forward, one backward;
2. f = encode(x); attribution of feature i = sum over the rows p - 1 of f_i (W_dec[i] . g) (attribution patching);
3. the strongest are ablated exactly, x <- x - f_i W_dec[i] (what the dictionary cannot explain is kept), at the rows
   p - 1 ("here") and at every position ("everywhere"): effect = log p(recorded) - log p(ablated), in nats, summed;
4. the same for other active features, drawn at random: the control a strong feature must stand out from.

The interval of an effect is the replay's noise floor (a fixed change of a fixed call has no sampling error); the
spread of the controls is an estimate of its own. A call the dictionary does not reconstruct is refused.
Blind spots: one layer; features that act through earlier positions only are not ranked; a feature is a direction this
training found. Reference: Gao et al. 2024 (arXiv 2406.04093); Syed et al. 2023 (arXiv 2310.10348).
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from auditor.errors import BadSetup
from auditor.evidence.answering import about, refused
from auditor.evidence.claims import by_target
from auditor.evidence.dictionary import Dictionary, load
from auditor.evidence.prepare import dictionary_file
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Decision, Replay
from auditor.evidence.residual import changed_logits, gradient
from auditor.evidence.specs import SPECS
from auditor.records.canonical import seed_of
from auditor.records.evidence import Check, Cost, Estimate, Evidence, Interval, Source
from auditor.records.structure import Claim

TOP = 8
"""Features ablated and shown."""
CONTROLS = 16
"""Other active features ablated as the control."""
WORST_FVU = 0.3
"""Share of variance unexplained, on this call, above which the dictionary says nothing about it."""
ROWS = 32
"""Ablations per forward."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """By tested feature: attribution, and effects of its ablation here and everywhere, in nats. `top` come first."""

    features: tuple[int, ...]
    activations: tuple[float, ...]
    attributions: tuple[float, ...]
    here: tuple[float, ...]
    everywhere: tuple[float, ...]
    joint_here: float
    joint_everywhere: float
    top: int
    active: int


class Features:
    """Implements evidence.protocol.Method."""

    spec = SPECS["features"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        try:
            dictionary = _find(question, replay)
        except ReplayRefused as no:
            return [refused(question, claim, self.spec, no) for claim in question.claims]
        found: list[Evidence] = []
        for done, (span, claims) in enumerate(by_target(question)):
            question.progress(done, len(question.claims), "features: encoding and ablating")
            try:
                first = self._explain(question, replay, dictionary, claims[0], replay.decision(span))
            except ReplayRefused as no:
                first = refused(question, claims[0], self.spec, no)
            found += [replace(first, claim=claim.id) for claim in claims]
        return found

    def _explain(
        self, question: Question, replay: Replay, dictionary: Dictionary, claim: Claim, decision: Decision
    ) -> Evidence:
        began = time.monotonic()
        seed = seed_of(question.seed_key, 0)
        ids = replay.ids[: max(decision.positions) + 1]
        x, slope = gradient(replay.model, dictionary.card.layer, ids[None], lambda z: _log_prob(z, ids, decision).sum())
        x, slope = x[0].cpu().float(), slope[0].cpu().float()
        checks = _fit_checks(dictionary, x, decision)
        common: dict[str, Any] = {
            "checks": checks, "digests": {**replay.digests, "corpus": dictionary.card.corpus_digest}
        }  # fmt: skip
        if not all(check.passed for check in checks):
            detail = f"the dictionary leaves more than {WORST_FVU:.0%} of this call's variance unexplained"
            return about(replay, claim, self.spec, decision, reason="off_distribution", detail=detail, **common)
        measured = _measure(replay, dictionary, ids, x, slope, decision, random.Random(seed))
        floor = replay.noise_floor * len(decision.positions)
        sources = tuple(_source(dictionary, measured, place, floor) for place in range(measured.top))
        ablations = 2 * (len(measured.features) + 1)
        return about(
            replay, claim, self.spec, decision, sources=sources, estimates=_estimates(measured, floor),
            cost=Cost(seconds=round(time.monotonic() - began, 3), forwards=1 + ablations, backwards=1), **common,
            detail=(
                f"{measured.top} of {measured.active} features active where the decision is predicted were ablated "
                f"after layer {dictionary.card.layer}, {len(measured.features) - measured.top} others as the control."
            ),
        )  # fmt: skip


def _find(question: Question, replay: Replay | None) -> Dictionary:
    """The dictionary of the model; ReplayRefused says why there is none and what to do."""
    if question.model is None or replay is None:
        raise ReplayRefused("weights_unavailable", "the models file has no weights for this model")
    cache = question.options.get("cache")
    path = question.model.dictionary or (dictionary_file(question.model, Path(cache)) if cache else None)
    if path is None:
        raise ReplayRefused("unsupported", "there is no dictionary for this model: run `auditor prepare`")
    try:
        dictionary = load(path)
    except BadSetup as fault:
        raise ReplayRefused("unsupported", str(fault)) from fault
    if dictionary.card.model_digest != replay.loaded.weights_digest:
        raise ReplayRefused("weights_changed", "the dictionary is of other weights: run `auditor prepare`")
    return dictionary


def _log_prob(logits: Tensor, ids: Tensor, decision: Decision) -> Tensor:
    """[N] log p of the decision tokens, summed, for logits [N, T, V]."""
    rows = torch.tensor(decision.positions, device=logits.device) - 1
    wanted = ids.to(logits.device)[rows + 1]
    return logits[:, rows].log_softmax(-1).gather(-1, wanted.expand(len(logits), -1)[..., None]).sum((1, 2))


def _fit_checks(dictionary: Dictionary, x: Tensor, decision: Decision) -> tuple[Check, ...]:
    """How well the dictionary reconstructs this call, and the rows that decide; first token left out."""
    rows = [p - 1 for p in decision.positions]
    trained = f"{dictionary.card.fvu:.3g} on held-out training tokens"
    return tuple(
        Check(name=name, passed=value <= WORST_FVU, value=value, bound=WORST_FVU, unit="1", note=trained)
        for name, value in (
            ("reconstruction_fvu", dictionary.fvu(x[1:])),
            ("reconstruction_fvu_at_decision", dictionary.fvu(x[rows])),
        )
    )


def _measure(
    replay: Replay, dictionary: Dictionary, ids: Tensor, x: Tensor, slope: Tensor, decision: Decision,
    chance: random.Random,
) -> Measured:  # fmt: skip
    f = dictionary.encode(x)  # [T, m]
    rows = torch.tensor([p - 1 for p in decision.positions])
    attributions = (f[rows] * (slope[rows] @ dictionary.w_dec.T)).sum(0)  # [m]
    active = (f[rows] > 0).any(0).nonzero().flatten().tolist()
    ranked = sorted(active, key=lambda i: (-abs(float(attributions[i])), i))
    top, rest = ranked[:TOP], ranked[TOP:]
    tested = [*top, *sorted(chance.sample(rest, min(CONTROLS, len(rest))))]
    here = torch.zeros(len(x), 1)
    here[rows] = 1
    everywhere = torch.ones(len(x), 1)
    everywhere[0] = 0  # the first token's vector is outside the dictionary
    deltas: list[Tensor] = []
    for where in (here, everywhere):
        deltas += [-where * f[:, [i]] * dictionary.w_dec[i] for i in tested]
        deltas.append(-where * (f[:, top] @ dictionary.w_dec[top]))
    effects = _effects(replay, dictionary.card.layer, ids, deltas, decision)
    size = len(tested) + 1
    return Measured(
        features=tuple(tested), activations=tuple(float(f[rows, i].max()) for i in tested),
        attributions=tuple(float(attributions[i]) for i in tested), here=tuple(effects[: size - 1]),
        everywhere=tuple(effects[size:-1]), joint_here=effects[size - 1], joint_everywhere=effects[-1], top=len(top),
        active=len(active),
    )  # fmt: skip


def _effects(
    replay: Replay, layer: int, ids: Tensor, deltas: Sequence[Tensor], decision: Decision
) -> list[float]:
    """log p(recorded) - log p(changed) for each change; every batch carries an unchanged row to compare with."""
    found: list[float] = []
    for start in range(0, len(deltas), ROWS):
        some = deltas[start : start + ROWS]
        stacked = torch.stack([torch.zeros_like(some[0]), *some]).to(replay.device)
        values = _log_prob(changed_logits(replay.model, layer, ids, stacked), ids, decision).double()
        found += (values[0] - values[1:]).tolist()
    return found


def _noise(value: float, floor: float) -> Interval:
    return Interval(
        low=value - floor, high=value + floor, level=0.95, method="replay noise floor", n=1,
        population="identical passes of this call in other batch shapes",
    )  # fmt: skip


def _source(dictionary: Dictionary, measured: Measured, place: int, floor: float) -> Source:
    feature, effect = measured.features[place], measured.here[place]
    controls = [abs(value) for value in measured.here[measured.top :]]
    description = dictionary.describe(feature)
    return Source(
        label=(description or f"feature {feature}")[:80], span=None, ref=f"feature:{feature}",
        effect=Estimate(name="ablation_here", value=effect, unit="nats", interval=_noise(effect, floor)),
        detail={
            "activation": measured.activations[place], "attribution": measured.attributions[place],
            "ablated_effect": effect, "ablated_everywhere": measured.everywhere[place], "description": description,
            "controls_at_least_as_strong": sum(value >= abs(effect) for value in controls), "controls": len(controls),
        },
    )  # fmt: skip


def _estimates(measured: Measured, floor: float) -> tuple[Estimate, ...]:
    joint = [
        Estimate(name=name, value=value, unit="nats", interval=_noise(value, floor), detail={"features": measured.top})
        for name, value in (
            ("joint_ablation_here", measured.joint_here), ("joint_ablation_everywhere", measured.joint_everywhere),
        )
    ]  # fmt: skip
    return (*joint, _control(measured.here[measured.top :]), _agreement(measured))


def _control(effects: Sequence[float]) -> Estimate:
    """Mean effect of ablating other active features, and the range they span."""
    if len(effects) < 2:
        return Estimate(name="control_ablation", value=None, unit="nats", reason="underpowered")
    values = torch.tensor(effects, dtype=torch.float64)
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(
        name="control_ablation", value=float(values.mean()), unit="nats",
        interval=Interval(
            low=low, high=high, level=0.95, method="range of the controls (quantiles)", n=len(effects),
            population="other active features of these rows, drawn at random, ablated one at a time",
        ),
    )  # fmt: skip


def _agreement(measured: Measured) -> Estimate:
    """Rank correlation of the cheap attribution with the exact ablation over all tested features."""
    name = "attribution_ablation_spearman"
    if len(set(measured.here)) < 3 or len(set(measured.attributions)) < 3:
        return Estimate(name=name, value=None, unit="1", reason="underpowered")
    value = float(spearmanr(measured.attributions, measured.here).statistic)
    return Estimate(name=name, value=value, unit="1", detail={"features": len(measured.features)})
