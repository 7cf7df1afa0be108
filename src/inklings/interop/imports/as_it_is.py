"""Any causal model that `transformers` has a class for, as it is: it is scored, not rebuilt."""

from __future__ import annotations

import json

import torch

from inklings.auditing.probes import moved, other_tokens, random_tokens
from inklings.errors import RunError
from inklings.interop.any_causal_model import load_any_causal
from inklings.interop.imports.foreign_folder import LOGITS, ModelFolder, refuse_no_numbers
from inklings.interop.imports.kind import ImportKind
from inklings.models.adapters.causal_model import CausalModel, CausalModelConfig
from inklings.models.adapters.hugging_face import (
    PREFIX,
    HuggingFaceModel,
    foreign_errors,
    settings_of,
)
from inklings.models.contract import SequenceModel

TOKENS = 64
"""Tokens of the text in which later ones are changed."""


def _load(folder: ModelFolder, vocab_size: int, boundary: int) -> SequenceModel:
    inner = load_any_causal(str(folder.path)).inner
    refuse_no_numbers(dict(inner.named_parameters()), folder.path)
    with foreign_errors(f"{folder.path} cannot be used as a causal model"):
        config = CausalModelConfig(
            vocab_size=vocab_size,
            boundary_token=boundary,
            opening_token=folder.opening(vocab_size),
            context_length=HuggingFaceModel(inner).config.context_length,
            settings=json.dumps(folder.settings, sort_keys=True),
        )
        model = CausalModel(config)
        model.inner.load_state_dict(inner.state_dict())
        _refuse_foresight(model.eval(), folder)
    return model


def _refuse_foresight(model: CausalModel, folder: ModelFolder) -> None:
    """Make sure that no logit depends on a later token.

    Raises:
        RunError: one does; the model fills gaps, or reads a text from both ends.
    """
    length = min(model.config.context_length, TOKENS)
    tokens = random_tokens(model, 1, length)
    with torch.no_grad():
        expected = model(tokens).logits
    refuse_no_numbers({LOGITS: expected}, folder.path)
    for kept in sorted({1, length // 2, length - 1} - {0, length}):
        changed = torch.cat([tokens[:, :kept], other_tokens(model, tokens[:, kept:])], dim=1)
        with torch.no_grad():
            found = model(changed).logits
        if effect := moved(found[:, :kept], expected[:, :kept]):
            decodes = getattr(settings_of(model.inner), "is_decoder", None)
            setting = f" (is_decoder is {decodes} in its configuration)" if decodes is False else ""
            raise RunError(
                f"{folder.path} reads tokens that come later{setting}: another one changes a logit"
                f" before it by {effect:.2g}. So it has no likelihood of a next token, and cannot"
                f" be scored as a language model. inklings audit {PREFIX}{folder.path} shows where"
                " the future enters."
            )


AS_IT_IS = ImportKind(name="as-it-is", architecture="causal_model", load=_load)
