"""`gpt2` is GPT-2, as far as its positions reach."""

from __future__ import annotations

from inklings.interop.exports.form import one_window, only
from inklings.interop.gpt2_weights import their_settings, their_tensors
from inklings.interop.to_transformers.forms import TransformersForm
from inklings.models.gpt2.model import GPT2


def _notes(model: GPT2) -> tuple[str, ...]:
    size = model.config.context_length
    return (
        f"It has {size:,} positions. Past them the run reads the last half of its window again;"
        f" here prompt and continuation have to stay within {size:,} tokens.",
    )


GPT2_FORM = TransformersForm(
    name="gpt2",
    class_name="GPT2LMHeadModel",
    **only("gpt2"),
    settings=their_settings,
    tensors=their_tensors,
    reach=one_window,
    notes=_notes,
)
