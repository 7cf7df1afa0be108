"""Special tokens, and those of a chat template that a tokenizer does not have.

A model that was tuned to chat knows `<|im_start|>` as one token. Spelled in letters it is a text
that the model has hardly met.
"""

from __future__ import annotations

import re

from inklings.errors import TokenizerError
from inklings.text.tokenizers import Tokenizer

NAME = re.compile(
    r"<[|\uff5c][^<>\s]{1,60}[|\uff5c]>"  # <|im_start|>, and DeepSeek's wide bars
    r"|</?s>|<(?:bos|eos|start_of_turn|end_of_turn)>"  # Llama 2, Gemma
    r"|\[/?[A-Z_]{3,30}\]"  # Mistral's [INST]
)
"""The forms in which models that are in use name such tokens."""
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the special tokens of a vocabulary by their names.

    `Tokenizer.encode` reads such a name as the text that it is.
    """
    added = tokenizer.backend.get_added_tokens_decoder()
    return {token.content: number for number, token in added.items() if token.special}


def spelled_names(template: str, tokenizer: Tokenizer) -> list[str]:
    """Return the special tokens that a chat template names and that the vocabulary lacks.

    They are read as the text that they are.

    Args:
        template: the source, in Jinja.
        tokenizer: of the model that reads what it makes.
    """
    names = dict.fromkeys(NAME.findall(_COMMENT.sub("", template)))
    return [name for name in names if not _is_token(name, tokenizer)]


def _is_token(name: str, tokenizer: Tokenizer) -> bool:
    if name in special_tokens(tokenizer):  # read as such where the template writes it
        return True
    try:
        tokens = tokenizer.encode(name).tolist()
    except TokenizerError:
        return False
    return len(tokens) == 1 and tokens[0] != tokenizer.unknown_token
