"""Scoring of a split: its windows are streamed through a model.

Every target gets its nats, its rank, and the most likely token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor
from torch.nn import functional

from inklings.errors import TokenizerError
from inklings.evaluation.likelihood.ranks import ranks
from inklings.evaluation.likelihood.windows import LANE_OF_WARM_UPS, Lanes, cut_lanes, warm_up
from inklings.generation.inference import in_step, inference
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit
from inklings.world import World

LOGITS = 2**25
"""Most logits that are computed at a time (128 MiB in float32; scoring them takes about twice as
much again).
"""

POSITIONS = 2**12
"""Most positions, over all rows, that are computed at a time."""

CHUNK = 256
"""Most positions of a row that are computed at a time: attention within a chunk grows with its
square.
"""

SHORTEST_CHUNK = 16
"""Least positions of each row that are read at once. Where the vocabulary is so large that fewer
would fit, fewer rows are taken instead.
"""


@dataclass(frozen=True)
class Scored:
    """Targets that were scored, in flat arrays."""

    document: Int[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]
    """Place of the token before the target, among the split's tokens."""
    target: Int[np.ndarray, " n"]
    nats: Float[np.ndarray, " n"]
    rank: Int[np.ndarray, " n"]
    """The rank of the target (`ranks.ranks`)."""
    prediction: Int[np.ndarray, " n"]


def lanes_of(model: SequenceModel, split: TokenSplit) -> tuple[Lanes, int]:
    """Return the lanes that a model scores a split in, the longest first, and their warm-up.

    A model that needs whole documents is given them.
    """
    length = warm_up(model.config.context_length)
    if model.traits.whole_documents:
        length = max(length, -(-int(np.diff(split.offsets).max(initial=0)) // LANE_OF_WARM_UPS))
    lanes = cut_lanes(split.offsets, warm_up=length)
    return lanes.select(np.argsort(-lanes.lengths, kind="stable")), length


def score(
    model: SequenceModel, split: TokenSplit, lanes: Lanes, batch_size: int
) -> Iterator[Scored]:
    """Stream the lanes in batches; yield the scored targets of each chunk.

    Args:
        model: the model.
        split: the tokens.
        lanes: the longest first.
        batch_size: most lanes at a time.
    """
    vocab_size = model.config.vocab_size
    n_rows = min(batch_size, max(1, LOGITS // (SHORTEST_CHUNK * vocab_size)))
    for first in range(0, len(lanes), n_rows):
        rows = lanes.select(np.arange(first, min(first + n_rows, len(lanes))))
        begin, longest = 0, int(rows.lengths[0])
        # Rows that fit into one chunk need nothing carried: a fresh parallel pass gives the same
        # logits, faster.
        state = None
        if longest > _chunk(len(rows), vocab_size):
            with inference(model.modules()):
                state = model.initial_state(len(rows))
        while begin < longest:
            n_alive = int((rows.lengths > begin).sum())
            if n_alive < len(rows):
                # The longest come first, so those that have ended are the last ones.
                rows = rows.select(np.arange(n_alive))
                assert state is not None
                state = state.select(torch.arange(n_alive, device=model.device))
            chunk = _chunk(n_alive, vocab_size)
            places = rows.begin[:, None] + np.arange(begin, min(begin + chunk, longest) + 1)
            # A row that ends within the chunk repeats its last target: nothing that is read after
            # the end is scored.
            tokens = _tokens(split, np.minimum(places, rows.end[:, None]))
            if int(tokens.max()) >= vocab_size:
                raise TokenizerError(
                    f"the text holds token {tokens.max()}, the model knows {vocab_size}; use the"
                    " tokenizer stored with the model's run."
                )
            index, inputs, targets = places[:, :-1], tokens[:, :-1], tokens[:, 1:]
            scored = (index >= rows.scored[:, None]) & (index < rows.end[:, None])
            with inference(model.modules()):
                output = model(torch.from_numpy(inputs).to(model.device), state)
                nats, rank, prediction = _judge(
                    output.logits, torch.from_numpy(targets).to(model.device)
                )
            state = output.state
            yield _flat(rows, index, targets, scored, nats, rank, prediction)
            begin += chunk


def shared_score(
    model: SequenceModel,
    split: TokenSplit,
    lanes: Lanes,
    batch_size: int,
    world: World,
) -> Iterator[Scored]:
    """Yield what `score` does, with the lanes shared out among processes.

    Each gets the scored targets of all, in the same order, so sums over them are the same bits in
    all. Several hold them until all are there (about 40 bytes each); one process holds nothing.

    Args:
        model: the model.
        split: the tokens.
        lanes: the longest first.
        batch_size: most lanes at a time.
        world: the processes, which look before each pass whether they were asked to stop.

    Raises:
        InterruptedWorkError: one of the processes was asked to stop.
    """
    if world.size == 1:
        with in_step(model, world):
            yield from score(model, split, lanes, batch_size)
        return
    mine = lanes.select(np.arange(world.rank, len(lanes), world.size))
    with in_step(model, world):
        parts = [vars(scored) for scored in score(model, split, mine, batch_size)]
    arrays = {
        field.name: np.concatenate(
            [np.zeros(0, _KINDS.get(field.name, np.int64)), *(part[field.name] for part in parts)]
        )
        for field in dataclasses.fields(Scored)
    }
    for found in world.gathered_arrays(arrays):
        yield Scored(**found)


_KINDS = {"nats": np.float64}
"""Types of what is scored, where they are not whole numbers."""


def _chunk(n_rows: int, vocab_size: int) -> int:
    """Return how many positions of each row are computed at a time."""
    return min(CHUNK, max(1, min(POSITIONS, LOGITS // vocab_size) // n_rows))


def _tokens(split: TokenSplit, places: Int[np.ndarray, "B T"]) -> Int64[np.ndarray, "B T"]:
    if split.unchecked is not None:
        split.unchecked.check(places)
    tokens: np.ndarray = split.tokens[places].astype(np.int64)
    return tokens


def _judge(
    logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]
) -> tuple[Float[Tensor, "B T"], Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Return the nats, the rank and the most likely token of each target."""
    flat, of = logits.flatten(0, 1).float(), targets.flatten()
    nats = functional.cross_entropy(flat, of, reduction="none")
    return (
        nats.view_as(targets),
        ranks(flat, of).view_as(targets),
        flat.argmax(dim=1).view_as(targets),
    )


def _flat(
    rows: Lanes,
    index: Int[np.ndarray, "B T"],
    targets: Int[np.ndarray, "B T"],
    scored: Bool[np.ndarray, "B T"],
    nats: Float[Tensor, "B T"],
    rank: Int[Tensor, "B T"],
    prediction: Int[Tensor, "B T"],
) -> Scored:
    return Scored(
        document=np.broadcast_to(rows.document[:, None], index.shape)[scored],
        index=index[scored],
        target=targets[scored],
        nats=nats.cpu().numpy().astype(np.float64)[scored],
        rank=rank.cpu().numpy()[scored],
        prediction=prediction.cpu().numpy()[scored],
    )
