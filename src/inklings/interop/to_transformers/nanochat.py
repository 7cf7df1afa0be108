"""`gpt` with squared ReLU is NanoChat, as far as its window reaches.

There every token sees all before it, so texts longer than the window are read otherwise. Its
rotations turn the other way, and it norms queries and keys behind them, which is the same.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from inklings.interop.exports.form import one_window, only
from inklings.interop.to_transformers.forms import TransformersForm
from inklings.interop.to_transformers.rotary_model import (
    PREFIX,
    dropout_notes,
    inner_width,
    sees_all,
    shared_settings,
    split_heads,
)
from inklings.models.gpt import GPT


def _settings(model: GPT) -> dict[str, Any]:
    return {
        "model_type": "nanochat",
        **shared_settings(model, reach=one_window(model)),
        "hidden_act": "relu2",
        "intermediate_size": inner_width(model),
        "final_logit_softcapping": None,
        "tie_word_embeddings": model.config.tied_head,
    }


def _tensors(model: GPT) -> dict[str, Tensor]:
    weights = model.state_dict()
    tensors = {f"{PREFIX}embed_tokens.weight": weights["embedding.weight"]}
    if not model.config.tied_head:
        tensors["lm_head.weight"] = weights["head.weight"]
    for layer in range(model.config.n_layer):
        here, there = f"stack.blocks.{layer}", f"{PREFIX}layers.{layer}"
        query, key, value = split_heads(
            weights[f"{here}.attention.query_key_value.weight"], model.config.n_head, first=1
        )
        tensors |= {
            f"{there}.self_attn.q_proj.weight": query,
            f"{there}.self_attn.k_proj.weight": key,
            f"{there}.self_attn.v_proj.weight": value,
            f"{there}.self_attn.o_proj.weight": weights[f"{here}.attention.project.weight"],
            f"{there}.mlp.fc1.weight": weights[f"{here}.feed_forward.widen.weight"],
            f"{there}.mlp.fc2.weight": weights[f"{here}.feed_forward.project.weight"],
        }
    return tensors


def _notes(model: GPT) -> tuple[str, ...]:
    return (sees_all(model), *dropout_notes(model, "NanoChat"))


NANOCHAT = TransformersForm(
    name="nanochat",
    class_name="NanoChatForCausalLM",
    **only("gpt", feed_forward="relu2", qk_norm="plain", norm_embedding=True),
    settings=_settings,
    tensors=_tensors,
    reach=one_window,
    notes=_notes,
)
