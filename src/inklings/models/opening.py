"""Documents that open with another token than they end with, as in most published models.

There a document is `<s> text </s>`. Here one token, the boundary, stands between documents: as a
target it ends one, read it opens the next. So a model with such weights keeps the end as its
boundary and reads the other token in its place wherever a document opens, and nobody else has to
know of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from inklings.models.contract import ModelConfig, State, require


@dataclass(frozen=True, kw_only=True)
class OpeningConfig(ModelConfig):
    """Settings of models whose weights may come from elsewhere."""

    opening_token: int | None = None
    """The token that is read where a document opens, in weights that learned another there than the
    one that ends it (`models/opening.py`). None is the boundary.
    """

    @property
    def opening(self) -> int:
        """The token that is read where a document opens."""
        return self.boundary_token if self.opening_token is None else self.opening_token

    def __post_init__(self) -> None:
        super().__post_init__()
        known = 0 <= self.opening < self.vocab_size
        require(self, "opening_token", known, "a token of the vocabulary, or not given")


def opened(
    tokens: Int[Tensor, "B T"],
    config: ModelConfig,
    state: State | None = None,
    starts: Bool[Tensor, "B T"] | None = None,
) -> Int[Tensor, "B T"]:
    """Return the tokens with the one that opens a document in place of a boundary that does.

    Args:
        tokens: what a model is given, (B, T).
        config: of the model.
        state: the same; its `position` counts the tokens of the document that were read.
        starts: the same, (B, T).
    """
    if config.opening == config.boundary_token:
        return tokens
    first = torch.arange(tokens.shape[1], device=tokens.device) == 0
    opens = first if state is None else first & (state.tensors["position"] == 0)[:, None]
    opens = opens if starts is None else opens | starts
    return torch.where(opens & (tokens == config.boundary_token), config.opening, tokens)
