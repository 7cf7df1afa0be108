"""The tokenizer of a run in files that others open: its own rules, and the opening token in front.

Every document opens with the boundary (or what a model reads in its place, `models/opening.py`), so
a model has never read a text without it: encoding there puts it in front, as models with a BOS
token have it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import processors

from inklings.durable import write_bytes, write_json
from inklings.text.tokenizers import Tokenizer

FILES = ("tokenizer.json", "tokenizer_config.json")


def write_tokenizer(
    tokenizer: Tokenizer | None, folder: Path, *, opening: int, longest: int
) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`.

    Args:
        tokenizer: of the run; None where there is to be none, which takes the files away.
        folder: where to.
        opening: the token that the model reads where a document opens.
        longest: tokens that the model reads at most.
    """
    if tokenizer is None:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        return
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    first, boundary = (backend.id_to_token(token) for token in (opening, tokenizer.boundary))
    backend.post_processor = processors.TemplateProcessing(
        single=[first, "$A"],
        pair=[first, "$A", first, "$B:1"],
        special_tokens=[(first, opening)],
    )
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": first,
        "eos_token": boundary,
        "pad_token": boundary,
        "padding_side": "left",
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # the boundary's name, met in a text, is text
    }
    if tokenizer.unknown_token is not None:
        settings["unk_token"] = backend.id_to_token(tokenizer.unknown_token)
    rules = json.loads(backend.to_str())
    write_bytes(folder / FILES[0], (json.dumps(rules, ensure_ascii=False) + "\n").encode())
    write_json(folder / FILES[1], settings)


def why_absent(tokenizer: Tokenizer) -> str | None:
    """Return why a tokenizer has no form there; None if it has one."""
    if tokenizer.kind != "word":
        return None
    return (
        "its tokens are words, and whoever opens tokenizer.json would put other blanks between them"
        " than the run does"
    )
