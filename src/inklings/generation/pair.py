"""A check that a model and a tokenizer belong together."""

from __future__ import annotations

from inklings.errors import TokenizerError
from inklings.models.contract import Architecture
from inklings.text.tokenizers import Tokenizer


def check_pair(model: Architecture, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that the model was not made for.

    Raises:
        TokenizerError: the sizes of the vocabularies, or the boundary tokens, differ.
    """
    of_model = (model.config.vocab_size, model.config.boundary_token)
    of_tokenizer = (tokenizer.vocab_size, tokenizer.boundary)
    if of_model != of_tokenizer:
        raise TokenizerError(
            f"the tokenizer has {of_tokenizer[0]} tokens (boundary {of_tokenizer[1]}), the model"
            f" was made for {of_model[0]} (boundary {of_model[1]}); use the tokenizer.json that is"
            " stored with the model's run."
        )
