"""Tied tensors: those that share memory are saved once, with a note of who shares them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from inklings.cut_tensors import own_part

_TIE = "tied:"


def untied(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return weights with tied ones once, and the facts that say who shares them."""
    ties = shared_names(state)
    weights = {name: tensor for name, tensor in state.items() if name not in ties}
    return weights, {_TIE + name: first for name, first in ties.items()}


def saved_ties(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what `shared_names` gave when the facts of `untied` were made."""
    return {
        key.removeprefix(_TIE): first for key, first in metadata.items() if key.startswith(_TIE)
    }


def shared_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return names of tied tensors, each with the first name of the same memory."""
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    ties: dict[str, str] = {}
    for name, tensor in state.items():
        if tensor.numel() == 0:
            continue
        own = own_part(tensor)  # of a weight that is cut up this process may hold nothing
        place = own.data_ptr() if own.numel() else id(tensor)
        key = (place, tensor.shape, tensor.stride())
        if key in first:
            ties[name] = first[key]
        else:
            first[key] = name
    return ties
