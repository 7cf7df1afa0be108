"""Parameters of a model, grouped as optimisers take them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from inklings.config import TrainingConfig
from inklings.models.contract import Architecture
from inklings.world import ALONE, World


@dataclass(frozen=True, eq=False)
class ParameterGroups:
    """The parameters that learn, and the settings they learn by."""

    model: Architecture
    training: TrainingConfig
    matrix_dtype: torch.dtype = torch.float32
    """The type in which products of whole matrices are fast and exact enough on this device."""
    world: World = ALONE
    """The processes that have the same gradients, and can share the work of a step."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that learn."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def matrices(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the hidden matrices, and all other parameters."""
        hidden = set(self.model.matrices())
        learning = self.parameters
        return [p for p in learning if p in hidden], [p for p in learning if p not in hidden]

    def by_decay(self, parameters: list[nn.Parameter]) -> list[dict[str, object]]:
        """Return a group that decays and one that does not; no group where there are no parameters.

        Only matrices decay, never vectors or embeddings (a head tied to an embedding included).
        """
        decay = self.training.weight_decay
        if not decay:
            return [{"params": parameters}] if parameters else []  # one group is one call a step
        modules = self.model.modules()
        embeddings = {module.weight for module in modules if isinstance(module, nn.Embedding)}
        decayed = [p for p in parameters if p.ndim >= 2 and p not in embeddings]
        others = [p for p in parameters if p.ndim < 2 or p in embeddings]
        groups: list[dict[str, object]] = [
            {"params": decayed, "weight_decay": decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]
