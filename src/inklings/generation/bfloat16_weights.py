"""A model for decoding whose linear maps read their weights in bfloat16: half the memory traffic, which is what a token costs."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from jaxtyping import BFloat16, Float
from torch import Tensor, nn

from inklings.models.contract import SequenceModel


class Bfloat16Linear(nn.Module):
    """A linear map with weights, products and inputs in bfloat16, and sums and outputs of the type of its input."""

    weight: BFloat16[Tensor, "O I"]
    bias: BFloat16[Tensor, " O"] | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().to(torch.bfloat16))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().to(torch.bfloat16))

    def forward(self, x: Float[Tensor, "*N I"]) -> Float[Tensor, "*N O"]:
        """As `nn.Linear`."""
        return F.linear(x.to(torch.bfloat16), self.weight, self.bias).to(x.dtype)


def with_bfloat16_weights(model: SequenceModel) -> SequenceModel:
    """A model like `model`, for inference; everything but the weights of `nn.Linear` modules is shared with it."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    made = copy.deepcopy(model, shared)
    for module in list(made.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:  # a subclass may compute something else
                setattr(module, name, Bfloat16Linear(child).train(child.training))
    return made
