"""Models of registered architectures, as tests need them: of a known kind, small, with opinions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from inklings.models.contract import SequenceModel
from inklings.models.ngram import NGram
from inklings.models.registry import build

SMALL: dict[str, dict[str, Any]] = {
    "ngram": {"order": 3},
    "mlp": {"context_length": 3, "n_embd": 8, "n_hidden": 16},
    "recurrent": {"n_embd": 8, "n_hidden": 16, "dropout": 0.5},
    "tree_wavenet": {"context_length": 4, "n_embd": 8, "n_hidden": 16},
    "gpt": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 6, "dropout": 0.5},
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 6, "dropout": 0.5},
}


def as_sequence_model(model: nn.Module) -> SequenceModel:
    """The model, which predicts tokens."""
    assert isinstance(model, SequenceModel), type(model)
    return model


def build_sequence_model(
    architecture: str, fields: Mapping[str, Any], *, vocab_size: int, boundary_token: int = 0
) -> SequenceModel:
    """A model that predicts tokens, with fresh weights."""
    return as_sequence_model(
        build(architecture, fields, vocab_size=vocab_size, boundary_token=boundary_token)
    )


def build_opinionated(
    architecture: str,
    fields: Mapping[str, Any],
    *,
    vocab_size: int,
    boundary_token: int = 0,
    seed: int = 0,
) -> SequenceModel:
    """A model whose next tokens are anything but equally likely: its weights, or counts, are large.

    Args:
        architecture: a registered name.
        fields: of its configuration.
        vocab_size: V.
        boundary_token: what opens a document.
        seed: of the weights.
    """
    model = build_sequence_model(
        architecture, fields, vocab_size=vocab_size, boundary_token=boundary_token
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    if isinstance(model, NGram):
        tokens = torch.randint(vocab_size, (400,), generator=generator)
        tokens[0] = boundary_token
        model.count(tokens.numpy())
    return model
