"""A module of another make, on our contract: windows, documents and streaming are seen to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from inklings.auditing.checks.contract import check_contract
from inklings.auditing.checks.rows import check_documents, check_rows
from inklings.auditing.checks.streaming import check_generation, check_streaming
from inklings.errors import ArchitectureError
from inklings.models.adapters.plain_module import PlainModule


class Positions(nn.Module):
    """A causal mean of embeddings with learned positions, of which there are eight."""

    vocab_size = 11
    context_length = 8

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.position = nn.Embedding(8, 6)
        self.head = nn.Linear(6, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        x = self.embedding(tokens) + self.position(torch.arange(length))
        logits: Tensor = self.head(x.cumsum(1) / torch.arange(1, length + 1)[:, None])
        return logits


def test_a_plain_module_keeps_the_contract() -> None:
    model = PlainModule(Positions())
    for check in (check_contract, check_streaming, check_documents, check_rows, check_generation):
        finding = check(model)
        assert finding.status == "pass", finding.summary


def test_windows_are_read_as_the_module_reads_them() -> None:
    """A full window first, then the last half of it and what follows."""
    module = Positions()
    model, tokens = PlainModule(module), torch.arange(14)[None] % 11
    logits = model(tokens).logits
    torch.testing.assert_close(logits[:, :8], module(tokens[:, :8]))
    torch.testing.assert_close(logits[:, 8:12], module(tokens[:, 4:12])[:, 4:])
    torch.testing.assert_close(logits[:, 12:], module(tokens[:, 8:])[:, 4:])


def test_what_is_no_such_module_is_told() -> None:
    with pytest.raises(ArchitectureError, match="does not say its `vocab_size`"):
        PlainModule(nn.Linear(2, 2))
    module = Positions()
    module.register_module("head", nn.Flatten())
    with pytest.raises(ArchitectureError, match=r"must give logits \(B, T, V\)"):
        PlainModule(module)(torch.zeros((1, 3), dtype=torch.int64))
