"""Qwen3, Llama and Mistral become `gpt` with SwiGLU.

Their embedding is not normed, and their norms have gains, which go into the maps behind them. Those
of queries and keys stay, unless all are one. Where their norms add another epsilon than ours, all
that is added to the stream is scaled: x / sqrt(mean(x^2) + e) is the same for x and e, and for s x
and s^2 e.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch
from torch import Tensor

from inklings.interop.imports.foreign_folder import ModelFolder
from inklings.interop.imports.kind import ImportKind
from inklings.interop.imports.rotary_decoder import (
    Demands,
    FolderWeights,
    Sizes,
    finished,
    has_own_head,
    query_key_value,
    rotary_base,
    settings_here,
    sizes_of,
)
from inklings.interop.to_transformers.rotary_model import neighbours
from inklings.layers.norm import EPSILON
from inklings.models.contract import SequenceModel
from inklings.models.gpt import GPTConfig

SLIDING, FULL = "sliding_attention", "full_attention"
"""What a configuration calls layers with a window, and layers that see all."""
QWEN3_HEAD = 128
"""Channels of a head of Qwen3 where its configuration does not say."""


def _load(folder: ModelFolder, vocab_size: int, boundary: int, *, make: str) -> SequenceModel:
    demands = Demands(folder)
    demands.only("hidden_act", "silu", "swish")
    demands.only("attention_bias", False)
    demands.only("mlp_bias", False)
    sizes = sizes_of(demands, head_size=QWEN3_HEAD if make == "qwen3" else None)
    window = _window(demands, sizes, make)
    base = rotary_base(demands, sizes, window=window)
    demands.refuse()
    weights = FolderWeights(folder)
    scale = math.sqrt(EPSILON / folder.real("rms_norm_eps", 1e-6))
    tensors = _outer(demands, weights, sizes, scale)
    gains: dict[str, Tensor] = {}
    for layer in range(sizes.n_layer):
        tensors |= _layer(weights, sizes, layer, scale=scale, normed=make == "qwen3")
        if make == "qwen3":
            gains |= _head_gains(weights, sizes, layer)
    told = any(bool((gain != 1).any()) for gain in gains.values())
    norm: Literal["plain", "gains", "none"] = "gains" if told else "plain"
    config = GPTConfig(
        **settings_here(folder, sizes, vocab_size, boundary),
        context_length=window,
        feed_forward="swiglu",
        qk_norm=norm if make == "qwen3" else "none",
        norm_embedding=False,
        tied_head="head.weight" not in tensors,
        rotary_base=base,
    )
    for name in ("embedding.weight", "head.weight"):
        tensors[name] = tensors.get(name, tensors["embedding.weight"])[:vocab_size]
    return finished(demands, weights, config, {**tensors, **(gains if told else {})})


def _window(demands: Demands, sizes: Sizes, make: str) -> int:
    """Return how many tokens each layer looks back."""
    folder, longest = demands.folder, demands.folder.number("max_position_embeddings", 2048)
    slides = folder.settings.get("sliding_window") is not None and make != "llama"
    first = 0
    if make == "qwen3":
        slides = folder.truth("use_sliding_window") and slides
        first = folder.number("max_window_layers", 28, least=0)
    there = {FULL: not slides or first > 0, SLIDING: slides and first < sizes.n_layer}
    kinds = {kind for kind, some in there.items() if some}
    if make == "qwen3":
        kinds = set(folder.names("layer_types")) or kinds
    if len(kinds) > 1:
        demands.missing.append("some layers have a window and some see all")
    elif kinds not in ({SLIDING}, {FULL}):
        demands.missing.append(f"its layers are of the kind {', '.join(kinds)}")
    if kinds == {SLIDING}:
        return folder.number("sliding_window")
    return longest


def _outer(
    demands: Demands, weights: FolderWeights, sizes: Sizes, scale: float
) -> dict[str, Tensor]:
    """Return embedding and head; no head where it is the embedding.

    Args:
        demands: of the configuration.
        weights: of the folder.
        sizes: of the model.
        scale: of what is added to the stream.
    """
    rows = weights.take("embed_tokens.weight", sizes.vocab_size, sizes.n_embd)
    gain = weights.take("norm.weight", sizes.n_embd)
    separate = has_own_head(demands, weights)
    head = weights.take("lm_head.weight", *rows.shape) if separate else rows
    found = {"embedding.weight": rows * scale}
    if separate or scale != 1 or bool((gain != 1).any()):
        found["head.weight"] = head * gain
    return found


def _layer(
    weights: FolderWeights, sizes: Sizes, layer: int, *, scale: float, normed: bool
) -> dict[str, Tensor]:
    """Return the matrices of a layer, with the gains of its norms in them.

    Args:
        weights: of the folder.
        sizes: of the model.
        layer: which one.
        scale: of what is added to the stream.
        normed: whether queries and keys are normed.
    """
    there, here, width = f"layers.{layer}", f"stack.blocks.{layer}", sizes.n_embd
    attention = query_key_value(weights, sizes, f"{there}.self_attn", first=0)
    attention = attention * weights.take(f"{there}.input_layernorm.weight", width)
    if normed:
        attention[: 2 * width] *= scale
    widen = torch.cat(
        [
            weights.take(f"{there}.mlp.{name}.weight", sizes.n_hidden, width)
            for name in ("gate_proj", "up_proj")
        ]
    )
    widen = widen * weights.take(f"{there}.post_attention_layernorm.weight", width)
    mixed = weights.take(f"{there}.self_attn.o_proj.weight", width, width)
    narrow = weights.take(f"{there}.mlp.down_proj.weight", width, sizes.n_hidden)
    return {
        f"{here}.attention.query_key_value.weight": attention,
        f"{here}.attention.project.weight": mixed * scale,
        f"{here}.feed_forward.widen.weight": widen,
        f"{here}.feed_forward.project.weight": narrow * scale,
    }


def _head_gains(weights: FolderWeights, sizes: Sizes, layer: int) -> dict[str, Tensor]:
    """Return the gains of queries and keys, laid out as here."""
    size, found = sizes.n_embd // sizes.n_head, {}
    for theirs, ours in (("q_norm", "query_gain"), ("k_norm", "key_gain")):
        gain = weights.take(f"layers.{layer}.self_attn.{theirs}.weight", size)
        found[f"stack.blocks.{layer}.attention.{ours}"] = neighbours(gain, 1)
    return found


def _kind(make: str) -> ImportKind:
    return ImportKind(name=make, architecture="gpt", load=functools.partial(_load, make=make))


QWEN3_KIND, LLAMA_KIND, MISTRAL_KIND = _kind("qwen3"), _kind("llama"), _kind("mistral")
