"""Helpers that take rows of a pass of `varda` apart and put them together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inklings.memory.streams import Stream
from inklings.models.contract import State
from inklings.models.varda.rows import Found, MemoryRow, Pending

PENDING = "pending."


def row_of(state: State, row: int, *, in_place: bool) -> MemoryRow:
    """Make a row of a state ready to be read on.

    Args:
        state: the state of the batch.
        row: its number.
        in_place: whether the pass may write into the state.
    """
    numbers = {
        name: int(state.tensors[name][row])
        for name in ("memory", "version", "position", "document")
    }
    stream = state.stores[numbers["memory"]]
    assert isinstance(stream, Stream)
    if stream.version != numbers["version"]:
        raise RuntimeError(
            "the state has been read on from already: its memory is further on. `State.clone` keeps"
            " one."
        )
    segment = len(state.tensors[f"{PENDING}tokens"][row])
    pending: dict[str, Any] = {}
    for field in fields(Pending):
        tensor = state.tensors.get(f"{PENDING}{field.name}")
        array = None if tensor is None else tensor[row].cpu().numpy()
        pending[field.name] = array if array is None or in_place else array.copy()
    begun = -((numbers["position"] - 1) % segment + 1) if numbers["position"] else 0
    return MemoryRow(
        stream,
        numbers["position"],
        numbers["document"],
        Pending(**pending),
        owned=in_place and not stream.shared,
        begun=begun,
    )


def state_below(prefix: str, state: State) -> State:
    """Take the tensors whose names begin with `prefix`, as a state of their own."""
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.tensors.items()
        if name.startswith(prefix)
    }
    return State(tensors, state.stores)


def side_by_side(parts: list[Found]) -> Found:
    """Join what was found of consecutive positions."""
    return Found(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=1)
            for field in fields(Found)
        }
    )


def joined(parts: list[Tensor | None]) -> Tensor | None:
    """Concatenate the tensors along the positions, without the Nones.

    None if there is no tensor.
    """
    whole = [part for part in parts if part is not None]
    if len(whole) < 2:
        return whole[0] if whole else None
    return torch.cat(whole, 1)


def array_of(tensor: Tensor) -> np.ndarray:
    """Copy a tensor to a float32 array on the host."""
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array


def full_precision(like: Tensor) -> torch.autocast:
    """Turn autocast off: distances are compared, so they are not rounded to half precision."""
    return torch.autocast(like.device.type, enabled=False)
