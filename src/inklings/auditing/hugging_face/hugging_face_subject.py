"""A causal model of `transformers` as a subject: its adapter, itself, and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import tokenizers
from torch import nn

from inklings.auditing.subjects import Subject, seeded
from inklings.config import TrainingConfig
from inklings.models.adapters.hugging_face import (
    HuggingFaceModel,
    LoadedModel,
    fresh_weights,
    settings_of,
)
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore
from inklings.text.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class HuggingFaceSubject(Subject):
    """A causal model of `transformers`, at random weights or trained."""

    kind: ClassVar[str] = "Hugging Face model"

    inner: nn.Module
    """The model itself, with the weights that are judged."""
    tokenizer: Any | None = None
    """Its tokenizer, of `transformers`."""


def of_hugging_face(
    label: str,
    loaded: LoadedModel,
    store: TokenStore | None,
    *,
    split: SplitName = "validation",
) -> HuggingFaceSubject:
    """Return a loaded model as a subject.

    Args:
        label: its name in the audit.
        loaded: the model and its tokenizer.
        store: the text, in tokens of the model.
        split: the held-out text.
    """
    boundary, opening = boundary_of(loaded), opening_of(loaded)
    inner = loaded.inner

    def made(inner: nn.Module) -> HuggingFaceModel:
        return HuggingFaceModel(inner, boundary_token=boundary, opening_token=opening)

    def fresh() -> HuggingFaceModel:
        return made(fresh_weights(inner))

    trained = made(inner) if loaded.is_trained else None
    return HuggingFaceSubject(
        label=label,
        fresh=seeded(fresh),
        training=TrainingConfig(),
        trained=trained,
        store=store,
        split=split,
        inner=inner,
        tokenizer=loaded.tokenizer,
    )


def boundary_of(loaded: LoadedModel) -> int:
    """Return the token that ends a document, or 0 where none is named."""
    return next(_named(loaded, "eos_token_id", "bos_token_id"), 0)


def opening_of(loaded: LoadedModel) -> int | None:
    """Return the token that a document opens with, where one is named; else the boundary does."""
    return next(_named(loaded, "bos_token_id"), None)


def _named(loaded: LoadedModel, *names: str) -> Iterator[int]:
    """Yield the tokens that the tokenizer and the configuration call so, if they are some."""
    settings = settings_of(loaded.inner)
    for name in names:
        for holder in (loaded.tokenizer, settings):
            token = getattr(holder, name, None)
            if isinstance(token, int) and 0 <= token < settings.vocab_size:
                yield token


def own_tokenizer(loaded: LoadedModel) -> Tokenizer | None:
    """Return the model's tokenizer as ours; None where it has none of the `tokenizers` library."""
    backend = getattr(loaded.tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        return None
    copied = tokenizers.Tokenizer.from_str(backend.to_str())
    return Tokenizer(copied, kind="file", boundary=boundary_of(loaded))
