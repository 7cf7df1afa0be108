"""What the contract is checked on: a small model of some architecture, and tokens to feed it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inklings.auditing.probes import scrambled
from inklings.models.contract import Architecture, SequenceModel, State
from inklings.models.from_noise import SampleModel
from inklings.models.registry import build, load_class

BOUNDARY = 0
NAME = os.environ.get("INKLINGS_TEST_DEVICE", "cpu")
if NAME.startswith("pretended"):
    from tests import pretended_gpu  # noqa: F401  # which makes the name known
DEVICE = torch.device(NAME)
"""Where the promises are looked at."""


class NotApplicableError(Exception):
    """A property that this model, by its own traits, does not claim; the message says why."""


@dataclass(frozen=True)
class Subject:
    """An architecture, by a registered name or as FILE.py:CLASS, with fields that keep it tiny."""

    architecture: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    vocab_size: int = 23  # a prime: no width happens to equal it

    def __str__(self) -> str:
        name = self.architecture.rpartition("/")[2]
        return ":".join(
            [name, ",".join(f"{key}={value}" for key, value in self.fields.items())]
        ).rstrip(":")

    def build(self, *, seed: int = 0, vocab_size: int | None = None) -> Any:
        """A `SequenceModel` or a `SampleModel` with fresh weights, in training mode."""
        torch.manual_seed(seed)
        return build(
            self.architecture,
            self.fields,
            vocab_size=vocab_size or self.vocab_size,
            boundary_token=BOUNDARY,
        ).to(DEVICE)


def is_counting(model: Architecture) -> bool:
    return model.traits.objective == "counting"


def require_gradient(model: Architecture) -> None:
    """Skip what is about gradients for a model that learns without."""
    if is_counting(model):
        raise NotApplicableError("it learns by counting, not by gradient")


def require_likelihood(model: Architecture) -> None:
    """Skip what is about probabilities for a model that gives none."""
    if not model.traits.has_likelihood:
        raise NotApplicableError("it gives no probabilities")


def require_separate_rows(model: Architecture) -> None:
    """Skip what cannot hold while rows of a training batch influence each other."""
    if model.traits.batch_statistics:
        raise NotApplicableError("rows of a training batch influence each other (batch statistics)")


def chain(rng: np.random.Generator, length: int, vocab_size: int) -> np.ndarray:
    """Tokens other than the boundary, each with three possible successors.

    So that contexts come back.
    """
    tokens = np.empty(length, dtype=np.int64)
    tokens[0] = rng.integers(1, vocab_size)
    for index, choice in enumerate(rng.integers(0, 3, length - 1), start=1):
        tokens[index] = (3 * tokens[index - 1] + choice) % (vocab_size - 1) + 1
    return tokens


def random_tokens(vocab_size: int, rows: int, length: int, seed: int = 0) -> Tensor:
    """(rows, length) tokens without a boundary among them."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([chain(rng, length, vocab_size) for _ in range(rows)])
    return torch.from_numpy(drawn).to(DEVICE)


def with_documents(tokens: Tensor, seed: int = 0, every: int = 7) -> tuple[Tensor, Tensor]:
    """The tokens with a boundary about every so many positions, at other places in each row.

    And where those are.
    """
    drawn = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(seed))
    starts = (drawn < 1 / every).to(tokens.device)
    return tokens.masked_fill(starts, BOUNDARY), starts


def prepared(subject: Subject, seed: int = 0) -> Any:
    """A model in evaluation mode with nothing special about its weights.

    As the audit looks at it.
    """
    if not issubclass(load_class(subject.architecture), SampleModel):
        return scrambled(lambda seed: subject.build(seed=seed), seed)
    model = subject.build(seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape).to(parameter))
    return model.eval()


def cross_entropy(model: SequenceModel, tokens: Tensor, state: State | None = None) -> Tensor:
    """Mean loss of predicting each token of (B, T + 1), auxiliary losses included."""
    output = model(tokens[:, :-1], state)
    loss = nn.functional.cross_entropy(output.logits.flatten(0, 1), tokens[:, 1:].flatten())
    total: Tensor = loss + sum(output.losses.values())
    return total


def changed(tokens: Tensor, vocab_size: int) -> Tensor:
    """The same shape with a different token, never the boundary, at every place."""
    return tokens % (vocab_size - 1) + 1
