"""The named branches of a model: submodules that can be scaled or knocked out."""

from __future__ import annotations

from torch import nn


def modules_of(model: nn.Module, branch: str) -> list[nn.Module]:
    """Return all modules whose own name is `branch`."""
    return [
        module
        for name, module in model.named_modules()
        if name.rpartition(".")[2] == branch or name == branch
    ]
