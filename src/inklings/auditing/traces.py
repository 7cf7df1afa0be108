"""What modules are given and hand on, and the first place where two rows part.

What a module is *given* counts as well as what it hands on: a fault in the code between two modules
is then found in the module whose `forward` that code is, and not blamed on the next layer.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from inklings.auditing.probes import TOLERANCE, other_tokens
from inklings.models.contract import SequenceModel

NEAREST = 48
"""How many positions ahead a token is looked for that is seen."""


@dataclass(frozen=True)
class Trace:
    """One tensor that a module was given, or handed on."""

    module: str
    """The module whose code made it: its name, and its class."""
    tensor: Tensor


@contextlib.contextmanager
def traced(model: nn.Module) -> Iterator[list[Trace]]:
    """Give a list that fills with what every module is given and hands on, in their order."""
    traces: list[Trace] = []
    handles = []
    running: list[str] = []
    for name, module in model.named_modules():
        label = f"{name or 'the model'} ({type(module).__name__})"

        def enter(
            module: nn.Module, inputs: object, named: dict[str, object], label: str = label
        ) -> None:
            if running:
                given = tensors_in([inputs, list(named.values())], integers=True)
                traces.extend(Trace(running[-1], tensor) for tensor in given)
            running.append(label)

        def leave(module: nn.Module, inputs: object, output: object, label: str = label) -> None:
            while running and running.pop() != label:
                pass  # what raised, and was caught, never left
            traces.extend(Trace(label, tensor) for tensor in tensors_in(output))

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave))
    try:
        yield traces
    finally:
        for handle in handles:
            handle.remove()


def tensors_in(value: object, *, integers: bool = False) -> list[Tensor]:
    """Return all floating-point tensors that a module is given or returns, whatever holds them.

    A state is not part of it. With `integers`, tokens are.
    """
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() or (integers and value.ndim == 2) else []
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors_in(item, integers=integers)]
    if dataclasses.is_dataclass(value) and hasattr(value, "logits"):
        return tensors_in([value.logits, getattr(value, "hidden", None)])
    return []


def along(tensor: Tensor, rows: int, length: int) -> Tensor | None:
    """Return a tensor as (rows, length, the rest); None if its shape does not say where these lie.

    Args:
        tensor: what a module was given or returned.
        rows: B.
        length: T.
    """
    shape = tuple(tensor.shape)
    if shape == (rows, length) and not tensor.is_floating_point():
        return tensor[..., None]
    if shape and shape[0] == rows * length:
        return tensor.reshape(rows, length, -1)
    if shape and shape[0] == rows:
        places = [axis for axis, size in enumerate(shape) if axis and size == length]
        return (
            tensor.movedim(places[0], 1).flatten(2)
            if len(places) == 1 and tensor.ndim > 2
            else None
        )
    return None


def parted(
    one: Sequence[Trace],
    other: Sequence[Trace],
    rows: tuple[Sequence[int], Sequence[int]],
    before: Sequence[int],
    shape: tuple[int, int],
) -> list[tuple[str, int] | None]:
    """For each pair of rows, where they first differ, before a position at which they may.

    Args:
        one: what modules handed on in a pass.
        other: the same of a second pass, or of the same one.
        rows: the rows of the first pass, and their partners in the second.
        before: for each pair, the first position at which the rows may differ.
        shape: rows and positions of a pass.

    Returns:
        For each pair the module, and the last position before the allowed one that differs; None
        where the rows are alike.
    """
    found: list[tuple[str, int] | None] = [None] * len(before)
    for left, right in zip(one, other, strict=False):
        was, now = along(left.tensor, *shape), along(right.tensor, *shape)
        if was is None or now is None or was.shape != now.shape:
            continue
        was, now = was.detach().double(), now.detach().double()
        allowed = TOLERANCE * (1 + float(was.abs().max()))
        apart = (was[list(rows[0])] - now[list(rows[1])]).abs().amax(dim=2)
        differs = ~(apart <= allowed)  # NaN differs
        for pair, limit in enumerate(before):
            reached = torch.nonzero(differs[pair, :limit])
            if found[pair] is None and len(reached):
                found[pair] = left.module, int(reached.max())
    return found


def locate(
    model: SequenceModel,
    run: Callable[[Int[Tensor, "B T"]], object],
    tokens: Int[Tensor, "B T"],
    at: int,
) -> tuple[str, int] | None:
    """Find the first module that sees a token after a position of the first row.

    The second number is how far ahead the nearest such token lies. All rows are given the first
    one's tokens, each with another single token exchanged. None where no exchange is seen.

    Args:
        model: the model.
        run: makes the pass on tokens.
        tokens: (B, T).
        at: the position.
    """
    rows, length = tokens.shape
    last = min(length, at + 1 + NEAREST)
    step = max(1, rows - 1)
    changed = other_tokens(model, tokens[:1])[0]
    for first in range(at + 1, last, step):
        places = list(range(first, min(first + step, last)))
        batch = tokens[:1].repeat(rows, 1)
        for row, place in enumerate(places, start=1):
            batch[row, place] = changed[place]
        with traced(model) as traces:
            run(batch)
        mates = [0] * len(places), list(range(1, len(places) + 1))
        for place, found in zip(
            places, parted(traces, traces, mates, places, (rows, length)), strict=True
        ):
            if found is not None:
                return found[0], place - found[1]
    return None
