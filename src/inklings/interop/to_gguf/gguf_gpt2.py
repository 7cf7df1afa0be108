"""`gpt2` is GPT-2 in llama.cpp too, as far as its positions reach."""

from __future__ import annotations

from inklings.interop.exports.form import one_window, only
from inklings.interop.to_gguf.gguf_forms import GgufForm
from inklings.interop.to_transformers.gpt2 import GPT2_FORM
from inklings.models.gpt2 import GPT2


def _notes(model: GPT2) -> tuple[str, ...]:
    return (
        *GPT2_FORM.notes(model),
        "llama.cpp takes GELU from a table in half precision: its logits part a little from those"
        " of the run, in float32 too.",
    )


GPT2_FILE = GgufForm(
    name="gpt2",
    class_name="gpt2",
    **only("gpt2"),
    reach=one_window,
    notes=_notes,
    twin=GPT2_FORM,
    keys={
        "context_length": "n_positions",
        "embedding_length": "n_embd",
        "block_count": "n_layer",
        "feed_forward_length": "n_inner",
        "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    turned=("c_attn.weight", "c_proj.weight", "c_fc.weight"),
)
