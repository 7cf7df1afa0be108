"""Weights that are cut up among processes, each of which holds a part (PyTorch's FSDP2).

What stands for such a weight is a `DTensor`. A tensor that is not cut passes every function as it
is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def cut_up(module: nn.Module, units: Sequence[nn.Module], size: int) -> nn.Module:
    """Cut the weights of a module up among processes, in place; gradients are added up and cut.

    Args:
        module: the same in every process.
        units: its parts whose weights are brought together for a pass through them; the others are
            together all through a pass of the module.
        size: how many processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(module.parameters()).device.type, (size,))
    for part in (*units, module):
        cut = fully_shard(part, mesh=mesh)
        cut.set_gradient_divide_factor(1.0)
        cut.set_force_sum_reduction_for_comms(True)  # gloo has no other
    return module


@contextlib.contextmanager
def with_common_weights(module: Any) -> Iterator[None]:
    """Give every process the weights that are in no unit of a module, within the block."""
    # else the first unit that is called would take itself for the whole
    module._get_fsdp_state()._lazy_init()
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


def own_rows(tensor: Tensor) -> slice | None:
    """Return which rows of a tensor this process holds; None where it is not cut."""
    if not _is_cut(tensor):
        return None
    share = -(-len(tensor) // tensor.device_mesh.size())
    first = min(tensor.device_mesh.get_local_rank() * share, len(tensor))
    rows = slice(first, min(first + share, len(tensor)))
    assert len(tensor.to_local()) == rows.stop - rows.start, "cut along the first dimension"
    return rows


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
