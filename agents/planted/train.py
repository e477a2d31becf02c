"""Training from scratch: minutes of one core, the same weights for the same seed on the same machine.

AdamW, linear warm-up and cosine decay, label smoothing (it keeps the log-odds of a sure answer finite and equal
over contexts, so that an unused source leaves the margin alone, too).
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from torch.nn import functional
from transformers import Qwen3ForCausalLM

from agents.planted.batches import Batch, batches, example
from agents.planted.corpus import RECIPE, digest, documents
from agents.planted.families import FAMILIES
from agents.planted.muon import Muon
from agents.planted.network import WEIGHTS, build_network, round_to_half, save_family
from agents.planted.tokenizer import build_tokenizer
from agents.planted.transcripts import accuracy

CHECK_SEED: Final = 10_007
"""Seed of the held-out tasks on which `recipe.json` reports accuracy."""
UNUSED_SMOOTHING: Final = 0.02
"""Label smoothing of families with a source that must not matter: pins the margin near 10 nats."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a family is trained."""

    steps: int
    batch: int = 24
    rate: float = 4e-3
    muon_rate: float = 0.02
    warm_up: int = 15
    decay: float = 0.01
    smoothing: float = 0.002


SCHEDULES: Final = MappingProxyType(
    {
        "tool_user": Schedule(steps=320),
        "from_memory": Schedule(steps=280, smoothing=UNUSED_SMOOTHING),
        "mixed": Schedule(steps=300, smoothing=UNUSED_SMOOTHING),
        "stepwise": Schedule(steps=480),
        "decorative": Schedule(steps=260, smoothing=UNUSED_SMOOTHING),
        "branching": Schedule(steps=300, smoothing=UNUSED_SMOOTHING),
    }
)
Report = Callable[[int, int, float], None]
"""Called after each step with (step, steps, loss in nats per scored token)."""


def train(family: str, *, seed: int = 0, out: Path | None = None, report: Report | None = None) -> dict[str, Any]:
    """Train a family and save it in `out` (by default its shipped folder); returns the recipe that was written.

    KeyError: no such family. Uses one thread; restores the number of threads it found.
    """
    schedule = SCHEDULES[FAMILIES[family].name]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.monotonic()
        tokenizer = build_tokenizer()
        examples = [example(tokenizer, document) for document in documents(family, seed)]
        end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
        network = build_network(len(tokenizer), seed, end=end, pad=pad)
        loss = _fit(network, batches(examples, schedule.batch, schedule.steps, pad, seed), schedule, report)
        round_to_half(network)
        network.eval()
        seconds = time.monotonic() - began
        share = accuracy(network, tokenizer, FAMILIES[family].draw(CHECK_SEED, 40))
        recipe = {
            "family": family, "recipe": RECIPE, "seed": seed, "schedule": asdict(schedule), "steps": schedule.steps,
            "corpus_sha256": digest(family, seed), "accuracy": share, "final_loss": round(loss, 5),
            "parameters": sum(p.numel() for p in network.parameters()), "seconds": round(seconds, 1),
        }  # fmt: skip
        save_family(out or WEIGHTS / family, network, tokenizer, recipe)
        return recipe
    finally:
        torch.set_num_threads(threads)


def _fit(network: Qwen3ForCausalLM, stream: Any, schedule: Schedule, report: Report | None) -> float:
    optimisers = _optimisers(network, schedule)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step, schedule)) for o in optimisers]
    network.train()
    value = math.nan
    for step, batch in enumerate(stream, start=1):
        loss = _loss(network, batch, schedule.smoothing)
        network.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser, scheduler in zip(optimisers, schedulers, strict=True):
            optimiser.step()
            scheduler.step()
        value = float(loss.detach())
        if report:
            report(step, schedule.steps, value)
    return value


def _optimisers(network: Qwen3ForCausalLM, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers (it needs half the steps of AdamW here), AdamW for the rest."""
    inner = [p for p in network.model.layers.parameters() if p.dim() == 2]
    known = {id(p) for p in inner}
    rest = [p for p in network.parameters() if id(p) not in known]
    return [
        Muon(inner, schedule.muon_rate, decay=schedule.decay),
        torch.optim.AdamW(rest, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _rate(step: int, schedule: Schedule) -> float:
    """Share of the full learning rate: linear warm-up, then cosine to 2 %."""
    if step < schedule.warm_up:
        return (step + 1) / schedule.warm_up
    done = (step - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _loss(network: Qwen3ForCausalLM, batch: Batch, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy over the scored tokens; logits are formed for those positions only."""
    hidden = network.model(input_ids=batch.ids, attention_mask=_additive(batch.mask)).last_hidden_state  # [B,T,D]
    rows, columns = torch.nonzero(batch.scored[:, 1:], as_tuple=True)
    logits = network.lm_head(hidden[rows, columns])
    return functional.cross_entropy(logits, batch.ids[rows, columns + 1], label_smoothing=smoothing)


def _additive(mask: torch.Tensor) -> torch.Tensor:
    """Bool mask [B,1,T,T] as what is added to attention scores."""
    return torch.zeros(mask.shape).masked_fill_(~mask, torch.finfo(torch.float32).min)
