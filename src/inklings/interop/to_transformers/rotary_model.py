"""What the forms of `gpt` share: weights by their names there, and rotary frequencies."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inklings.layers.norm import EPSILON
from inklings.models.gpt import GPT

PREFIX = "model."
"""What the names of tensors begin with there, but for the head's."""
BASE = 10_000.0
"""The base that frequencies of no base are told as multiples of: any would do."""


def shared_settings(model: GPT, *, reach: int) -> dict[str, Any]:
    """Return the sizes and the rotary frequencies of a model, as configurations there say them.

    Args:
        model: the model.
        reach: how many positions the configuration promises.
    """
    config = model.config
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.n_embd,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_head,
        "head_dim": config.n_embd // config.n_head,
        "max_position_embeddings": reach,
        "rms_norm_eps": EPSILON,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_parameters": rotary_parameters(model, reach=reach),
        # it would be the `padding_idx` of the embedding, which is then never trained
        "pad_token_id": None,
    }


def rotary_parameters(model: GPT, *, reach: int) -> dict[str, Any]:
    """Return a model's frequencies as `transformers` names them: of a base, or any.

    Frequencies of no base become factors to those of one. `longrope` has one factor for each pair,
    for short texts and for long ones; here these are the same, and nothing else is scaled.

    Args:
        model: the model.
        reach: how many positions the configuration promises.
    """
    if model.config.rotary_base is not None:
        return {"rope_type": "default", "rope_theta": model.config.rotary_base}
    frequencies = model.stack.rotary.frequencies
    pairs = len(frequencies)
    standard = BASE ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    factors = (standard / frequencies).tolist()
    return {
        "rope_type": "longrope",
        "rope_theta": BASE,
        "short_factor": factors,
        "long_factor": factors,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": reach,
    }


def inner_width(model: GPT) -> int:
    """Return the width of the feed-forward networks."""
    width: int = model.state_dict()["stack.blocks.0.feed_forward.project.weight"].shape[1]
    return width


def sees_all(model: GPT) -> str:
    """Say how far a model without a window computes the same."""
    window = model.config.context_length
    return (
        f"Here every token sees all before it; the run's layers see the last {window:,} tokens."
        f" Keep prompt and continuation within {window:,} tokens: up to there both are the same."
    )


def dropout_notes(model: GPT, there: str) -> list[str]:
    """Say that a model loses its dropout where it has some: `there` is a model without."""
    if not model.config.dropout:
        return []
    return [f"{there} has no dropout where the run had some; it matters for training on."]


def split_heads(
    weight: Float[Tensor, "C3 C"], n_head: int, *, first: int
) -> tuple[Float[Tensor, "C C"], Float[Tensor, "C C"], Float[Tensor, "C C"]]:
    """Return the matrices of queries, keys and values, with the pairs that turn laid out as there.

    Here a pair is two neighbours; there its parts stand half a head apart.

    Args:
        weight: the three matrices, one below the other.
        n_head: how many heads.
        first: which of two neighbours goes to the first half: 0, or 1 where rotations turn the
            other way.
    """
    query, key, value = weight.chunk(3)
    return halves(query, n_head, first=first), halves(key, n_head, first=first), value


def halves(
    matrix: Float[Tensor, "*shape"], n_head: int, *, first: int = 0
) -> Float[Tensor, "*shape"]:
    """Lay out the rows of each head as there.

    Args:
        matrix: its rows are the channels of the heads.
        n_head: how many heads.
        first: as in `split_heads`.
    """
    pairs = matrix.unflatten(0, (n_head, -1, 2))
    return torch.cat((pairs[:, :, first], pairs[:, :, 1 - first]), dim=1).flatten(0, 1)


def neighbours(
    matrix: Float[Tensor, "*shape"], n_head: int, *, first: int = 0
) -> Float[Tensor, "*shape"]:
    """Lay out the rows of each head as here: what `halves` did is undone.

    Args:
        matrix: its rows are the channels of the heads.
        n_head: how many heads.
        first: as in `split_heads`.
    """
    parts = matrix.unflatten(0, (n_head, 2, -1))
    return torch.stack((parts[:, first], parts[:, 1 - first]), dim=2).flatten(0, 2)
