"""`gpt` with SwiGLU and without QK-norm is Mistral: Llama with a sliding window in every layer."""

from __future__ import annotations

from typing import Any

from inklings.interop.exports.form import only
from inklings.interop.to_transformers.forms import TransformersForm
from inklings.interop.to_transformers.qwen3 import (
    windowed_notes,
    windowed_reach,
    windowed_settings,
    windowed_tensors,
)
from inklings.models.gpt import GPT


def _settings(model: GPT) -> dict[str, Any]:
    return {"model_type": "mistral", **windowed_settings(model)}


def _notes(model: GPT) -> tuple[str, ...]:
    return windowed_notes(model, "Mistral")


MISTRAL = TransformersForm(
    name="mistral",
    class_name="MistralForCausalLM",
    **only("gpt", feed_forward="swiglu", qk_norm="none"),
    settings=_settings,
    tensors=windowed_tensors,
    reach=windowed_reach,
    notes=_notes,
)
