"""Small splits made by hand, and small models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from inklings.models.contract import ModelConfig, Output, SequenceModel, State
from inklings.text.store import TokenSplit
from tests.built import SMALL, build_opinionated

V = 11

MODELS = {**SMALL, "ngram": {"order": 3, "context_length": 2}}


def make_split(documents: Sequence[Sequence[int]], *, bytes_per_token: int = 1) -> TokenSplit:
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    tokens = [token for document in documents for token in (0, *document)]
    return TokenSplit(
        tokens=np.array([*tokens, 0], dtype=np.uint16),
        offsets=np.concatenate(([0], np.cumsum(lengths + 1))),
        document_bytes=(lengths + 1) * bytes_per_token,
        boundary=0,
    )


def random_documents(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, V, size=length).tolist() for length in lengths]


class Table(SequenceModel):
    """A bigram: the logits after a token are its row of a table."""

    Config = ModelConfig

    def __init__(self, logits: Tensor) -> None:
        super().__init__(ModelConfig(vocab_size=len(logits)))
        self.logits = torch.nn.Parameter(logits)

    def forward(
        self, tokens: Tensor, state: State | None = None, *, starts: Tensor | None = None
    ) -> Output:
        found = self.logits[tokens]
        return Output(found, state, hidden=found)

    def initial_state(self, batch_size: int) -> State:
        return State({"nothing": torch.zeros(batch_size, 1)})

    def flops(self, tokens: int) -> int:
        return 0


@pytest.fixture(scope="session")
def table() -> Callable[[Tensor], SequenceModel]:
    """Makes a bigram model of a table of logits."""
    return Table


@pytest.fixture(params=sorted(MODELS))
def any_model(request: pytest.FixtureRequest) -> SequenceModel:
    """A small model with weights large enough that its predictions are anything but uniform."""
    return build_opinionated(request.param, MODELS[request.param], vocab_size=V)


@pytest.fixture(scope="session")
def split_of() -> Callable[..., TokenSplit]:
    """Makes a split of documents given as tokens."""
    return make_split


@pytest.fixture(scope="session")
def documents_of() -> Callable[..., list[list[int]]]:
    """Makes random documents of given lengths."""
    return random_documents
