"""Folders as `transformers` writes them: small models with random weights, over bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from inklings.text.token_bytes import byte_names
from tests.auditing.hugging_face.tiny import tiny

END, BEGIN = "<|endoftext|>", "<|begin|>"
TOKENS = {"vocab_size": 264, "bos_token_id": 256, "eos_token_id": 256, "pad_token_id": None}
"""Seven more than the tokenizer has, as vocabularies are filled up."""


def foreign(place: Path, make: str, **fields: Any) -> Path:
    """A folder with a model of some make, whose weights, gains and biases are anything.

    With the field `bos_token_id=257` its texts open with `BEGIN`.
    """
    model = tiny(make, **{**TOKENS, **fields})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(float(weight.ndim == 1), 0.3, generator=generator)
    model.save_pretrained(place)
    vocabulary = {**{name: number for number, name in enumerate(byte_names())}, END: 256}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END, BEGIN] if fields.get("bos_token_id") == 257 else [END])
    backend.save(str(place / "tokenizer.json"))
    return place
