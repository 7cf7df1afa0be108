"""A model is put back to what it was, whatever was done to it, and rows draw alike."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.auditing.draws import AlikeDraws, seeded
from inklings.auditing.leaks import wind_forward
from inklings.auditing.snapshot import Snapshot, untouched
from inklings.layers.cpu.dropout_masks import keep_mask

from .fixtures.keeps_outside import CountsPassesOfTraining
from .fixtures.subject import subject_of


class Store:
    def __init__(self) -> None:
        self.items = [1]


class Keeper(nn.Module):
    """It keeps things of all kinds."""

    moved: Tensor
    passing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("moved", torch.zeros(2))
        self.register_buffer("passing", torch.zeros(2), persistent=False)
        self.count = 0
        self.texts: dict[str, list[int]] = {"a": [1]}
        self.last: deque[int] = deque([1])
        self.seen = {1}
        self.array = np.zeros(2)
        self.store = Store()
        self.generator = torch.Generator().manual_seed(0)
        self.own = random.Random(0)

    def live(self) -> None:
        with torch.no_grad():
            self.linear.weight.add_(1)
        self.moved = torch.ones(3)
        self.passing += 1
        self.count += 1
        self.texts["a"].append(2)
        self.texts["b"] = []
        self.last.append(2)
        self.seen.add(2)
        self.array += 1
        self.store.items.append(2)
        self.loss = self.linear(torch.ones(2)).sum()
        torch.rand(1, generator=self.generator)
        self.own.random()
        self.eval()

    def told(self) -> list[object]:
        """All that it holds, as plain values."""
        return [
            self.linear.weight.tolist(),
            self.moved.tolist(),
            self.passing.tolist(),
            self.count,
            {key: list(value) for key, value in self.texts.items()},
            list(self.last),
            set(self.seen),
            self.array.tolist(),
            list(self.store.items),
            hasattr(self, "loss"),
            self.generator.get_state().tolist(),
            self.own.getstate(),
            self.training,
        ]


def test_all_that_a_model_holds_is_put_back() -> None:
    made = Keeper()
    before, texts = made.told(), made.texts
    with untouched(made):
        made.live()
        assert made.told() != before
    assert made.told() == before
    assert made.texts is texts


def test_parts_are_put_back_by_themselves() -> None:
    made = Keeper()
    before, kept = made.told(), Snapshot(made)
    made.live()
    assert {"count", "texts", "loss", "store"} <= set(kept.moved())
    assert "generator" not in kept.moved()
    kept.restore(attributes=False, generators=False)
    assert made.told()[:2] == before[:2]
    assert made.passing.tolist() == [1, 1]  # a checkpoint does not hold it
    assert made.count == 1
    kept.restore(generators=False)
    assert made.count == 0
    assert made.told()[-3:-1] != before[-3:-1]
    kept.restore()
    assert made.told() == before


def test_counters_are_wound_and_lengths_are_not() -> None:
    made = subject_of(CountsPassesOfTraining).scrambled
    with untouched(made):
        assert wind_forward(made, training=False) == []
        assert wind_forward(made, training=True) == ["passes"]
        assert vars(made)["passes"] > 10_000


def test_dropout_keeps_all_and_rows_draw_alike() -> None:
    x = torch.randn(4, 3, 5)
    with AlikeDraws(4), seeded(0):
        assert torch.equal(F.dropout(x, 0.5, True), x)
        assert bool(keep_mask((7, 3), 0.5).all())
        for drawn in (torch.randn(4, 3), torch.rand(12, 2).view(4, 3, 2), torch.empty(4).normal_()):
            assert all(torch.equal(row, drawn[0]) for row in drawn)
        assert len(torch.rand(5, 2).unique()) == 1  # of no row, so of all
        assert len({float(torch.rand(())) for _ in range(5)}) == 5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_is_computed_of_data_is_no_draw(
    mode: Callable[[], AbstractContextManager[None]],
) -> None:
    """Attention and recurrent layers may draw by the way; rows of what they give stay apart."""
    x = torch.randn(4, 2, 6, 8)
    layer = torch.nn.GRU(8, 5, num_layers=2, dropout=0.5, batch_first=True)
    with mode():
        attention = F.scaled_dot_product_attention(x, x, x, is_causal=True)
        recurrent, _ = layer.eval()(x[:, 0])
        with AlikeDraws(4), seeded(0):
            assert torch.equal(F.scaled_dot_product_attention(x, x, x, is_causal=True), attention)
            torch.testing.assert_close(layer(x[:, 0])[0], recurrent)
            torch.testing.assert_close(layer.train()(x[:, 0])[0], recurrent)
            assert torch.equal(F.dropout(x, 0.5, True), x)
            torch.testing.assert_close(
                F.rrelu(x, 0.1, 0.3, training=True), F.leaky_relu(x, 0.2), atol=1e-6, rtol=0
            )


def test_draws_of_a_block_leave_those_after_it_alone() -> None:
    def drawn() -> list[Tensor | float]:
        return [float(torch.rand(())), random.random(), float(np.random.rand())]  # noqa: NPY002

    with seeded(5):
        expected = drawn()
    with seeded(5):
        with seeded(7):
            drawn()
        assert drawn() == expected
