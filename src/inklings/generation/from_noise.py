"""Writing texts with a generator that makes them whole, out of noise."""

from __future__ import annotations

import torch

from inklings.errors import ConfigError
from inklings.generation.generate import ROWS, Generation
from inklings.generation.inference import inference
from inklings.generation.pair import check_pair
from inklings.generation.sampling import row_generators
from inklings.models.from_noise import Noise, SampleModel
from inklings.text.tokenizers import Tokenizer


def write(
    model: SampleModel,
    tokenizer: Tokenizer,
    samples: int,
    *,
    seed: int = 0,
    style_seed: int | None = None,
    length: int | None = None,
) -> list[Generation]:
    """Write `samples` texts out of noise.

    Text r depends on the seeds and on r alone, not on how many are written beside it.

    Args:
        model: any architecture that makes texts out of noise.
        tokenizer: the one that the model was trained with.
        samples: how many.
        seed: of all noise.
        style_seed: of the noise that is global to a text: with one, all texts share it. None draws
            it with the rest.
        length: tokens of a text at most; None is as many as the model was made for.

    Raises:
        TokenizerError: the tokenizer does not belong to the model.
        ConfigError: the length is not one that the model can make.
    """
    check_pair(model, tokenizer)
    most = model.config.context_length
    length = most if length is None else length
    if not 1 <= length <= most:
        raise ConfigError(
            f"the length is {length}; this model makes texts of 1 to {most} tokens, their end mark"
            " included."
        )
    made: list[Generation] = []
    with inference(tuple(model.modules())):
        for begin in range(0, samples, ROWS):
            numbers = range(begin, min(begin + ROWS, samples))
            noise = Noise.joined(
                [
                    model.noise(
                        1,
                        most,
                        generator=own,
                        style=(
                            None
                            if style_seed is None
                            else torch.Generator().manual_seed(style_seed)
                        ),
                    )
                    for own in row_generators(seed, numbers)
                ]
            )
            drawn = model.make(noise.to(model.device))[:, :length].tolist()
            made += [_generation(row, tokenizer) for row in drawn]
    return made


def _generation(row: list[int], tokenizer: Tokenizer) -> Generation:
    ended = tokenizer.boundary in row
    tokens = row[: row.index(tokenizer.boundary)] if ended else row
    return Generation(tokenizer.decode(tokens), tokens, "boundary" if ended else "length")
