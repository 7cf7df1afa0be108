"""The size of a model that a run may build is counted before it is paid for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inklings.errors import RunError
from inklings.runs.building_size import ELEMENTS, MAKERS, within_size_of

CALLS: list[tuple[Callable[..., Tensor], tuple[Any, ...], dict[str, Any]]] = [
    *((made, (2, 3), {}) for made in (torch.empty, torch.zeros, torch.ones, torch.rand)),
    (torch.randn, ((2, 3),), {"dtype": torch.float64}),
    (torch.randn, (), {"size": (2, 3)}),
    (torch.zeros, (torch.Size([4]),), {}),
    (torch.ones, ([],), {}),
    (torch.full, ((2, 2), 1.0), {}),
    (torch.full, (), {"size": (2, 2), "fill_value": 7}),
    (torch.randint, (9, (3, 2)), {}),
    (torch.randint, (1, 9, (3, 2)), {}),
    (torch.randint, (9,), {"size": (3,)}),
    (torch.randint, (), {"high": 9, "size": (3,)}),
    (torch.arange, (7,), {}),
    (torch.arange, (), {"end": 7}),
    (torch.arange, (2, 7), {"dtype": torch.float64}),
    (torch.arange, (2,), {"end": 7, "step": 2}),
    (torch.arange, (), {"start": 2, "end": 7}),
    (torch.arange, (0.5, -3, -0.75), {}),
    (torch.arange, (torch.tensor(5),), {}),
    (torch.linspace, (0, 1, 5), {}),
    (torch.linspace, (0, 1), {"steps": 5}),
    (torch.linspace, (), {"start": 0, "end": 1, "steps": 5}),
    (torch.eye, (3,), {}),
    (torch.eye, (3, 4), {}),
    (torch.eye, (), {"n": 3, "m": 4}),
]


@pytest.mark.parametrize(("make", "given", "named"), CALLS)
def test_the_size_is_told_without_making_it(
    make: Callable[..., Tensor], given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    assert MAKERS[make](*given, **named) == make(*given, **named).numel()


def test_every_maker_is_tried() -> None:
    assert {make for make, _, _ in CALLS} == set(MAKERS)


@pytest.mark.parametrize("make", [torch.empty, torch.rand, torch.arange])
def test_what_is_too_large_is_never_made(make: Callable[..., Tensor], tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(3)}, weights)
    with within_size_of(weights, config=tmp_path / "config.json"):
        assert make(5).numel() == 5
        with pytest.raises(RunError, match="far larger than the weights"):
            make(ELEMENTS * 10**6)
