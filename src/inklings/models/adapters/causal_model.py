"""A causal model of `transformers` as the model of a run: built from its configuration alone.

No code of others is executed: the class is one of the library's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inklings.errors import ArchitectureError, import_extra
from inklings.models.adapters.hugging_face import HuggingFaceModel, quiet
from inklings.models.opening import OpeningConfig


@dataclass(frozen=True, kw_only=True)
class CausalModelConfig(OpeningConfig):
    """What the model is made from."""

    settings: str = "{}"
    """The content of its config.json."""


class CausalModel(HuggingFaceModel):
    """The model, with logits for the tokens of its tokenizer alone.

    A vocabulary is often filled up to a round number; what is beyond the tokenizer never occurs.
    """

    Config = CausalModelConfig
    config: CausalModelConfig

    def __init__(self, config: CausalModelConfig) -> None:
        transformers = import_extra(
            "transformers", "a causal model of `transformers`", "transformers"
        )
        settings: dict[str, Any] = json.loads(config.settings)
        try:
            with quiet(transformers):
                made = transformers.AutoConfig.for_model(**settings)
                inner = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.float32)
        except Exception as error:  # the library raises whatever comes up
            raise ArchitectureError(
                f"transformers {transformers.__version__} cannot build a causal model of the type"
                f" {settings.get('model_type')!r}: {type(error).__name__}: {error}"
            ) from error
        super().__init__(
            inner, boundary_token=config.boundary_token, opening_token=config.opening_token
        )
        self.config = config

    def read(
        self, tokens: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T C"]]:
        """Return the logits of one plain pass, and the last hidden states."""
        logits, hidden = super().read(tokens)
        return logits[..., : self.config.vocab_size], hidden
