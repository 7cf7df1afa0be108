"""The optimisers of one model behind one small interface.

Step, clip, and a flat dictionary of tensors to save.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inklings.config import TrainingConfig
from inklings.errors import RunError
from inklings.models.contract import SequenceModel
from inklings.training.muon import Muon


class Optimizers:
    """What moves the parameters of a model.

    `muon` gives the hidden matrices to Muon and the rest to AdamW.

    Weight decay falls on matrices only, never on vectors or embeddings (a head tied to an embedding
    included); AdamW and Muon decay decoupled from the gradient, SGD as L2 (the same thing without
    momentum). Rates are given as a share of each group's peak.
    """

    def __init__(
        self,
        model: SequenceModel,
        training: TrainingConfig,
        *,
        muon_dtype: torch.dtype = torch.float32,
    ) -> None:
        self._parameters = [
            parameter for parameter in model.parameters() if parameter.requires_grad
        ]
        self._names: dict[Tensor, str] = {
            parameter: name for name, parameter in model.named_parameters()
        }
        self._single: list[torch.optim.Optimizer] = []
        rest = self._parameters
        if training.optimizer == "muon":
            matrices = set(model.matrices())
            taken = [p for p in rest if p in matrices]
            rest = [p for p in rest if p not in matrices]
            if taken:
                muon = Muon(
                    taken,
                    lr=training.matrix_learning_rate,
                    weight_decay=training.weight_decay,
                    dtype=muon_dtype,
                )
                self._single.append(muon)
        groups = _decay_groups(model, rest, training.weight_decay)
        if groups and training.optimizer == "sgd":
            self._single.append(
                torch.optim.SGD(
                    groups, lr=training.learning_rate, momentum=training.momentum, fused=True
                )
            )
        elif groups:
            self._single.append(
                torch.optim.AdamW(
                    groups,
                    lr=training.learning_rate,
                    betas=training.betas,
                    weight_decay=0.0,
                    fused=True,
                )
            )
        self._groups = [
            (group, float(group["lr"]))
            for optimizer in self._single
            for group in optimizer.param_groups
        ]

    def step(self, rate: float) -> None:
        """Move the parameters along their gradients, at `rate` times the peak rates.

        And drop the gradients.
        """
        for group, peak in self._groups:
            group["lr"] = peak * rate
        for optimizer in self._single:
            optimizer.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def gradient_norm(self) -> Float[Tensor, ""]:
        """The Euclidean norm of all gradients together."""
        return torch.nn.utils.get_total_norm(
            [p.grad for p in self._parameters if p.grad is not None]
        )

    def clip(self, limit: float, norm: Float[Tensor, ""]) -> None:
        """Scale the gradients, whose norm is `norm`, down to a norm of `limit` if it is larger."""
        torch.nn.utils.clip_grads_with_norm_(self._parameters, limit, norm)

    def tensors(self) -> dict[str, Tensor]:
        """All state, named `PARAMETER/KEY`.

        With the weights and the step it is all that a resumed run needs.
        """
        return {
            f"{self._names[parameter]}/{key}": value
            for optimizer in self._single
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up state that `tensors` gave.

        Raises:
            RunError: it belongs to a model with other parameters.
        """
        parameters = {self._names[parameter]: parameter for parameter in self._parameters}
        owner = {
            p: optimizer
            for optimizer in self._single
            for group in optimizer.param_groups
            for p in group["params"]
        }
        for full_name, tensor in tensors.items():
            name, _, key = full_name.rpartition("/")
            if name not in parameters or (tensor.ndim and tensor.shape != parameters[name].shape):
                raise RunError(
                    f"the saved optimiser state has {full_name!r}, which this model lacks: it"
                    " belongs to another architecture."
                )
            # `step` of a fused optimiser must lie beside its parameter, like the moments
            owner[parameters[name]].state[parameters[name]][key] = tensor.to(
                parameters[name].device
            ).clone()


def _decay_groups(
    model: nn.Module, parameters: list[nn.Parameter], weight_decay: float
) -> list[dict[str, object]]:
    if not weight_decay:
        return [{"params": parameters}] if parameters else []  # one group is one call a step
    embeddings = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    decayed = [p for p in parameters if p.ndim >= 2 and p not in embeddings]
    others = [p for p in parameters if p.ndim < 2 or p in embeddings]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def tensors_below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with the prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
