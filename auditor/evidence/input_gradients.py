"""Gradients of a decision's log-probability with respect to the input embeddings.

Gradients are linear: the gradient of the sum over the decision tokens is the sum of their gradients, so that one
vector-Jacobian product serves a whole target. Shapes: B sequences, T tokens, D width, R decision tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch

from auditor.evidence.replay import Decision


def embeddings(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """[T, D] input embeddings of ids [T]."""
    found: torch.Tensor = model.get_input_embeddings()(ids)
    return found.detach()


def mean_embedding(model: Any) -> torch.Tensor:
    """[D] mean of the embedding table: inside the data, unlike zero, which RMS norms cannot scale."""
    table: torch.Tensor = model.get_input_embeddings().weight
    return table.detach().mean(0)


def decision_log_prob(model: Any, inputs: torch.Tensor, decision: Decision) -> torch.Tensor:
    """[B] log p(decision) summed over its tokens, from embeddings [B, T, D] of at least all tokens before its last."""
    rows = torch.tensor([p - 1 for p in decision.positions], device=inputs.device)
    length = decision.positions[-1]
    out = model(inputs_embeds=inputs[:, :length], use_cache=False, logits_to_keep=rows)
    logits = out.logits if out.logits.dtype == torch.float64 else out.logits.float()
    own = torch.tensor(decision.ids, device=inputs.device).expand(len(inputs), -1)
    found: torch.Tensor = logits.log_softmax(-1).gather(-1, own.unsqueeze(-1)).squeeze(-1).sum(-1)
    return found


def gradients(model: Any, ids: torch.Tensor, decisions: Sequence[Decision]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Embeddings [T, D] and, for each decision, the gradient [T, D] of its log-probability.

    One forward, one vjp each.
    """
    inputs = embeddings(model, ids)[None].requires_grad_(True)
    length = max(decision.positions[-1] for decision in decisions)
    with torch.enable_grad():
        hidden = model(inputs_embeds=inputs[:, :length], use_cache=False)
        logits = hidden.logits[0] if hidden.logits.dtype == torch.float64 else hidden.logits[0].float()
        found = []
        for number, decision in enumerate(decisions):
            rows = logits[[p - 1 for p in decision.positions]].log_softmax(-1)
            own = torch.tensor(decision.ids, device=ids.device)
            total = rows.gather(-1, own[:, None]).sum()
            last = number + 1 == len(decisions)
            (gradient,) = torch.autograd.grad(total, inputs, retain_graph=not last)
            found.append(gradient[0].detach())
    return inputs[0].detach(), found


def path_gradients(
    model: Any, inputs: torch.Tensor, baseline: torch.Tensor, decision: Decision, nodes: Sequence[float], batch: int
) -> torch.Tensor:
    """[N, T, D] gradients at baseline + node * (inputs - baseline) for N nodes; inputs and baseline are [T, D]."""
    found = []
    where = torch.tensor(nodes, dtype=inputs.dtype, device=inputs.device)
    for some in torch.split(where, batch):
        points = (baseline + some[:, None, None] * (inputs - baseline)).detach().requires_grad_(True)
        with torch.enable_grad():
            total = decision_log_prob(model, points, decision).sum()
            (gradient,) = torch.autograd.grad(total, points)
        found.append(gradient.detach())
    return torch.cat(found)
