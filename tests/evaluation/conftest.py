"""Small splits made by hand, and small models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from inklings.models.contract import ModelConfig, Output, SequenceModel, State
from inklings.models.registry import build
from inklings.text.store import TokenSplit

V = 11

SMALL = {
    "ngram": {"order": 3, "context_length": 2},
    "mlp": {"context_length": 3, "n_embd": 8, "n_hidden": 16},
    "recurrent": {"n_embd": 8, "n_hidden": 16, "dropout": 0.5},
    "tree_wavenet": {"context_length": 4, "n_embd": 8, "n_hidden": 16},
    "gpt": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 6, "dropout": 0.5},
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 6, "dropout": 0.5},
}


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


@pytest.fixture(params=sorted(SMALL))
def any_model(request: pytest.FixtureRequest) -> SequenceModel:
    """A small model with weights large enough that its predictions are anything but uniform."""
    model = build(request.param, SMALL[request.param], vocab_size=V, boundary_token=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    if model.traits.objective == "counting":
        model.count(make_split(random_documents([20] * 20, seed=1)).tokens)
    return model


@pytest.fixture(scope="session")
def split_of() -> Callable[..., TokenSplit]:
    """Makes a split of documents given as tokens."""
    return make_split


@pytest.fixture(scope="session")
def documents_of() -> Callable[..., list[list[int]]]:
    """Makes random documents of given lengths."""
    return random_documents
