"""Muon: momentum whose step is made orthogonal, for hidden weight matrices (Jordan et al. 2024).

`torch.optim.Muon` does the same one matrix at a time in bfloat16. Small models have many equal
small matrices, where that is 1.5 to 6 times slower than one batched product (`benchmarks/muon.py`),
and without bfloat16 units slower still.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inklings.cut_tensors import as_cut, cut_like, own_part, whole
from inklings.optimizers import OptimizerKind, PeakRate
from inklings.training.optimizers import adamw
from inklings.training.optimizers.parameter_groups import ParameterGroups
from inklings.world import ALONE, World

# Coefficients of the quintic iteration (Jordan 2024): steepest at zero, singular values end near 1,
# within about 0.3.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 4
"""Five are usual after a division by the Frobenius norm; the closer bound on the largest singular
value below makes up for one.
"""
_TOGETHER = 2**22
"""Most numbers of matrices that are brought together at a time, where they are cut up (16 MiB)."""


def orthogonalized(matrices: Float[Tensor, "N R C"], dtype: torch.dtype) -> Float[Tensor, "N R C"]:
    """Return each matrix with its singular values brought close to 1, by Newton-Schulz iterations.

    They run in `dtype`; R <= C is cheapest.

    The first iteration has the square of the Gram matrix at hand. The fourth root of its norm is
    the 8-norm of the singular values, no less than the largest of them and up to R^(3/8) times
    closer to it than the Frobenius norm is: so the values start larger.
    """
    x: Tensor = (matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).to(dtype)
    gram = x @ x.mT
    square = gram @ gram
    scale = square.float().norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12) ** -0.25
    x = (scale * x).to(dtype)
    x = torch.baddbmm(x, (_B * scale**2 * gram + _C * scale**4 * square).to(dtype), x, beta=_A)
    for _ in range(_ITERATIONS - 1):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    Updates have Jordan's scale sqrt(max(1, rows / columns)).

    Matrices of equal shape, transposed ones included, are orthogonalised in one batch, which
    processes with the same gradients share out among them.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
        world: World = ALONE,
    ) -> None:
        matrices = list(parameters)
        assert all(matrix.ndim == 2 for matrix in matrices), "Muon takes matrices only"
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype
        self._world = world

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # nothing here returns a loss
        """Move every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            if matrices:
                self._move(matrices, group)

    def _move(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [own_part(p.grad) for p in matrices if p.grad is not None]
        for p in matrices:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        averages = [own_part(self.state[p]["momentum_buffer"]) for p in matrices]
        owned = [own_part(p) for p in matrices]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
        if group["weight_decay"]:
            torch._foreach_mul_(owned, 1 - group["lr"] * group["weight_decay"])
        batches: dict[tuple[int, int], list[int]] = {}
        for index, p in enumerate(matrices):
            rows, columns = p.shape
            batches.setdefault((min(rows, columns), max(rows, columns)), []).append(index)
        for indices in self._pieces(batches.values(), matrices):
            # a matrix is made orthogonal as a whole
            steps = {i: whole(as_cut(ahead[i], matrices[i])) for i in indices}
            tall = [matrices[i].shape[0] > matrices[i].shape[1] for i in indices]
            wide = torch.stack(
                [
                    steps[i].mT if turned else steps[i]
                    for i, turned in zip(indices, tall, strict=True)
                ]
            )
            moves = self._world.mapped(wide, lambda rows: orthogonalized(rows, self._dtype))
            for i, turned, move in zip(indices, tall, moves.unbind(), strict=True):
                rows, columns = matrices[i].shape
                scale = math.sqrt(max(1.0, rows / columns))
                step = own_part(cut_like(move.mT if turned else move, matrices[i]))
                owned[i].add_(step, alpha=-group["lr"] * scale)

    def _pieces(self, batches: Iterable[list[int]], matrices: list[Tensor]) -> Iterator[list[int]]:
        """Yield the matrices that are whole at the same time: all of a shape, or some if cut up."""
        for indices in batches:
            count = len(indices)
            if self._world.sharded:
                count = max(self._world.size, _TOGETHER // matrices[indices[0]].numel())
            for first in range(0, len(indices), count):
                yield indices[first : first + count]


def make_muon(groups: ParameterGroups) -> list[torch.optim.Optimizer]:
    """Make Muon for the hidden matrices, and AdamW for the rest."""
    matrices, others = groups.matrices()
    training = groups.training
    muon: list[torch.optim.Optimizer] = []
    if matrices:
        rate, decay = training.matrix_learning_rate, training.weight_decay
        muon = [
            Muon(
                matrices,
                lr=rate,
                weight_decay=decay,
                dtype=groups.matrix_dtype,
                world=groups.world,
            )
        ]
    return [*muon, *adamw.make_adamw(groups, others)]


MUON = OptimizerKind(
    name="muon",
    about="Muon for the hidden matrices, AdamW for the rest",
    rates=(adamw.RATE, PeakRate(setting="matrix_learning_rate", whose="Muon", default=0.03)),
    uses=("betas",),
    state_bytes=8,
    make=make_muon,
)
