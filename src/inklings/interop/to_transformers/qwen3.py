"""`gpt` with SwiGLU is Qwen3, tensor for tensor, with a sliding window in every layer.

Its norms have gains, which are one. It does not norm the embedding: the rows are normed once, here.
Without QK-norm the model is Mistral, which has the rest of it alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inklings.interop.exports.form import only
from inklings.interop.to_transformers.forms import TransformersForm
from inklings.interop.to_transformers.rotary_model import (
    PREFIX,
    dropout_notes,
    halves,
    inner_width,
    shared_settings,
    split_heads,
)
from inklings.layers.norm import rms_norm
from inklings.layers.rotary import PERIODS_PER_WINDOW
from inklings.models.contract import SequenceModel
from inklings.models.gpt import GPT


def windowed_reach(model: SequenceModel) -> int:
    """Return how many tokens are promised: eight windows."""
    # a text of any length is read; rotations are rounded there
    return PERIODS_PER_WINDOW * model.config.context_length


def windowed_settings(model: GPT) -> dict[str, Any]:
    """Return what both say of a model: its sizes, its frequencies, its window."""
    config, shared = model.config, shared_settings(model, reach=windowed_reach(model))
    rotary = shared["rope_parameters"]
    scaling = {name: rotary[name] for name in rotary if name != "rope_theta"}
    return {
        **shared,
        # versions before 5 know the frequencies by these names, and would take others without them
        "rope_theta": rotary["rope_theta"],
        "rope_scaling": None if rotary["rope_type"] == "default" else scaling,
        "hidden_act": "silu",
        "intermediate_size": inner_width(model),
        "sliding_window": config.context_length,
        # the head reads the embedding as it is, and the first layer its normed rows: such a tied
        # head becomes a matrix of its own
        "tie_word_embeddings": config.tied_head and not config.norm_embedding,
    }


def _settings(model: GPT) -> dict[str, Any]:
    return {
        "model_type": "qwen3",
        **windowed_settings(model),
        "use_sliding_window": True,
        "max_window_layers": 0,
        "layer_types": ["sliding_attention"] * model.config.n_layer,
    }


def windowed_tensors(model: GPT) -> dict[str, Tensor]:
    """Return the weights that both have, by their names there."""
    config, weights = model.config, model.state_dict()
    ones, rows = torch.ones(config.n_embd), weights["embedding.weight"]
    tensors = {
        f"{PREFIX}embed_tokens.weight": rms_norm(rows) if config.norm_embedding else rows,
        f"{PREFIX}norm.weight": ones,
        "lm_head.weight": weights["head.weight"],
    }
    for layer in range(config.n_layer):
        here, there = f"stack.blocks.{layer}", f"{PREFIX}layers.{layer}"
        query, key, value = split_heads(
            weights[f"{here}.attention.query_key_value.weight"], config.n_head, first=0
        )
        gate, up = weights[f"{here}.feed_forward.widen.weight"].chunk(2)
        tensors |= {
            f"{there}.input_layernorm.weight": ones,
            f"{there}.self_attn.q_proj.weight": query,
            f"{there}.self_attn.k_proj.weight": key,
            f"{there}.self_attn.v_proj.weight": value,
            f"{there}.self_attn.o_proj.weight": weights[f"{here}.attention.project.weight"],
            f"{there}.post_attention_layernorm.weight": ones,
            f"{there}.mlp.gate_proj.weight": gate,
            f"{there}.mlp.up_proj.weight": up,
            f"{there}.mlp.down_proj.weight": weights[f"{here}.feed_forward.project.weight"],
        }
    return tensors


def _tensors(model: GPT) -> dict[str, Tensor]:
    config, weights, tensors = model.config, model.state_dict(), windowed_tensors(model)
    ones = torch.ones(config.n_embd // config.n_head)
    for layer in range(config.n_layer):
        here, there = f"stack.blocks.{layer}.attention", f"{PREFIX}layers.{layer}.self_attn"
        for ours, theirs in (("query_gain", "q_norm"), ("key_gain", "k_norm")):
            gain = weights.get(f"{here}.{ours}", ones)
            tensors[f"{there}.{theirs}.weight"] = halves(gain, 1)
    return tensors


def windowed_notes(model: GPT, there: str) -> tuple[str, ...]:
    """Say in what a model is other there: `there` is Qwen3 or Mistral."""
    notes = [
        "Rotations are computed from rounded positions here: beyond the window logits part, slowly,"
        f" from those of the run. The configuration allows {windowed_reach(model):,} tokens."
    ]
    if model.config.tied_head and model.config.norm_embedding:
        notes.append(
            f"The tied head is stored as a matrix of its own: {there} does not norm the embedding,"
            " so its normed rows are stored beside the rows that the head reads."
        )
    return (*notes, *dropout_notes(model, there))


def _notes(model: GPT) -> tuple[str, ...]:
    return windowed_notes(model, "Qwen3")


QWEN3 = TransformersForm(
    name="qwen3",
    class_name="Qwen3ForCausalLM",
    **only("gpt", feed_forward="swiglu", qk_norm=("plain", "gains")),
    settings=_settings,
    tensors=_tensors,
    reach=windowed_reach,
    notes=_notes,
)
