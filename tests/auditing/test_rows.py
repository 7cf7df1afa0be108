"""What batch statistics are worth: rows of one length, put together, tell each other something."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from inklings.auditing.checks.rows import batch_statistics_losses, check_rows, find_mixers
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.text.batches import Batch

ROWS, LETTERS = 16, 6


@dataclass
class Lines:
    """Names of three to twelve letters; the boundary, 0, opens, ends and fills up a row.

    `bucketed` rows are all of one length.
    """

    bucketed: bool
    longest: int = 12

    def batch(self, step: int) -> Batch:
        random = np.random.default_rng(step)
        lengths = random.integers(3, self.longest + 1, ROWS)
        if self.bucketed:
            lengths[:] = lengths[0]
        lines = torch.from_numpy(random.integers(1, LETTERS + 1, (ROWS, self.longest + 2)))
        column = torch.arange(self.longest + 2)
        ends = torch.from_numpy(lengths)[:, None]
        lines[(column == 0) | (column > ends)] = 0
        return Batch(lines[:, :-1], lines[:, 1:], (column[:-1] <= ends).float(), None)


def trained(batches: Lines, steps: int = 150) -> SequenceModel:
    torch.manual_seed(0)
    model = build(
        "tree_wavenet",
        {"n_embd": 8, "n_hidden": 32, "context_length": 8},
        vocab_size=LETTERS + 1,
        boundary_token=0,
    )
    assert isinstance(model, SequenceModel)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        batch = batches.batch(step)
        losses = F.cross_entropy(
            model(batch.tokens).logits.flatten(0, 1), batch.targets.flatten(), reduction="none"
        )
        optimizer.zero_grad()
        (losses @ batch.weights.flatten() / batch.weights.sum()).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def bucketed() -> SequenceModel:
    return trained(Lines(bucketed=True))


def test_the_company_of_rows_of_one_length_is_worth_something(bucketed: SequenceModel) -> None:
    batches = [Lines(bucketed=True).batch(1000 + step) for step in range(8)]
    learned, held = batch_statistics_losses(bucketed, batches)
    assert held - learned > 0.05
    finding = check_rows(bucketed, batches, trained=True)
    assert finding.status == "warning"
    assert finding.evidence["worth"] == pytest.approx(held - learned)
    assert f"worth {held - learned:.3f} nats" in finding.summary
    assert "levels.0.norm (BatchNorm)" in finding.summary


def test_the_company_of_rows_of_any_length_is_worth_little() -> None:
    batches = [Lines(bucketed=False).batch(1000 + step) for step in range(8)]
    learned, held = batch_statistics_losses(trained(Lines(bucketed=False)), batches)
    assert abs(held - learned) < 0.02


def test_weighing_the_company_leaves_the_model_as_it_is(bucketed: SequenceModel) -> None:
    before = {name: tensor.clone() for name, tensor in bucketed.state_dict().items()}
    batch_statistics_losses(bucketed, [Lines(bucketed=True).batch(0)])
    assert not any(module.training for module in bucketed.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in bucketed.state_dict().items())


def test_weights_decide_what_counts(bucketed: SequenceModel) -> None:
    batch = Lines(bucketed=False).batch(0)
    wild = dataclasses.replace(
        batch, targets=torch.where(batch.weights > 0, batch.targets, LETTERS - batch.targets)
    )
    assert batch_statistics_losses(bucketed, [wild]) == batch_statistics_losses(bucketed, [batch])


def test_mixers_are_all_the_layers_that_keep_statistics(bucketed: SequenceModel) -> None:
    tokens = torch.randint(1, LETTERS + 1, (5, 19), generator=torch.Generator().manual_seed(0))
    assert find_mixers(bucketed, tokens) == []
    assert find_mixers(copy.deepcopy(bucketed).train(), tokens) == [
        f"levels.{level}.norm (BatchNorm)" for level in range(3)
    ]
