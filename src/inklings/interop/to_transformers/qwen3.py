"""`gpt` with SwiGLU is Qwen3, tensor for tensor, with a sliding window in every layer.

Its norms have gains, which are one. It does not norm the embedding: the rows are normed once, here.
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
    shared_settings,
    split_heads,
)
from inklings.layers.norm import rms_norm
from inklings.layers.rotary import PERIODS_PER_WINDOW
from inklings.models.contract import SequenceModel
from inklings.models.gpt import GPT


def _reach(model: SequenceModel) -> int:
    # a text of any length is read; rotations are rounded there
    return PERIODS_PER_WINDOW * model.config.context_length


def _settings(model: GPT) -> dict[str, Any]:
    config, shared = model.config, shared_settings(model, reach=_reach(model))
    rotary = shared["rope_parameters"]
    scaling = {name: rotary[name] for name in rotary if name != "rope_theta"}
    return {
        "model_type": "qwen3",
        **shared,
        # versions before 5 know the frequencies by these names, and would take others without them
        "rope_theta": rotary["rope_theta"],
        "rope_scaling": None if rotary["rope_type"] == "default" else scaling,
        "hidden_act": "silu",
        "intermediate_size": model.state_dict()["stack.blocks.0.feed_forward.project.weight"].shape[
            1
        ],
        "use_sliding_window": True,
        "sliding_window": config.context_length,
        "max_window_layers": 0,
        "layer_types": ["sliding_attention"] * config.n_layer,
        # the head reads the embedding as it is, and the first layer its normed rows: a tied head
        # becomes a matrix of its own
        "tie_word_embeddings": False,
    }


def _tensors(model: GPT) -> dict[str, Tensor]:
    config = model.config
    ones = torch.ones(config.n_embd)
    size, weights = config.n_embd // config.n_head, model.state_dict()
    tensors = {
        f"{PREFIX}embed_tokens.weight": rms_norm(weights["embedding.weight"]),
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
            f"{there}.self_attn.q_norm.weight": torch.ones(size),
            f"{there}.self_attn.k_norm.weight": torch.ones(size),
            f"{there}.self_attn.o_proj.weight": weights[f"{here}.attention.project.weight"],
            f"{there}.post_attention_layernorm.weight": ones,
            f"{there}.mlp.gate_proj.weight": gate,
            f"{there}.mlp.up_proj.weight": up,
            f"{there}.mlp.down_proj.weight": weights[f"{here}.feed_forward.project.weight"],
        }
    return tensors


def _notes(model: GPT) -> tuple[str, ...]:
    notes = [
        "Rotations are computed from rounded positions here: beyond the window logits part, slowly,"
        f" from those of the run. The configuration allows {_reach(model):,} tokens."
    ]
    if model.config.tied_head:
        notes.append(
            "The tied head is stored as a matrix of its own: Qwen3 does not norm the embedding, so"
            " its normed rows are stored beside the rows that the head reads."
        )
    return (*notes, *dropout_notes(model, "Qwen3"))


QWEN3 = TransformersForm(
    name="qwen3",
    class_name="Qwen3ForCausalLM",
    **only("gpt", feed_forward="swiglu"),
    settings=_settings,
    tensors=_tensors,
    reach=_reach,
    notes=_notes,
)
