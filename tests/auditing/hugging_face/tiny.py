"""Tiny causal models of `transformers`, at random weights, and broken ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from inklings.auditing.hugging_face.hugging_face_subject import (
    HuggingFaceSubject,
    of_hugging_face,
)
from inklings.models.adapters.hugging_face import LoadedModel

TOKENS = {"vocab_size": 61, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
WIDTH = {
    **TOKENS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
WINDOW = {"sliding_window": 16}
OLD = {"n_layer": 2, "n_head": 4, **TOKENS}
TINY: dict[str, dict[str, Any]] = {
    "gpt2": {**OLD, "n_embd": 32, "n_positions": 64},
    "llama": WIDTH,
    "qwen3": {**WIDTH, "head_dim": 8},
    "mistral": {**WIDTH, **WINDOW},
    "gemma2": {**WIDTH, **WINDOW, "head_dim": 8},
    "gemma3_text": {**WIDTH, **WINDOW, "head_dim": 8},
    "phi": WIDTH,
    "gpt_neox": WIDTH,
    "opt": {**WIDTH, "word_embed_proj_dim": 32, "ffn_dim": 48},
    "bloom": {**OLD, "hidden_size": 32},
    "falcon": {**TOKENS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "mamba": {**TOKENS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "olmo2": WIDTH,
    "mixtral": {**WIDTH, "num_local_experts": 4},
    "nanochat": WIDTH,
    "gpt_neo": {
        **TOKENS,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "window_size": 16,
        "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 64,
    },
}
"""Architectures and the fields of their configurations."""


def tiny(name: str, **fields: Any) -> Any:
    """A model of an architecture; of one that is not in `TINY` the fields are given."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AutoConfig.for_model(name, **{**TINY.get(name, {}), **fields})
        return AutoModelForCausalLM.from_config(config).eval()


def subject_of_model(inner: nn.Module, *, trained: bool = False) -> HuggingFaceSubject:
    """A model as a subject, without a tokenizer."""
    loaded = LoadedModel(inner=inner, is_trained=trained, tokenizer=None)
    return of_hugging_face("a model", loaded, None)


def broken(how: str) -> Any:
    """A Llama that is wrong in one way."""
    from transformers import LlamaForCausalLM

    class Leaky(LlamaForCausalLM):
        """Adds a little of what follows to every logit."""

        def forward(self, input_ids: Any = None, **more: Any) -> Any:
            output = super().forward(input_ids=input_ids, **more)
            ahead = self.model.embed_tokens(input_ids).sum(-1).roll(-1, dims=1)
            ahead[:, -1] = 0
            output.logits = output.logits + ahead[..., None] * self.lm_head.weight[:, 0]
            return output

    class SeesPadding(LlamaForCausalLM):
        """Drops the mask, so that padding on the left is read."""

        def forward(self, *given: Any, attention_mask: Any = None, **more: Any) -> Any:
            return super().forward(*given, **more)

    class ForgetsCache(LlamaForCausalLM):
        """Scales what it says by how many tokens it is given at once."""

        def forward(self, input_ids: Any = None, **more: Any) -> Any:
            output = super().forward(input_ids=input_ids, **more)
            if more.get("use_cache") and input_ids.shape[1] == 1:
                output.logits = 1.5 * output.logits
            return output

    kind = {"leaks": Leaky, "sees padding": SeesPadding, "forgets its cache": ForgetsCache}[how]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(tiny("llama").config).eval()
