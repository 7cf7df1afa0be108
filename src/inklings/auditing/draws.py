"""Random draws that are the same for every row of a batch, so that rows can be compared.

How many numbers a pass draws may depend on its tokens (dropout within each expert of a mixture).
Then two passes with one seed differ where nothing leaks. Here dropout keeps everything, and all
else that is drawn for each row is drawn once for all of them. What is drawn once for a whole pass
(a path that is taken in one pass of ten) stays as it is.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from inklings.layers.cpu.dropout_masks import LEVELS, random_bits
from inklings.seeds import drawn_from

_BERNOULLI = torch.ops.aten.bernoulli_.float
_BITS = random_bits._opoverload
_DROPOUT = torch.ops.aten.native_dropout.default
DRAW_NOTHING = {"dropout_p": 0.0, "training": False}
"""Arguments of fused attention and of randomised ReLU by which they draw nothing."""


class AlikeDraws(TorchDispatchMode):
    """Draws for `rows` rows are those of the first; dropout keeps everything."""

    def __init__(self, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows = rows

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that compilation need not be kept away: it would be imported only for that."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Carry out one operation; what draws is changed."""
        kwargs = kwargs or {}
        if func is _BITS:
            return torch.full(tuple(args[0]), LEVELS // 2 - 1, dtype=torch.int16)
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            # under inference mode whole layers come here: their parts are looked at instead
            with self:
                return func.decompose(*args, **kwargs)
        if given := _without_draws(func, args, kwargs):
            return func(**given)
        if func is _DROPOUT:
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        if func is _BERNOULLI and args[0].numel() > 1:
            return args[0].fill_(args[1] if len(args) > 1 else kwargs.get("p", 0.5))
        drawn = func(*args, **kwargs)
        if isinstance(drawn, Tensor) and drawn.numel() > 1:
            self._make_alike(drawn)
        return drawn

    def _make_alike(self, drawn: Tensor) -> None:
        size = drawn.shape[0] if drawn.ndim else 0
        if size and size % self._rows == 0:  # rows, or positions of all rows one after the other
            by_row = drawn.unflatten(0, (self._rows, -1))
            by_row.copy_(by_row[:1].clone().expand_as(by_row))
        elif drawn.is_floating_point():
            drawn.fill_(drawn.flatten()[0].item())


def _without_draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operation on data that draws by the way, so that it draws nothing.

    Attention has dropout of its own; what it gives is no draw. Empty for all else.
    """
    names = [argument.name for argument in func._schema.arguments]
    nothing = {name: value for name, value in DRAW_NOTHING.items() if name in names}
    return {**dict(zip(names, args, strict=False)), **kwargs, **nothing} if nothing else {}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Begin all random draws at a seed within the block.

    Afterwards they go on as if it had not been.
    """
    # a user's code may draw from any of the three
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with drawn_from(seed):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002
