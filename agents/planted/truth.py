"""Measured truth: exhaustive tables of what each value of a source would have done to the decision.

For one link (source → target) of a recorded run, the source's value is replaced by *every* value of its type, all
else frozen, and the exact change of log p(decision tokens) is taken (protocol: used when the mean absolute effect
is at least .5 nats or the decision flips for at least 30 % of the values; unused when at most .02 nats and 1 %,
and the same bound holds when the source is hidden from attention or deleted; grey in between).

The selector of a tree of thoughts is a function, so its table is every permutation of the scores: no model needed.
Effects are log p(recorded) - log p(changed), in nats, summed over the decision tokens.
"""

import copy
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from transformers import Qwen3ForCausalLM

from agents.planted.families import Task
from agents.planted.network import WEIGHTS, load_family
from agents.planted.sites import Site, Stretch, links, site
from agents.planted.tokenizer import encode
from agents.planted.transcripts import Transcript, transcribe

Truth = Literal["used", "unused", "grey"]
USED_NATS: Final = 0.5
USED_FLIP: Final = 0.3
UNUSED_NATS: Final = 0.02
UNUSED_FLIP: Final = 0.01
CHUNK: Final = 100
"""Rows per pass: more do not fit a core's cache."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """The measured truth about one link of one run.

    `effect_nats`: mean |effect| over the table; `largest_nats`: its maximum; `flip`: share of the values that
    change the greedy decision; `margin_nats`: largest change of the decision's margin (log-odds against the
    strongest alternative, at its weakest token) and `margin` the recorded one; `hidden_nats`, `deleted_nats`:
    effects of attention-masking and of deleting the value or its whole text, whichever is larger in size.
    Where no model is involved (score → choice) the nats are None.
    """

    family: str
    item: str
    source: str
    target: str
    truth: Truth
    value: str
    effect_nats: float | None
    flip: float
    table_digest: str
    rows: int
    largest_nats: float | None = None
    margin: float | None = None
    margin_nats: float | None = None
    hidden_nats: float | None = None
    deleted_nats: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """Per row: log p of the decision [A], its margin [A], and whether the greedy decision stays [A]."""

    log_p: torch.Tensor
    margin: torch.Tensor
    stays: torch.Tensor


def label(
    family: str,
    tasks: Sequence[Task],
    weights_dir: Path | None = None,
    transcripts: Sequence[Transcript] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Label]:
    """Labels of every link of every task; greedy transcripts are made where none are given.

    Single-threaded. `report` is called with (tasks done, tasks). FileNotFoundError: the family is not trained.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network, tokenizer = load_family(weights_dir or WEIGHTS / family)
        labels: list[Label] = []
        for number, task in enumerate(tasks):
            run = transcripts[number] if transcripts is not None else transcribe(task, network, tokenizer)
            labels.extend(_link(run, source, target, network, tokenizer) for source, target in links(task))
            if report:
                report(number + 1, len(tasks))
        return labels
    finally:
        torch.set_num_threads(threads)


def _link(run: Transcript, source: str, target: str, network: Qwen3ForCausalLM, tokenizer: Any) -> Label:
    if source == "score":
        return _selector(run)
    found = site(run, source, target, tokenizer)
    with torch.inference_mode():
        return _measure(run.task, source, target, found, network, tokenizer)


def _measure(
    task: Task, source: str, target: str, found: Site, network: Qwen3ForCausalLM, tokenizer: Any
) -> Label:
    rendered = encode(tokenizer, found.text)
    value, decision = rendered.tokens(*found.value), rendered.tokens(*found.target)
    ids = torch.tensor(rendered.ids[: decision.stop])
    rows = torch.tensor([encode(tokenizer, other).ids for other in (found.recorded, *found.values)])
    outcome = _swapped(network, ids, value, rows, decision)
    effects = (outcome.log_p[0] - outcome.log_p[1:]).tolist()
    mean = sum(map(abs, effects)) / len(effects)
    flip = 1.0 - outcome.stays[1:].float().mean().item()
    base = outcome.log_p[0].item()
    hidden = [base - _hidden(network, ids, rendered.tokens(*s), decision) for s in (found.value, found.whole)]
    deleted = [base - _deleted(network, tokenizer, found, s) for s in (found.value, found.whole)]
    hidden_worst, deleted_worst = max(hidden, key=abs), max(deleted, key=abs)
    table = [[other, round(effect, 3) + 0.0] for other, effect in zip(found.values, effects, strict=True)]
    return Label(
        family=task.family, item=task.item, source=source, target=target, value=found.recorded,
        truth=_truth(mean, flip, (hidden_worst, deleted_worst)), effect_nats=mean, flip=flip,
        table_digest=_digest(table), rows=len(table), largest_nats=max(map(abs, effects)),
        margin=outcome.margin[0].item(), margin_nats=(outcome.margin[1:] - outcome.margin[0]).abs().max().item(),
        hidden_nats=hidden_worst, deleted_nats=deleted_worst,
    )  # fmt: skip


