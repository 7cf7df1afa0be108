"""`gpt` in its portable form is Qwen3 in llama.cpp, as far as its window reaches.

There is no sliding window there, and frequencies are of a base: those that `gpt` spreads over its
window have no place in the file.
"""

from __future__ import annotations

from inklings.interop.exports.form import AnyNumber, one_window, only
from inklings.interop.to_gguf.gguf_forms import GgufForm
from inklings.interop.to_transformers.qwen3 import QWEN3
from inklings.interop.to_transformers.rotary_model import dropout_notes, sees_all
from inklings.models.gpt import GPT

KEYS = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
"""Settings of Qwen3, and of Llama, by their keys in a file."""


def rotary_file_notes(model: GPT) -> tuple[str, ...]:
    """Say in what a model is other in llama.cpp."""
    return (sees_all(model), *dropout_notes(model, "llama.cpp"))


QWEN3_FILE = GgufForm(
    name="qwen3",
    class_name="qwen3",
    **only(
        "gpt",
        feed_forward="swiglu",
        qk_norm=("plain", "gains"),
        rotary_base=AnyNumber(10_000),
    ),
    reach=one_window,
    notes=rotary_file_notes,
    twin=QWEN3,
    keys=KEYS,
)
