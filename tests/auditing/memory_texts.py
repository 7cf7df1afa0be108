"""Texts and models on which it is known beforehand what a memory is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from inklings.models.gpt import GPT
from inklings.models.registry import build
from inklings.models.varda.model import Varda
from inklings.text.store import TokenSplit

SYMBOLS = 24
"""Beside the boundary, which is token 0."""


def split_of(documents: list[np.ndarray]) -> TokenSplit:
    tokens = np.concatenate([*(np.append(0, document) for document in documents), [0]]).astype(
        np.uint16
    )
    lengths = np.array([len(document) for document in documents])
    return TokenSplit(tokens, np.append(0, np.cumsum(lengths + 1)), lengths, 0)


def repeats(documents: int, *, times: int = 3, seed: int = 0) -> TokenSplit:
    """Each document says all symbols in an order of its own, and says it again."""
    rng = np.random.default_rng(seed)
    return split_of([np.tile(rng.permutation(SYMBOLS) + 1, times) for _ in range(documents)])


def chains(documents: int, *, length: int = 48, seed: int = 0) -> TokenSplit:
    """Every symbol is followed by the next one, four times of five.

    A text in which no document differs from another.
    """
    rng = np.random.default_rng(seed)
    steps = np.where(
        rng.random((documents, length)) < 0.8, 1, rng.integers(SYMBOLS, size=(documents, length))
    )
    return split_of(list(np.cumsum(steps, axis=1) % SYMBOLS + 1))


def untrained(architecture: str = "varda", **fields: Any) -> Varda:
    """An untrained gpt is the identity: its memory is one of what followed each token."""
    fields = {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=32",
        "context_length": 16,
        "segment": 8,
        "num_search_results": 4,
        **fields,
    }
    torch.manual_seed(0)
    model = build(architecture, fields, vocab_size=SYMBOLS + 1, boundary_token=0)
    assert isinstance(model, Varda)
    return model.eval()


def knows_the_chain(model: Varda) -> Varda:
    """Give a model's gpt the successor of every symbol, but too little trust in it."""
    backbone = model.backbone
    assert isinstance(backbone, GPT)
    with torch.no_grad():
        torch.manual_seed(1)
        torch.nn.init.orthogonal_(backbone.embedding.weight)
        vectors = torch.nn.functional.rms_norm(backbone.embedding.weight, (backbone.config.n_embd,))
        backbone.head.weight.zero_()
        before = torch.arange(SYMBOLS)
        backbone.head.weight[1:] = vectors[1:][(before - 1) % SYMBOLS] * (
            2.5 / backbone.config.n_embd
        )
    return model
