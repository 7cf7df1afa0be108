"""Inspection of a token store: what is in it, before anything is trained on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from inklings.text.rules import RULES, Rules
from inklings.text.splits import SPLITS
from inklings.text.store import TokenSplit, TokenStore
from inklings.text.tokenizers import Tokenizer

_STRETCH = 2**22
"""Tokens that are counted at a time: a split may be larger than memory."""


def describe(
    store: TokenStore,
    *,
    shown: int = 5,
    frequent: int = 20,
    rare_below: int = 10,
    longest_shown: int = 200,
) -> dict[str, Any]:
    """Return what `inklings prepare` shows, as plain values.

    Args:
        store: the store.
        shown: how many documents of the training part are shown, as text and token by token.
        frequent: how many of the most frequent tokens are listed.
        rare_below: tokens that occur less often than this in the training part count as rare.
        longest_shown: how many tokens of a document are shown.

    Returns:
        `source`, `layout`, `split` (method, shares, overlap), `tokenizer`, `left_out`: files by
            suffix and records by reason (None of a store from before they were counted), `rules`
            for documents; `splits`: of each, documents, those that each rule dropped, tokens
            (boundaries included), bytes, characters, tokens per byte, and tokens of the shortest,
            the median and the longest document; `most_frequent`, `rare` and `unused` tokens of the
            training part, and its first `documents`.
    """
    manifest = store.manifest
    train = store.split("train")
    tokenizer = store.tokenizer
    counts = count_tokens(train, tokenizer.vocab_size)
    words = np.delete(np.arange(len(counts)), tokenizer.boundary)
    order = words[np.argsort(-counts[words], kind="stable")]
    total = int(counts[words].sum())
    return {
        "source": manifest["source"]["name"],
        "layout": manifest["source"]["layout"],
        "split": manifest["split"],
        "tokenizer": manifest["tokenizer"],
        "left_out": manifest["source"].get("left_out"),
        "rules": asdict(Rules.of_manifest(manifest)),
        "splits": {name: _describe_split(store, name) for name in SPLITS},
        "most_frequent": [
            {
                "token": int(token),
                "name": tokenizer.token_name(token),
                "count": int(counts[token]),
                "share": int(counts[token]) / total,
            }
            for token in order[:frequent].tolist()
            if counts[token]
        ],
        "rare": {
            "below": rare_below,
            "tokens": int(np.count_nonzero((counts[words] > 0) & (counts[words] < rare_below))),
        },
        "unused": int(np.count_nonzero(counts[words] == 0)),
        "documents": [
            _show(train, tokenizer, index, longest_shown)
            for index in range(min(shown, train.n_documents))
        ],
    }


def count_tokens(split: TokenSplit, vocab_size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how often each token occurs in a split, boundaries included; shape (vocab_size,)."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(split.tokens), _STRETCH):
        counts += np.bincount(
            split.read(start, min(start + _STRETCH, len(split.tokens))), minlength=vocab_size
        )
    return counts


def _describe_split(store: TokenStore, name: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "dropped": dict.fromkeys(RULES, 0),
        **store.manifest["splits"][name],
        "bytes": store.n_bytes(name),
    }
    if not facts["documents"]:
        return {**facts, "tokens_per_byte": None, "shortest": None, "median": None, "longest": None}
    lengths = np.diff(store.split(name).offsets) - 1
    return {
        **facts,
        "tokens_per_byte": int(lengths.sum()) / facts["bytes"],
        "shortest": int(lengths.min()),
        "median": float(np.median(lengths)),
        "longest": int(lengths.max()),
    }


def _show(split: TokenSplit, tokenizer: Tokenizer, index: int, longest: int) -> dict[str, Any]:
    """Return the beginning of a document."""
    start, end = int(split.offsets[index]) + 1, int(split.offsets[index + 1])
    tokens = split.read(start, min(end, start + longest)).tolist()
    return {
        "text": tokenizer.decode(tokens),
        "tokens": [tokenizer.token_name(token) for token in tokens],
        "length": end - start,
        "cut": end - start > longest,
    }
