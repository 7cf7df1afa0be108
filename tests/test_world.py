"""What processes tell each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inklings.world import ALONE, World
from tests.worlds import in_world

SIZES = [1, 2, 3]


def run(size: int, work):  # type: ignore[no-untyped-def]  # of any result
    return [work(ALONE)] if size == 1 else in_world(size, work)


@pytest.mark.parametrize("size", SIZES)
def test_every_process_has_rows_of_its_own(size: int) -> None:
    slices = [World(rank, size).rows(12) for rank in range(size)]
    assert [row for rows in slices for row in range(12)[rows]] == list(range(12))


@pytest.mark.parametrize("size", SIZES)
def test_all_hear_the_same(size: int) -> None:
    def work(world: World) -> tuple[object, ...]:
        return (
            world.total(torch.tensor([1.5, world.rank])).tolist(),
            world.most(world.rank, -world.rank),
            world.gathered({"rank": world.rank, "text": "ä" * world.rank}),
            world.told(f"from {world.rank}"),
            [
                found["some"].tolist()
                for found in world.gathered_arrays({"some": np.arange(world.rank)})
            ],
            [
                found["some"].tolist()
                for found in world.gathered_tensors({"some": torch.arange(world.rank) + 0.5})
            ],
        )

    ranks = range(size)
    for said in run(size, work):
        assert said == (
            [1.5 * size, sum(ranks)],
            (size - 1, 0),
            [{"rank": rank, "text": "ä" * rank} for rank in ranks],
            "from 0",
            [list(range(rank)) for rank in ranks],
            [[place + 0.5 for place in range(rank)] for rank in ranks],
        )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rows_that_are_shared_out_are_those_of_one_process(count: int) -> None:
    rows = torch.arange(count * 6, dtype=torch.float32).reshape(count, 2, 3) - 4

    def work(world: World) -> Tensor:
        return world.mapped(rows, lambda mine: mine.square() + mine)

    expected = work(ALONE)
    for found in in_world(3, work):
        assert torch.equal(found, expected)


def test_one_of_a_host_is_first() -> None:
    def work(world: World) -> tuple[int, str]:
        import os
        import tempfile
        from pathlib import Path

        path = Path(tempfile.gettempdir()) / f"first-{os.getppid()}"
        seen = path.exists()
        world.first(lambda: path.write_text("made", encoding="utf-8"))
        world.wait()
        path.unlink(missing_ok=True)
        return world.rank, "late" if seen else "early"

    assert [rank for rank, _ in in_world(2, work)] == [0, 1]


def test_gradients_of_a_module_that_was_spread_are_those_of_all_rows() -> None:
    """With weights that nothing depends on, and parts whose gradients are held back."""
    inputs = torch.linspace(-1, 1, 24).reshape(8, 3)

    def work(world: World) -> list[Tensor | None]:
        torch.manual_seed(world.rank)  # other weights, which become those of process 0
        model = nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.Linear(3, 2)})

        class Loss(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, rows: Tensor) -> Tensor:
                loss: Tensor = self.model["used"](rows).square().sum()
                return loss

        spread = world.spread(Loss())
        first, second = inputs[world.rows(8)].chunk(2)
        with world.held_back(spread):
            spread(first).backward()
        spread(second).backward()
        return [parameter.grad for parameter in model.parameters()]

    expected = work(ALONE)
    assert [gradient is None for gradient in expected] == [False, False, True, True]
    for found in in_world(2, work):
        for gradient, of_one in zip(found, expected, strict=True):
            assert (gradient is None) == (of_one is None)
            if gradient is not None and of_one is not None:
                torch.testing.assert_close(gradient, of_one)
