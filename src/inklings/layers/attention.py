"""Causal attention over a sliding window and within documents, in parallel or from a cache.

A query may look back over as many tokens as its document has before it, and over `window` tokens at
most, itself included. How a piece of new tokens lies in its rows (`Positions`) is computed once for
a forward pass and serves every layer; each layer keeps its keys and values in a ring of `window`
places (`KeyValueCache`), so the work per token is constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.layers.softmax_attention import softmax_attention
from inklings.layers.windows import tokens_before


@dataclass(frozen=True)
class MaskBlock:
    """A run of queries and the run of keys, in the order [cached, new], that they need."""

    queries: slice
    keys: slice
    mask: Bool[Tensor, "#B 1 Q K"] | None
    """Which keys each query sees; None for all up to the query itself."""


@dataclass(frozen=True)
class Positions:
    """How T new tokens lie in their rows: made by `place`, used by every layer of one forward."""

    positions: Int[Tensor, "#B T"]
    """How many tokens of its document precede each token; one row stands for all where they are
    alike.
    """
    window: int
    cached: int
    """How many places of the ring are attended to, beside the new tokens."""
    blocks: tuple[MaskBlock, ...]
    slot: int | None
    """The first place of the ring that the new tokens fill, where that is one run and the same for
    all rows.
    """

    @property
    def length(self) -> int:
        """How many new tokens each row has, T."""
        return self.positions.shape[1]

    def write(self, ring: Tensor, new: Tensor, *, dim: int = 1) -> Tensor:
        """Write the newest vectors into a ring, each at its position modulo `window`.

        It is written in place unless gradients are on.

        Args:
            ring: (B, window, ...).
            new: (B, T, ...).
            dim: the dimension of the window and of T.
        """
        # One copy where all rows write the same run of places: the common case of a batch that
        # reads one prompt.
        if not torch.is_grad_enabled() and self.slot is not None:
            ring.narrow(dim, self.slot, self.length).copy_(new)
            return ring
        places, new = ring.movedim(dim, 1), new.to(ring.dtype).movedim(dim, 1)
        end = self.positions[:, -1:].expand(ring.shape[0], 1)
        # One token a row at places of their own: the step of the engine.
        if not torch.is_grad_enabled() and self.length == 1:
            places[torch.arange(ring.shape[0], device=ring.device), end[:, 0] % self.window] = new[
                :, 0
            ]
            return ring
        # How many tokens ago each place was, or is now, written: 0 for the newest. Places of an
        # earlier document get tokens that the masks hide, and are overwritten before they would be
        # seen.
        ago = (end - torch.arange(self.window, device=ring.device)) % self.window
        index = (self.length - 1 - ago).clamp(min=0)
        trailing = (1,) * (ring.ndim - 2)
        newest = new.gather(1, index.view(*index.shape, *trailing).expand_as(places))
        return (
            torch.where((ago < self.length).view(*ago.shape, *trailing), newest, places)
            .movedim(1, dim)
            .contiguous()
        )


Piece = Positions
"""The name that copied architecture files import it by."""


def place(
    length: int,
    window: int,
    *,
    past: Int[Tensor, " B"] | None = None,
    starts: Bool[Tensor, "B T"] | None = None,
    device: torch.device,
) -> Positions:
    """Lay out new tokens in their rows.

    Args:
        length: T, how many new tokens a row has.
        window: how many tokens a query may look back over, itself included.
        past: how many tokens of the document each row has read; None for a fresh pass without a
            cache.
        starts: (B, T), marks the first tokens of documents.
        device: of the positions.
    """
    rows = 1 if starts is None else starts.shape[0]
    before = torch.zeros(rows, dtype=torch.int64, device=device) if past is None else past
    positions = tokens_before(before, starts, length)
    # Where they are known, only the filled places are attended to; elsewhere all, behind masks.
    first, last = (0, 0) if past is None else _fewest_and_most(past) or (0, window)
    alike = starts is None and first == last
    if alike:
        positions = positions[:1]
    slot = (
        first % window if past is not None and alike and first % window + length <= window else None
    )
    # One token sees all that is filled: no runs, and a mask only where rows differ.
    if length == 1 and past is not None:
        filled = min(last + 1, window)
        mask = None if alike else (torch.arange(filled, device=device) <= positions)[:, None, None]
        block = MaskBlock(slice(0, 1), slice(0, filled), mask)
        return Positions(
            positions=positions, window=window, cached=filled, blocks=(block,), slot=slot
        )
    cached = min(last, window)
    blocks = _blocks(positions, window, past=past, cached=cached, plain=alike and cached == 0)
    return Positions(positions=positions, window=window, cached=cached, blocks=blocks, slot=slot)


def _fewest_and_most(past: Int[Tensor, " B"]) -> tuple[int, int] | None:
    """Return the fewest and the most tokens that a row has read.

    None where the host would have to wait for a device to tell, and where a compiler traces.
    """
    if past.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    least, most = past.aminmax()
    return int(least), int(most)


def _blocks(
    positions: Int[Tensor, "#B T"],
    window: int,
    *,
    past: Int[Tensor, " B"] | None,
    cached: int,
    plain: bool,
) -> tuple[MaskBlock, ...]:
    """Cut the new tokens into runs of `window`, which need themselves and the run before."""
    length, device = positions.shape[1], positions.device
    times = torch.arange(length, device=device)[None]  # of keys, counted from the first new token
    if cached:
        assert past is not None
        last = past[: positions.shape[0], None] - 1
        # How long ago each place of the ring was written, as negative times.
        cached_times = -1 - (last - torch.arange(cached, device=device)) % window
        times = torch.cat((cached_times, times.expand(cached_times.shape[0], length)), dim=1)
    reach = positions.clamp(max=window - 1)
    blocks = []
    for first in range(0, length, window):
        queries = slice(first, min(first + window, length))
        keys = slice(cached + first - window if first else 0, cached + queries.stop)
        # Causal from the first token on: no mask, so the fused kernel can be taken.
        if plain and first == 0:
            blocks.append(MaskBlock(queries, keys, None))
            continue
        distance = (
            torch.arange(queries.start, queries.stop, device=device)[:, None] - times[:, None, keys]
        )
        blocks.append(
            MaskBlock(
                queries, keys, ((distance >= 0) & (distance <= reach[:, queries, None]))[:, None]
            )
        )
    return tuple(blocks)


@dataclass
class KeyValueCache:
    """Keys and values of the last `window` tokens of each row, for one layer.

    Those of a token are at its position modulo `window`. Those of a head lie side by side: a step
    that reads them all is up to six times as fast as over the heads of each token.
    """

    keys: Float[Tensor, "B H W D"]
    values: Float[Tensor, "B H W D"]

    def extend(
        self, piece: Positions, keys: Float[Tensor, "B H T D"], values: Float[Tensor, "B H T D"]
    ) -> tuple[Float[Tensor, "B H K D"], Float[Tensor, "B H K D"]]:
        """Store new keys and values; return all that the piece's blocks refer to.

        Args:
            piece: how the new tokens lie in their rows.
            keys: (B, H, T, D).
            values: (B, H, T, D).
        """
        if piece.length == 1:
            self.keys, self.values = (
                piece.write(self.keys, keys, dim=2),
                piece.write(self.values, values, dim=2),
            )
            return self.keys[:, :, : piece.cached].to(keys.dtype), self.values[
                :, :, : piece.cached
            ].to(values.dtype)
        seen = keys, values
        # joined before the ring is written: the first queries see what the last tokens overwrite
        if piece.cached:
            seen = (
                torch.cat((self.keys[:, :, : piece.cached].to(keys.dtype), keys), dim=2),
                torch.cat((self.values[:, :, : piece.cached].to(values.dtype), values), dim=2),
            )
        self.keys, self.values = (
            piece.write(self.keys, keys, dim=2),
            piece.write(self.values, values, dim=2),
        )
        return seen


def empty_caches(
    n_layer: int, batch_size: int, window: int, n_head: int, head_size: int, *, like: Tensor
) -> list[KeyValueCache]:
    """Make a cache for each layer, filled with zeros, since a hidden NaN would still spread.

    Args:
        n_layer: how many caches.
        batch_size: B.
        window: tokens that are kept.
        n_head: H.
        head_size: D.
        like: a tensor of the wanted device and type.
    """
    shape = (batch_size, n_head, window, head_size)
    return [KeyValueCache(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(n_layer)]


def cache_tensors(caches: Sequence[KeyValueCache]) -> dict[str, Tensor]:
    """Return the caches as named tensors of a state."""
    keys = {f"keys_{layer}": cache.keys for layer, cache in enumerate(caches)}
    return keys | {f"values_{layer}": cache.values for layer, cache in enumerate(caches)}


def caches_of(tensors: Mapping[str, Tensor], n_layer: int) -> list[KeyValueCache]:
    """Return the caches in the named tensors of a state."""
    return [
        KeyValueCache(tensors[f"keys_{layer}"], tensors[f"values_{layer}"])
        for layer in range(n_layer)
    ]


def attend(
    queries: Float[Tensor, "B T H D"],
    keys: Float[Tensor, "B T H D"],
    values: Float[Tensor, "B T H D"],
    piece: Positions,
    cache: KeyValueCache | None,
    *,
    dropout_rate: float = 0.0,
) -> Float[Tensor, "B T C"]:
    """Apply softmax attention of the new tokens to all that they may see; return (B, T, H D).

    Args:
        queries: (B, T, H, D).
        keys: (B, T, H, D).
        values: (B, T, H, D).
        piece: how the new tokens lie in their rows.
        cache: keys and values of earlier tokens; None in a fresh pass.
        dropout_rate: share of attention weights that is dropped; 0 outside training.
    """
    queries, keys, values = queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
    if cache is not None:
        keys, values = cache.extend(piece, keys, values)
    if len(piece.blocks) == 1:
        return _attend_block(queries, keys, values, piece.blocks[0].mask, dropout_rate)
    return torch.cat(
        [
            _attend_block(
                queries[:, :, b.queries],
                keys[:, :, b.keys],
                values[:, :, b.keys],
                b.mask,
                dropout_rate,
            )
            for b in piece.blocks
        ],
        dim=1,
    )


def _attend_block(
    queries: Float[Tensor, "B H Q D"],
    keys: Float[Tensor, "B H K D"],
    values: Float[Tensor, "B H K D"],
    mask: Bool[Tensor, "#B 1 Q K"] | None,
    dropout_rate: float,
) -> Float[Tensor, "B Q C"]:
    causal = mask is None and queries.shape[2] > 1
    mixed = softmax_attention(queries, keys, values, mask, causal=causal, dropout_rate=dropout_rate)
    return mixed.transpose(1, 2).flatten(2)
