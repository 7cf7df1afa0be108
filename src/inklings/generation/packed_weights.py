"""A model for decoding whose weights are packed as the processor reads them fastest.

They are packed in float32 or in bfloat16. A token costs one pass over the weights. PyTorch's matrix
products on a CPU arrange a plain weight anew at every call; its compiler has them arranged once
(`mkldnn` operators, oneDNN), and so do we. In bfloat16 there is also half as much to read.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inklings.device import Precision, onednn_has_bfloat16
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Remembering

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class PackedLinear(nn.Module):
    """A linear map for inference on a CPU: products in its own precision.

    Inputs and outputs have the precision of the input. `weight` and `bias` are those of the map
    that it replaces: an architecture may look at them, or share them.
    """

    def __init__(self, linear: nn.Linear, precision: Precision, rows: int) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.dtype = DTYPES[precision]
        # neither parameters nor buffers: an arranged weight has no numbers to look at
        self.packed = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach().to(self.dtype), rows
        )
        self.packed_bias = None if linear.bias is None else linear.bias.detach().to(self.dtype)

    def forward(self, x: Float[Tensor, "*N I"]) -> Float[Tensor, "*N O"]:
        """Compute what `nn.Linear` computes."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.dtype), self.packed, self.packed_bias, "none", [], ""
        )
        return out.to(x.dtype)


def can_pack(precision: Precision) -> bool:
    """Return whether this build of PyTorch, on this processor, arranges weights in a precision."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")):
        return False
    return precision != "bfloat16" or onednn_has_bfloat16()


def with_packed_weights(
    model: SequenceModel, precision: Precision, *, rows: int = 1
) -> SequenceModel:
    """Return a copy of a model for inference on a CPU; all but its linear maps is shared.

    Args:
        model: stays as it is.
        precision: of the packed weights.
        rows: about how many texts are written side by side.
    """
    shared: dict[int, object] = {
        id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())
    }
    if isinstance(model, Remembering):  # may be larger than the model, and live on a server
        shared[id(model.long_term)] = model.long_term
    made = copy.deepcopy(model, shared)
    for module in list(made.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:  # a subclass may compute something else
                setattr(module, name, PackedLinear(child, precision, rows).train(child.training))
    return made
