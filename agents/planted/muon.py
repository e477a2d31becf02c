"""Muon in single precision, for cores without fast bfloat16 (torch's own takes longer than the whole backward pass).

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks": Nesterov momentum, then the update
of each matrix is brought near to an orthogonal one by five Newton-Schulz steps.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch

COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
STEPS: Final = 5


class Muon(torch.optim.Optimizer):
    """For matrices only; `rate` is the spectral size of an update of a square matrix."""

    def __init__(self, matrices: Iterable[torch.Tensor], rate: float, *, momentum: float = 0.95, decay: float = 0.0):
        super().__init__(matrices, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                mean = self.state[matrix].setdefault("mean", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonal(matrix.grad.lerp(mean, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Near-orthogonal matrix [M, N] with the same singular vectors (singular values about .7 to 1.2)."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: torch.Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
