"""Any module that maps tokens (B, T) to logits (B, T, V), on our contract."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from inklings.errors import ArchitectureError
from inklings.models.adapters.rereading import RereadingModel
from inklings.models.contract import ModelConfig

CONTEXT_LENGTH = 256
"""Where the module does not declare its own `context_length`."""


class PlainModule(RereadingModel):
    """A module of somebody else, which declares `vocab_size` and may declare `context_length`."""

    def __init__(self, module: nn.Module, *, boundary_token: int = 0) -> None:
        config = ModelConfig(
            vocab_size=int(_declared(module, "vocab_size")),
            boundary_token=boundary_token,
            context_length=int(getattr(module, "context_length", CONTEXT_LENGTH)),
        )
        super().__init__(config)
        self.module = module

    def read(
        self, tokens: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T C"]]:
        """Return the module's logits; they stand for what the head reads as well."""
        logits = self.module(tokens)
        if not isinstance(logits, Tensor) or logits.ndim != 3:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ArchitectureError(
                f"{type(self.module).__name__} gives {given} for tokens of shape"
                f" {tuple(tokens.shape)}; it must give logits (B, T, V)."
            )
        return logits, logits


def _declared(module: nn.Module, name: str) -> Any:
    value = getattr(module, name, None)
    if not isinstance(value, int):
        raise ArchitectureError(
            f"{type(module).__name__} does not say its `{name}`. Give it that attribute, a whole"
            " number, or make it a SequenceModel."
        )
    return value
