"""Drawing samples from any generator, in the form that real text is compared in."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from inklings.errors import ConfigError, SourceError
from inklings.evaluation.samples.sample_set import (
    SampleSet,
    cut_windows,
    documents_of,
    sample_set,
    windows_of,
)
from inklings.generation.generate import ROWS, generate
from inklings.generation.inference import inference
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import Architecture, SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.models.objectives import makes_texts, predictor
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer
from inklings.world import ALONE, World

TEXTS = 64
"""Long texts, written side by side, that windows are cut from."""

OPENING = 4
"""Unused windows at the start of each of those texts: real windows hardly ever begin a document."""

ROUNDS = 8
"""Most rounds of writing, where the texts give fewer windows than asked for."""


def draw(
    model: Architecture,
    tokenizer: Tokenizer,
    n: int,
    *,
    max_length: int,
    windows: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> SampleSet:
    """Let a model write n documents of at most `max_length` tokens, or n windows.

    Windows have `windows` tokens each.

    A document that has not ended after `max_length` tokens is cut there, as real ones are. Windows
    of a model with a likelihood are cut from long texts of its own; one without a likelihood writes
    each by itself.

    Args:
        model: a generator with a likelihood, or one that makes whole texts out of noise.
        tokenizer: the one that the model was trained with.
        n: how many.
        max_length: not read where windows are asked for.
        windows: tokens of a window.
        temperature: of the draws; only of a model that has a likelihood.
        seed: of the draws.

    Raises:
        ConfigError: a number is out of range, or a temperature is given to a model that has none.
        SourceError: the model's documents are shorter than a window.
    """
    if n < 1:
        raise ConfigError(f"{n} samples were asked for; draw at least 1.")
    length = max_length if windows is None else windows
    if length < 1:
        raise ConfigError(f"samples of {length} tokens were asked for; they need at least 1.")
    if makes_texts(model):
        if temperature != 1:
            raise ConfigError(
                f"{type(model).__name__} has no likelihood, so no temperature; {temperature} was"
                " given. Leave it at 1."
            )
        return _out_of_noise(model, tokenizer, n, length, seed, cut=windows is None)
    model = predictor(model, "writing")
    sampling = SamplingConfig(temperature=temperature, seed=seed)
    if windows is not None:
        return _windows(model, tokenizer, n, windows, sampling)
    # One more than the longest: a document that ends just there does end.
    texts = generate(model, tokenizer, max_new_tokens=length + 1, sampling=sampling, samples=n)
    return sample_set(
        [text.tokens[:length] for text in texts],
        [text.finished == "boundary" for text in texts],
        boundary=tokenizer.boundary,
        vocab_size=tokenizer.vocab_size,
    )


def draw_as_trained(
    model: SampleModel,
    tokenizer: Tokenizer,
    n: int,
    *,
    seed: int = 0,
    world: World = ALONE,
) -> SampleSet:
    """Draw texts in the form and of the length that a model without likelihood was made for.

    Args:
        model: the model.
        tokenizer: its own.
        n: how many texts.
        seed: of the noise.
        world: the processes that make a share of the texts each, and look before each batch whether
            they were asked to stop; all get all texts.

    Raises:
        InterruptedWorkError: one of the processes was asked to stop.
    """
    length, cut = model.config.context_length - 1, model.windows is None
    if model.windows is not None:
        length = model.windows
    return _out_of_noise(model, tokenizer, n, length, seed, cut=cut, world=world)


def real_as_trained(
    model: SampleModel, split: TokenSplit, *, most_tokens: int | None = None
) -> SampleSet:
    """Return real texts in the form of those of `draw_as_trained`.

    Args:
        model: says whether they are documents or windows, and how long.
        split: the text.
        most_tokens: take only as many as have this many tokens together.
    """
    vocab_size, length = model.config.vocab_size, model.config.context_length
    if model.windows is not None:
        return windows_of(split, model.windows, vocab_size=vocab_size, most_tokens=most_tokens)
    return documents_of(
        split, vocab_size=vocab_size, max_length=length - 1, most_tokens=most_tokens
    )


def _out_of_noise(
    model: SampleModel,
    tokenizer: Tokenizer,
    n: int,
    length: int,
    seed: int,
    *,
    cut: bool,
    world: World = ALONE,
) -> SampleSet:
    """Make texts with a model without a likelihood.

    With `cut`, one token more than `length` shows whether a document ended there.

    A model that makes shorter texts makes those: what has not ended by then stays without an end
    mark.
    """
    if not cut and length > model.config.context_length:
        raise ConfigError(
            f"windows of {length} tokens were asked for; this model makes texts of at most"
            f" {model.config.context_length}."
        )
    most = min(length + cut, model.config.context_length)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    with inference(tuple(model.modules())):
        for begin in range(0, n, ROWS):
            world.heed()
            made = _made(model, min(ROWS, n - begin), most, generator, world)
            parts.append(made.cpu().numpy())
    drawn = np.concatenate(parts)
    ends = drawn == tokenizer.boundary
    lengths = np.where(ends.any(axis=1), ends.argmax(axis=1), min(length, most))
    rows = [row[:size] for row, size in zip(drawn.tolist(), lengths.tolist(), strict=True)]
    return sample_set(
        rows,
        ends.any(axis=1).tolist(),
        boundary=tokenizer.boundary,
        vocab_size=tokenizer.vocab_size,
    )


def _made(
    model: SampleModel, n: int, length: int, generator: torch.Generator, world: World
) -> Int[Tensor, "n length"]:
    """Make texts, of several processes each its share, of noise that every process draws."""
    if world.size == 1:
        return model.sample(n, length, generator=generator)
    noise = model.noise(n, length, generator=generator)
    # `mapped` gives back rows of the shape that it is given: numbers of texts become their tokens
    numbers = torch.arange(n, device=model.device)[:, None].expand(n, length)

    def make(mine: Int[Tensor, "M length"]) -> Int[Tensor, "M length"]:
        first = int(mine[0, 0])
        return model.make(noise.part(slice(first, first + len(mine))).to(model.device))

    return world.mapped(numbers, make)


def _windows(
    model: SequenceModel, tokenizer: Tokenizer, n: int, width: int, sampling: SamplingConfig
) -> SampleSet:
    """Cut windows from the documents of long texts, in order.

    So windows of one text stay together.
    """
    n_texts = min(TEXTS, n)
    length = (OPENING - (-n // n_texts)) * width
    rows: list[list[int]] = []
    for written in range(ROUNDS):
        texts = generate(
            model,
            tokenizer,
            max_new_tokens=length,
            sampling=SamplingConfig(
                temperature=sampling.temperature, seed=sampling.seed + written * 2**32
            ),
            samples=n_texts,
            stop_at_boundary=False,
        )
        for text in texts:
            tokens = np.array([*text.tokens[OPENING * width :], tokenizer.boundary], dtype=np.int64)
            ends = np.flatnonzero(tokens == tokenizer.boundary)
            begins = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])
            rows += [
                tokens[at : at + width].tolist() for at in cut_windows(begins, ends - begins, width)
            ]
        if len(rows) >= n:
            return sample_set(
                rows[:n], [False] * n, boundary=tokenizer.boundary, vocab_size=tokenizer.vocab_size
            )
    raise SourceError(
        f"{ROUNDS * n_texts * length:,} tokens gave {len(rows):,} of {n:,} windows of {width}"
        " tokens: the model's documents are shorter. Ask for fewer samples, for narrower windows,"
        " or for whole documents."
    )
