"""Weights that are cut up among processes, each of which holds a part (PyTorch's FSDP2).

What stands for such a weight is a `DTensor`. A tensor that is not cut passes every function as it
is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def cut_up(module: nn.Module, size: int) -> nn.Module:
    """Cut the weights of a module up among processes, in place; gradients are added up and cut.

    The module is one unit: in a pass, every process has all of its weights.

    Args:
        module: the same in every process.
        size: how many processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = next(module.parameters()).device.type
    cut = fully_shard(module, mesh=init_device_mesh(device, (size,)))
    cut.set_gradient_divide_factor(1.0)
    cut.set_force_sum_reduction_for_comms(True)  # gloo has no other
    return module


@contextlib.contextmanager
def unsynced(module: Any) -> Iterator[None]:
    """Keep the gradients of a module that was cut up in this process, within the block."""
    module.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        module.set_requires_gradient_sync(True)


@contextlib.contextmanager
def gathered_weights(module: Any) -> Iterator[None]:
    """Give every process all weights of a module that was cut up, within the block."""
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def own_part(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, to be changed in place."""
    return tensor.to_local() if _is_cut(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor; every process that holds a part asks for it."""
    return tensor.full_tensor() if _is_cut(tensor) else tensor


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights and buffers of a model as its `state_dict`, whole; tied ones stay tied."""
    found: dict[int, Tensor] = {}
    state = model.state_dict(keep_vars=True)
    for tensor in state.values():
        if id(tensor) not in found:
            found[id(tensor)] = whole(tensor.detach())
    return {name: found[id(tensor)] for name, tensor in state.items()}


def as_cut(part: Tensor, other: Tensor) -> Tensor:
    """Return a tensor of which this is a process's part, cut up as another of its shape is."""
    if not _is_cut(other):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part, other.device_mesh, other.placements, shape=other.shape, stride=other.stride()
    )


def cut_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor, the same in every process, cut up as another of its shape is."""
    if not _is_cut(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


def _is_cut(tensor: Tensor) -> TypeGuard[DTensor]:
    if type(tensor) in (Tensor, nn.Parameter):
        return False  # without the import, which takes more than half a second
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)
