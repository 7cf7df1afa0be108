"""The optimisers of one model behind one small interface: step, clip, save and load."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from inklings.config import TrainingConfig
from inklings.cut_tensors import own_part
from inklings.errors import RunError
from inklings.models.contract import Architecture
from inklings.optimizers import OPTIMIZERS
from inklings.training.optimizers.parameter_groups import ParameterGroups
from inklings.world import ALONE, World


class Optimizers:
    """All optimisers of a model; rates are given as a share of each group's peak."""

    def __init__(
        self,
        model: Architecture,
        training: TrainingConfig,
        *,
        muon_dtype: torch.dtype = torch.float32,
        world: World = ALONE,
    ) -> None:
        groups = ParameterGroups(model, training, muon_dtype, world)
        self._parameters = groups.parameters
        self._world = world
        self._names: dict[Tensor, str] = {
            parameter: name for name, parameter in model.named_parameters()
        }
        self.single: list[torch.optim.Optimizer] = list(OPTIMIZERS[training.optimizer].make(groups))
        self._groups = [
            (group, float(group["lr"]))
            for optimizer in self.single
            for group in optimizer.param_groups
        ]

    def step(self, rate: float) -> None:
        """Move the parameters along their gradients at `rate` times the peak rates.

        The gradients are dropped.
        """
        for group, peak in self._groups:
            group["lr"] = peak * rate
        for optimizer in self.single:
            optimizer.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Drop the gradients of all parameters."""
        for parameter in self._parameters:
            parameter.grad = None

    def gradient_norm(self) -> Float[Tensor, ""]:
        """Return the Euclidean norm of all gradients together."""
        norm = torch.nn.utils.get_total_norm(self._gradients())
        return self._world.total(norm.square()).sqrt() if self._world.sharded else norm

    def clip(self, limit: float, norm: Float[Tensor, ""]) -> None:
        """Scale the gradients, whose norm is `norm`, down to a norm of `limit` if it is larger."""
        if self._world.sharded:
            share = torch.clamp(limit / (norm + 1e-6), max=1.0)
            torch._foreach_mul_(self._gradients(), share)
        else:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, limit, norm)

    def _gradients(self) -> list[Tensor]:
        """Return the gradients that there are, of cut ones the part that is here."""
        return [own_part(p.grad) for p in self._parameters if p.grad is not None]

    def tensors(self) -> dict[str, Tensor]:
        """Return all state as tensors named `PARAMETER/KEY`.

        With the weights and the step it is all that a resumed run needs.
        """
        return {
            f"{self._names[parameter]}/{key}": value
            for optimizer in self.single
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def parameter_of(self, name: str) -> Tensor | None:
        """Return the parameter that saved state of this name belongs to, if there is one."""
        owner = name.rpartition("/")[0]
        return next((p for p, other in self._names.items() if other == owner), None)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load the state that `tensors` gave.

        Raises:
            RunError: it belongs to a model with other parameters.
        """
        parameters = {self._names[parameter]: parameter for parameter in self._parameters}
        owner = {
            p: optimizer
            for optimizer in self.single
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
            parameter = parameters[name]
            owner[parameter].state[parameter][key] = tensor.to(parameter.device).clone()


def tensors_below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, named without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
