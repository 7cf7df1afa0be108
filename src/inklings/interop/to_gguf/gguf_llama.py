"""`gpt` with SwiGLU and without QK-norm is Llama in llama.cpp, as far as its window reaches.

There the channels that turn together are neighbours, as here; in transformers they stand half a
head apart.
"""

from __future__ import annotations

from dataclasses import replace

from inklings.interop.exports.form import AnyNumber, one_window, only
from inklings.interop.to_gguf.gguf_forms import GgufForm
from inklings.interop.to_gguf.gguf_qwen3 import KEYS, rotary_file_notes
from inklings.interop.to_transformers.mistral import MISTRAL

LLAMA_FILE = GgufForm(
    name="llama",
    class_name="llama",
    **only("gpt", feed_forward="swiglu", qk_norm="none", rotary_base=AnyNumber(10_000)),
    reach=one_window,
    notes=rotary_file_notes,
    # Mistral without its window, which has no place in the file
    twin=replace(MISTRAL, class_name="LlamaForCausalLM"),
    keys=KEYS,
    paired=("q_proj.weight", "k_proj.weight"),
)
