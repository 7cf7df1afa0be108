"""The tokenizer of a run as `AutoTokenizer` opens it: its own rules, and the boundary in front.

Every document opens with the boundary, so a model has never read a text without it: encoding there
puts it in front, as models with a BOS token have it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import processors

from inklings.durable import write_bytes, write_json
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer

FILES = ("tokenizer.json", "tokenizer_config.json")
LINES = 200
"""Lines of held-out text that both tokenizers read before a tokenizer is exported."""
_MOST_TOKENS = 2**16
"""Tokens of held-out text that these lines are taken from."""


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, longest: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`.

    Args:
        tokenizer: of the run.
        folder: where to.
        longest: tokens that the model reads at most.
    """
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    boundary = backend.id_to_token(tokenizer.boundary)
    backend.post_processor = processors.TemplateProcessing(
        single=[boundary, "$A"],
        pair=[boundary, "$A", boundary, "$B:1"],
        special_tokens=[(boundary, tokenizer.boundary)],
    )
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": boundary,
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
        "its tokens are words, and transformers would put other blanks between them than the run"
        " does"
    )


def difference(tokenizer: Tokenizer, theirs: Any, lines: list[str]) -> str | None:
    """Return how an exported tokenizer reads or writes a line otherwise; None if it never does.

    Args:
        tokenizer: of the run.
        theirs: what `AutoTokenizer` made of the exported files.
        lines: text whose characters the vocabulary has.
    """
    for line in lines:
        expected = [tokenizer.boundary, *tokenizer.encode(line).tolist()]
        found = list(theirs(line, verbose=False)["input_ids"])
        if found != expected:
            return f"transformers reads {line[:40]!r} as other tokens than the run does"
        if theirs.decode(found, skip_special_tokens=True) != tokenizer.decode(expected):
            return f"transformers writes {line[:40]!r} otherwise than the run does"
    return None


def lines_of(tokenizer: Tokenizer, split: TokenSplit) -> list[str]:
    """Return lines of a text that its vocabulary knows all of, at most `LINES`.

    One more is the name of the boundary, if it can be written.
    """
    found: list[str] = []
    for line in _texts(tokenizer, split):
        if len(found) == LINES:
            break
        if line and not tokenizer.unknown_characters(line):
            found.append(line)
    name = str(tokenizer.backend.id_to_token(tokenizer.boundary))
    if tokenizer.kind != "file" and not tokenizer.unknown_characters(name):
        found.append(f"{name} {name}")
    return found


def _texts(tokenizer: Tokenizer, split: TokenSplit) -> Iterator[str]:
    left = _MOST_TOKENS
    for index in range(split.n_documents):
        tokens = split.document(index)[:left]
        left -= len(tokens)
        yield from tokenizer.decode(tokens).splitlines(keepends=True)
        if not left:
            return
