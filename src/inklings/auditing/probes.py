"""What the checks feed to a model, and how they look inside.

Tokens, weights off their first values, outputs of every module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from inklings.auditing.draws import AlikeDraws, seeded
from inklings.auditing.snapshot import untouched
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of
from inklings.seeds import drawn_from

TOLERANCE = 1e-4
"""Between logits in float32 that were computed over other shapes: absolute, and relative to the
largest.
"""
SCRAMBLED_BY = 0.2
"""Standard deviation of what is added to a weight, with up to 16 inputs; with more inputs less, by
their root.
"""
LONGEST = 160
"""Positions that are looked at; a longer context is not filled."""

Model = TypeVar("Model", bound=nn.Module)
FreshModel = Callable[[int], SequenceModel]
"""A model with weights drawn from a seed, in training mode."""


def random_tokens(
    model: SequenceModel, rows: int, length: int, seed: int = 0, *, symbols: int | None = None
) -> Int[Tensor, "B T"]:
    """Draw independent uniform tokens, never the boundary.

    Args:
        model: gives the vocabulary and the device.
        rows: B.
        length: T.
        seed: of the tokens.
        symbols: draw only from the first tokens, this many; None draws from all.
    """
    config = model.config
    choices = torch.tensor(
        [token for token in range(config.vocab_size) if token != config.boundary_token][:symbols]
    )
    drawn = choices[
        torch.randint(len(choices), (rows, length), generator=torch.Generator().manual_seed(seed))
    ]
    return drawn.to(model.device)


def other_tokens(model: SequenceModel, tokens: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Return another token, not the boundary, at every place."""
    size, boundary = model.config.vocab_size, model.config.boundary_token
    changed = (tokens + 1) % size
    changed = torch.where(changed == boundary, (changed + 1) % size, changed)
    return torch.where(changed == tokens, (changed + 1) % size, changed)


def with_documents(
    model: SequenceModel, tokens: Int[Tensor, "B T"], seed: int = 0, every: int = 7
) -> tuple[Tensor, Tensor]:
    """Put boundaries at random positions, other ones in each row; the second tensor marks them.

    Args:
        model: gives the boundary.
        tokens: (B, T).
        seed: of the positions.
        every: mean distance of two boundaries.
    """
    starts = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(seed)) < 1 / every
    starts = starts.to(tokens.device)
    return tokens.masked_fill(starts, model.config.boundary_token), starts


def span(model: SequenceModel) -> int:
    """Return how many positions a probe looks at.

    Twice the context and a little more, and no size that the model has besides.
    """
    length = min(2 * model.config.context_length + 3, LONGEST)
    sizes = {size for tensor in model.state_dict().values() for size in tensor.shape}
    while length in sizes:
        length += 1
    return length


def scrambled(fresh: FreshModel, seed: int = 0) -> SequenceModel:
    """Make a model in evaluation mode with nothing special about its weights.

    They are moved away from their initial values, since a projection that begins at zero would hide
    what lies before it; running statistics are filled; a counting model has counted a text with
    repeating contexts.
    """
    model = fresh(seed)
    if objective_of(model).one_pass:
        model.count(_repeating_text(model, seed))  # type: ignore[operator]  # what the objective `counting` asks for
        return model.eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), drawn_from(seed):
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            # As much a weight in wide matrices would make recurrent networks chaotic, and rounding
            # would look like a leak.
            width = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.add_(SCRAMBLED_BY * min(1.0, (16 / width) ** 0.5) * noise.to(parameter))
        if model.traits.batch_statistics:
            for step in range(3):
                model(random_tokens(model, 4, span(model), seed=step))
    return model.eval()


def _repeating_text(model: SequenceModel, seed: int) -> np.ndarray:
    """Sixty short documents of tokens that each have three possible successors."""
    rng = np.random.default_rng(seed)
    size, boundary = model.config.vocab_size, model.config.boundary_token
    text = [boundary]
    for _ in range(60):
        token = int(rng.integers(size))
        for choice in rng.integers(0, 3, int(rng.integers(3, 25))):
            token = (3 * token + int(choice)) % size
            text.append(token if token != boundary else (token + 1) % size)
        text.append(boundary)
    return np.array(text, dtype=np.uint32)


def logits_of(
    model: SequenceModel, tokens: Int[Tensor, "B T"], starts: Tensor | None = None
) -> Tensor:
    """Return the logits of one parallel pass, without gradients, in the mode that the model is in.

    It is made as if no pass had been before, with the same draws for every row.

    Args:
        model: the model.
        tokens: (B, T).
        starts: (B, T), marks the first tokens of documents.
    """
    with untouched(model), torch.no_grad(), seeded(0), AlikeDraws(len(tokens)):
        logits: Tensor = model(tokens, starts=starts).logits
    return logits


@contextlib.contextmanager
def in_mode(model: Model, *, training: bool) -> Iterator[Model]:
    """Put the model into one mode within the block.

    What it remembers of a pass (running statistics) is forgotten after the block.
    """
    with untouched(model):
        yield model.train(training)


def moved(found: Tensor, expected: Tensor) -> float:
    """Return by how much results differ at most, and 0 where that is rounding."""
    return float((found - expected).abs().max()) if difference(found, expected) > 1 else 0.0


def difference(found: Tensor, expected: Tensor) -> float:
    """Return how far two results are apart, as a multiple of what is tolerated.

    NaN counts as infinitely far.
    """
    if not found.numel():
        return 0.0
    apart = float((found - expected).abs().max())
    allowed = TOLERANCE * (1.0 + float(expected.abs().max()))
    return apart / allowed if apart == apart else float("inf")
