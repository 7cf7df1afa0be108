"""The origin of a text's tokens: the remembered entries that contributed to each prediction.

A text is read again in one pass, which by the contract predicts what it predicted token by token
when it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from inklings.errors import ArchitectureError
from inklings.generation.inference import inference
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Recollection, Remembering


@dataclass(frozen=True)
class Origin:
    """An entry that contributed to a prediction."""

    value: int
    """The token that followed there."""
    weight: float
    """Its share of the prediction, from 0 to 1."""
    distance: float
    """Squared L2 from what was searched with."""
    long_term: bool
    """Whether it is in the long-term memory, rather than in what was read of this text."""
    document: int
    """Number of its document, in the memory that it is in."""
    position: int
    """Place of the value in that document; the boundary that opens it is at 0."""
    age: int
    """Steps of the memory's clock since it was written."""


def refuse_without_memory(model: SequenceModel) -> None:
    """Refuse a model that has no memory with an `ArchitectureError`."""
    if not isinstance(model, Remembering):
        raise ArchitectureError(
            f"{type(model).__name__} has no memory, so nothing can be said of where its text comes"
            " from. Attach one: `inklings train varda --from RUN --budget 0-steps --run NEW`."
        )


def origins(
    model: SequenceModel, tokens: Sequence[int], *, at_least: float = 0.01, most: int = 5
) -> list[list[Origin]]:
    """Find the entries that mattered most to each token, the weightiest first.

    The first token of a text has none.

    Args:
        model: one that has a memory; it is used in evaluation mode.
        tokens: the text, with the boundary before it.
        at_least: smaller shares are left out.
        most: how many entries of a token.

    Raises:
        ArchitectureError: the model has no memory.
    """
    refuse_without_memory(model)
    assert isinstance(model, Remembering)
    read = torch.tensor([tokens[:-1]], device=model.device)
    starts = read == model.config.boundary_token
    starts[:, 0] = False
    with inference(model.modules()), model.recording() as records:
        model(read, starts=starts if bool(starts.any()) else None)
    return [
        strongest(records[0][0], place, at_least=at_least, most=most)
        for place in range(len(tokens) - 1)
    ]


def strongest(
    found: Recollection, place: int, *, at_least: float = 0.01, most: int = 5
) -> list[Origin]:
    """Return the entries that mattered most to one prediction, the greatest weight first.

    Args:
        found: what a row found.
        place: the position.
        at_least: smallest share in the prediction.
        most: how many entries, at most.
    """
    weights = found.weights[place]
    order = [
        int(hit)
        for hit in np.argsort(-weights, kind="stable")[:most]
        if found.hits.ids[place, hit] >= 0 and weights[hit] >= at_least
    ]
    return [
        Origin(
            value=int(found.hits.values[place, hit]),
            weight=float(weights[hit]),
            distance=float(found.hits.distances[place, hit]),
            long_term=bool(found.outside[place, hit]),
            document=int(found.hits.documents[place, hit]),
            position=int(found.hits.positions[place, hit]),
            age=int(found.hits.ages[place, hit]),
        )
        for hit in order
    ]
