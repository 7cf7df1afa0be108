"""NanoChat becomes `gpt` with squared ReLU: it has no gains, and norms the embedding as ours does.

Its rotations turn the other way.
"""

from __future__ import annotations

from inklings.interop.imports.foreign_folder import ModelFolder
from inklings.interop.imports.kind import ImportKind
from inklings.interop.imports.rotary_decoder import (
    Demands,
    FolderWeights,
    finished,
    has_own_head,
    query_key_value,
    rotary_base,
    settings_here,
    sizes_of,
)
from inklings.layers.norm import EPSILON
from inklings.models.contract import SequenceModel
from inklings.models.gpt import GPTConfig


def _load(folder: ModelFolder, vocab_size: int, boundary: int) -> SequenceModel:
    demands = Demands(folder)
    demands.only("hidden_act", "relu2")
    demands.only("attention_bias", False)
    demands.only("rms_norm_eps", EPSILON)
    if (cap := folder.settings.get("final_logit_softcapping", 15.0)) is not None:
        demands.missing.append(f"logits are capped (final_logit_softcapping is {cap!r})")
    sizes = sizes_of(demands)
    window = folder.number("max_position_embeddings", 2048)
    base = rotary_base(demands, sizes, window=window)
    demands.refuse()
    weights, width = FolderWeights(folder), sizes.n_embd
    tied = not has_own_head(demands, weights)
    rows = weights.take("embed_tokens.weight", sizes.vocab_size, width)
    head = rows if tied else weights.take("lm_head.weight", *rows.shape)
    tensors = {"embedding.weight": rows[:vocab_size], "head.weight": head[:vocab_size]}
    for layer in range(sizes.n_layer):
        there, here = f"layers.{layer}", f"stack.blocks.{layer}"
        tensors |= {
            f"{here}.attention.query_key_value.weight": query_key_value(
                weights, sizes, f"{there}.self_attn", first=1
            ),
            f"{here}.attention.project.weight": weights.take(
                f"{there}.self_attn.o_proj.weight", width, width
            ),
            f"{here}.feed_forward.widen.weight": weights.take(
                f"{there}.mlp.fc1.weight", sizes.n_hidden, width
            ),
            f"{here}.feed_forward.project.weight": weights.take(
                f"{there}.mlp.fc2.weight", width, sizes.n_hidden
            ),
        }
    config = GPTConfig(
        **settings_here(folder, sizes, vocab_size, boundary),
        context_length=window,
        feed_forward="relu2",
        tied_head=tied,
        rotary_base=base,
    )
    return finished(demands, weights, config, tensors)


NANOCHAT_KIND = ImportKind(name="nanochat", architecture="gpt", load=_load)
