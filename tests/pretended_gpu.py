"""A GPU that is pretended: tensors say that they lie on one, and are computed by the CPU.

What a real one refuses, this refuses too: tensors of two devices in one operation, `numpy()`, a
generator of another device. So code can be seen to work on a GPU where there is none; how fast, or
to which bits, cannot.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from inklings import config, device


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend("pretended", backend_module=_Backend())
GPU = torch.device("pretended", 0)
aten = torch.ops.aten
BETWEEN_DEVICES = (aten._to_copy.default, aten.copy_.default)
CPU_PLACES = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default)
"""A GPU's tensors may be indexed by places that lie on the host."""


class Pretended(Tensor):
    """A tensor of the CPU that says it lies on a GPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        made: Pretended = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=GPU,
            requires_grad=False,
        )
        made.held = inner
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Pretended({self.held!r})"

    def data_ptr(self) -> int:
        return self.held.data_ptr()  # by which weights that are tied are known

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:  # torch copies the memory that it names
        if id(self) not in memo:
            copied = Pretended(self.held.detach().clone())
            weight = isinstance(self, nn.Parameter)
            memo[id(self)] = nn.Parameter(copied, self.requires_grad) if weight else copied
        return memo[id(self)]

    def tolist(self) -> Any:  # torch has none for classes of tensors
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(func, args, dict(kwargs or {}))


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result of an operation, as a GPU would give it."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    here = any(isinstance(tensor, Pretended) for tensor in tensors)
    asked = kwargs.get("device")
    there = here if asked is None else torch.device(asked) == GPU
    if func is aten._fused_sdp_choice.default and here:
        return 0  # the plain way, whose operations every device has
    if here and func not in BETWEEN_DEVICES:
        strangers = [t for t in tensors if not isinstance(t, Pretended) and t.ndim]
        if strangers and func not in CPU_PLACES:
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {func} was given tensors of {GPU}"
                f" and of {strangers[0].device}"
            )
    generator = kwargs.get("generator")
    if there and generator is not None and generator.device.type == "cpu":
        raise RuntimeError(f"Expected a {GPU} device type for generator but found cpu")
    if asked is not None:
        kwargs["device"] = torch.device("cpu")
    kwargs.pop("pin_memory", None)
    plain = tree_map(_inner, (args, kwargs))
    found = func(*plain[0], **plain[1])
    if func is aten._to_copy.default and found is _inner(args[0]):
        found = found.clone()
    if func is aten.copy_.default:
        there = isinstance(args[0], Pretended)
    if not there:
        return found
    made = tree_map(_pretended, found)
    return return_and_correct_aliasing(func, args, kwargs, made) if here else made


def _inner(value: Any) -> Any:
    return value.held if isinstance(value, Pretended) else value


def _pretended(value: Any) -> Any:
    return Pretended(value) if isinstance(value, Tensor) else value


class _OnGPU(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(func, args, dict(kwargs or {}))


def _lstm_cell(x: Tensor, past: Sequence[Tensor], wi: Tensor, wh: Tensor, *biases: Tensor) -> Any:
    hidden, cell = past
    sums = F.linear(x, wi, biases[0] if biases else None)
    sums = sums + F.linear(hidden, wh, biases[1] if biases else None)
    take, keep, new, show = sums.chunk(4, 1)
    cell = keep.sigmoid() * cell + take.sigmoid() * new.tanh()
    return show.sigmoid() * cell.tanh(), cell


def _gru_cell(x: Tensor, hidden: Tensor, wi: Tensor, wh: Tensor, *biases: Tensor) -> Tensor:
    reset, update, new = F.linear(x, wi, biases[0] if biases else None).chunk(3, 1)
    past = F.linear(hidden, wh, biases[1] if biases else None).chunk(3, 1)
    new = (new + (reset + past[0]).sigmoid() * past[2]).tanh()
    share = (update + past[1]).sigmoid()
    return new + share * (hidden - new)


CELLS: dict[Any, Any] = {torch.lstm_cell: _lstm_cell, torch.gru_cell: _gru_cell}
"""What a GPU has an operation of its own for, and the CPU has not."""


class _OutsideOfOperations(TorchFunctionMode):
    """Has tensors of numbers made on the host, and moved: torch makes them where no mode looks."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in CELLS and isinstance(args[0], Pretended):
            return CELLS[func](*args)
        given = dict(kwargs or {})
        device = given.pop("device", None) if func is torch.tensor else None
        made = func(*args, **(given if device is not None else kwargs or {}))
        return made if device is None else made.to(device)


@contextlib.contextmanager
def pretended_gpu() -> Iterator[None]:
    """Have a GPU within the block."""
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    # a weight that becomes of another class stays the same object, tied ones too
    torch.__future__.set_swap_module_params_on_conversion(True)
    with pytest.MonkeyPatch.context() as patch, _OutsideOfOperations(), _OnGPU():  # type: ignore[no-untyped-call]
        patch.setattr(torch, "inference_mode", torch.no_grad)  # which classes of tensors lack
        for module in (config, device):
            patch.setattr(module, "DEVICES", re.compile(r"auto|cpu|pretended:0"))
        yield
    torch.__future__.set_swap_module_params_on_conversion(swaps)