def _truth(mean: float, flip: float, necessity: Sequence[float]) -> Truth:
    if mean >= USED_NATS or flip >= USED_FLIP:
        return "used"
    quiet = mean <= UNUSED_NATS and flip <= UNUSED_FLIP
    return "unused" if quiet and all(abs(effect) <= UNUSED_NATS for effect in necessity) else "grey"


def _swapped(
    network: Qwen3ForCausalLM, ids: torch.Tensor, value: range, rows: torch.Tensor, decision: range
) -> _Outcome:
    """All rows at once: `ids` [T] up to the decision's end, `rows` [A, len(value)] token ids for the value.

    The prefix before the value is computed once.
    """
    prefix = network.model(input_ids=ids[None, : value.start], use_cache=True).past_key_values
    first = decision.start - 1 - value.start
    logits = []
    for some in torch.split(rows, CHUNK):
        cache = copy.deepcopy(prefix)
        cache.batch_repeat_interleave(len(some))
        suffix = torch.cat([some, ids[value.stop : -1].expand(len(some), -1)], dim=1)
        hidden = network.model(input_ids=suffix, past_key_values=cache).last_hidden_state
        logits.append(network.lm_head(hidden[:, first : first + len(decision)]))
    return _outcome(torch.cat(logits), ids[decision.start : decision.stop])


def _outcome(logits: torch.Tensor, wanted: torch.Tensor) -> _Outcome:
    """`logits` [A, Y, V], `wanted` [Y]."""
    index = wanted[None, :, None].expand(len(logits), -1, 1)
    log_p = logits.log_softmax(-1).gather(-1, index).squeeze(-1)
    own = logits.gather(-1, index).squeeze(-1)
    rival = logits.scatter(-1, index, -torch.inf).amax(-1)
    margin = (own - rival).amin(-1)
    return _Outcome(log_p=log_p.sum(-1), margin=margin, stays=margin > 0)


def _hidden(network: Qwen3ForCausalLM, ids: torch.Tensor, span: range, decision: range) -> float:
    """log p of the decision with the span's keys hidden from every token after it; positions stay."""
    seen = torch.ones((len(ids), len(ids)), dtype=torch.bool).tril()
    seen[span.stop :, span.start : span.stop] = False
    mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)[None, None]
    hidden = network.model(input_ids=ids[None], attention_mask=mask).last_hidden_state
    logits = network.lm_head(hidden[:, decision.start - 1 : decision.stop - 1])
    return _outcome(logits, ids[decision.start : decision.stop]).log_p.item()


def _deleted(network: Qwen3ForCausalLM, tokenizer: Any, found: Site, stretch: Stretch) -> float:
    """log p of the decision after cutting a stretch out of the text (positions shift)."""
    start, end = stretch
    gone = end - start
    rendered = encode(tokenizer, found.text[:start] + found.text[end:])
    decision = rendered.tokens(found.target[0] - gone, found.target[1] - gone)
    ids = torch.tensor(rendered.ids[: decision.stop])
    hidden = network.model(input_ids=ids[None]).last_hidden_state
    logits = network.lm_head(hidden[:, decision.start - 1 : decision.stop - 1])
    return _outcome(logits, ids[decision.start : decision.stop]).log_p.item()


def _selector(run: Transcript) -> Label:
    """Every other order of the recorded scores: does the arg max choose another option?"""
    k = run.task.branches
    scores = [int(str(call.output["content"]).removeprefix("Score: ")) for call in run.calls[k : 2 * k]]
    chosen = scores.index(max(scores))
    others = [order for order in itertools.permutations(scores) if list(order) != scores]
    moved = [order.index(max(order)) != chosen for order in others]
    flip = sum(moved) / len(moved) if moved else 0.0
    return Label(
        family=run.task.family, item=run.task.item, source="score", target="choice", effect_nats=None, flip=flip,
        truth=_truth(0.0, flip, ()), value=",".join(map(str, scores)), rows=len(others),
        table_digest=_digest([[list(order), int(move)] for order, move in zip(others, moved, strict=True)]),
    )  # fmt: skip


def _digest(table: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()
