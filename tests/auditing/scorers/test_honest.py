"""Honest scorers of other makes than counts raise no alarm, whatever they do with what they saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.auditing.audit import audit
from tests.auditing.scorers.fixtures import TEXT, subject


class Recurrent:
    """A GRU of bytes that reads what is pending only when it is asked, in one piece."""

    vocab_size = 256

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embedding, self.head = nn.Embedding(256, 16), nn.Linear(16, 256)
            self.cell = nn.GRU(16, 16, batch_first=True)

    def begin(self) -> None:
        self.pending, self.state = [0], torch.zeros(1, 1, 16)

    def predict(self) -> Tensor:
        with torch.no_grad():
            if self.pending:
                x = self.embedding(torch.tensor([self.pending]))
                self.output, self.state = self.cell(x, self.state)
                self.pending = []
            return F.log_softmax(self.head(self.output[0, -1]), dim=-1)

    def observe(self, token: int) -> None:
        self.pending.append(token)


class Trained(Recurrent):
    """The same, which makes a step of gradient descent on every token after its score."""

    def __init__(self) -> None:
        super().__init__()
        self.first = {name: value.clone() for name, value in self.head.state_dict().items()}

    def begin(self) -> None:
        super().begin()
        self.head.load_state_dict(self.first)

    def observe(self, token: int) -> None:
        self.predict()
        loss = F.cross_entropy(self.head(self.output[0, -1])[None], torch.tensor([token]))
        gradients = torch.autograd.grad(loss, list(self.head.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(self.head.parameters(), gradients, strict=True):
                weight.sub_(0.5 * gradient)
        super().observe(token)


class Drops(Recurrent):
    """The same with dropout that begins at a seed with every document."""

    def begin(self) -> None:
        super().begin()
        self.draw = np.random.default_rng(0)
        self.kept = torch.tensor(self.draw.random(256) > 0.1)

    def predict(self) -> Tensor:
        return F.log_softmax(super().predict().masked_fill(~self.kept, -9.0), dim=-1)


class Large:
    """A vocabulary as large as those of today's models."""

    vocab_size = 60_000

    def begin(self) -> None:
        self.last = 0

    def predict(self) -> Any:
        logits = np.zeros(self.vocab_size, dtype=np.float32)
        logits[self.last] = 3.0
        return logits - np.log(np.exp(logits).sum())

    def observe(self, token: int) -> None:
        self.last = token


@pytest.mark.parametrize(
    "make",
    [
        Recurrent,
        pytest.param(Trained, marks=pytest.mark.slow),
        pytest.param(Drops, marks=pytest.mark.slow),
        pytest.param(Large, marks=pytest.mark.slow),
    ],
)
def test_an_honest_scorer_raises_no_alarm(make: type) -> None:
    result = audit(subject(make, None if make is Large else TEXT))
    assert not result.failed, [finding.summary for finding in result.failed]
