"""The loop behind all generation: rows that grow token by token until each has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from inklings.errors import TokenizerError
from inklings.generation.reader import Reader
from inklings.generation.sampling import SamplingConfig, sample_next
from inklings.generation.text_stream import TextStream
from inklings.models.contract import Architecture
from inklings.text.tokenizers import Tokenizer


@dataclass
class TextRow:
    """One text that is being written."""

    history: list[int]
    """All tokens, from the boundary on."""
    text: TextStream
    generator: torch.Generator
    left: int
    """How many tokens may still be drawn."""
    drawn: list[int] = field(default_factory=list)
    """What was drawn, without the boundary that ended the text."""
    pieces: list[str] = field(default_factory=list)
    """What can be shown of it."""
    finished: Literal["boundary", "length", "stop"] | None = None

    def __post_init__(self) -> None:
        if self.left == 0:
            self.finished = "length"

    def accept(self, token: int, tokenizer: Tokenizer, *, stop_at_boundary: bool) -> str:
        """Append a token that was drawn and return the text that can now be shown."""
        self.history.append(token)
        self.left -= 1
        piece = ""
        if token == tokenizer.boundary and stop_at_boundary:
            self.finished = "boundary"
        else:
            self.drawn.append(token)
            piece = self.text.push(self._bytes(token, tokenizer))
            if self.text.stopped:
                self.finished = "stop"
            elif self.left == 0:
                self.finished = "length"
        if self.finished is not None:
            piece += self.text.finish()
        self.pieces.append(piece)
        return piece

    def _bytes(self, token: int, tokenizer: Tokenizer) -> bytes:
        """What the last token of the history shows as."""
        if token == tokenizer.boundary:
            return b"\n"
        return tokenizer.bytes_after(self.history[-2], token)


def decode(
    reader: Reader,
    rows: Sequence[TextRow],
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    *,
    stop_at_boundary: bool,
) -> Iterator[tuple[TextRow, str]]:
    """Let all rows, whose histories are equally long, grow to their ends.

    Yields each row with its new text.

    A row that has ended is dropped from the batch. Where a boundary does not end a text, it shows
    as a newline, and the model begins a new document there.
    """
    alive = [row for row in rows if row.finished is None]
    banned = tokenizer.boundary if sampling.ban_boundary else None
    seen = None if sampling.repetition_penalty == 1 else _seen(alive, tokenizer)
    counts = (
        torch.zeros(len(alive), tokenizer.vocab_size, dtype=torch.int64)
        if sampling.counts_draws
        else None
    )
    while alive:
        logits = reader.read([row.history for row in alive])
        seen = None if seen is None else seen.to(logits.device)
        counts = None if counts is None else counts.to(logits.device)
        generators = [row.generator for row in alive]
        tokens = sample_next(
            logits, sampling, generators, seen=seen, counts=counts, banned=banned
        ).tolist()
        for row, token in zip(alive, tokens, strict=True):
            yield row, row.accept(token, tokenizer, stop_at_boundary=stop_at_boundary)
        if seen is not None:
            seen[range(len(alive)), tokens] = True
            seen[:, tokenizer.boundary] = False
        if counts is not None:
            counts[range(len(alive)), tokens] += 1
            counts[:, tokenizer.boundary] = 0
        kept = [index for index, row in enumerate(alive) if row.finished is None]
        if len(kept) < len(alive):
            alive = [alive[index] for index in kept]
            if alive:
                reader.select(kept)
            seen = None if seen is None else seen[kept]
            counts = None if counts is None else counts[kept]


def _seen(rows: Sequence[TextRow], tokenizer: Tokenizer) -> Bool[Tensor, "B V"]:
    """Which tokens each row holds.

    The boundary does not count: that documents end is no repetition.
    """
    seen = torch.zeros(len(rows), tokenizer.vocab_size, dtype=torch.bool)
    for index, row in enumerate(rows):
        seen[index, row.history] = True
    seen[:, tokenizer.boundary] = False
    return seen


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
