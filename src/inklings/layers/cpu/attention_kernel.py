"""Softmax attention with a backward pass of its own, for training on a CPU.

The backward pass of `F.scaled_dot_product_attention` takes three to ten times as long in bfloat16
as the products in it, and with dropout it leaves its fast kernel altogether. Here all is batched
matrix products; the weights are computed anew in the backward pass, so what is kept grows with the
length and not with its square (but for the masks of dropout, one byte a weight).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from inklings.layers.cpu.dropout_masks import keep_mask, kept_scale

RUN = 128
"""Most queries that causal attention takes at a time, with only the keys up to the last of them."""


class AttentionOnCPU(torch.autograd.Function):
    """Softmax attention with heads and rows in one batch of products, and queries in runs."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        causal: bool,
        dropout_rate: float,
    ) -> Tensor:
        """Return the mixed values (B, H, Q, D).

        Args:
            ctx: autograd's.
            queries: (B, H, Q, D).
            keys: (B, H, K, D).
            values: (B, H, K, D).
            mask: True where a query may look at a key; None everywhere.
            causal: hide later keys; needs Q = K.
            dropout_rate: share of attention weights that is dropped; 0 outside training.
        """
        shape = queries.shape
        queries = (queries * shape[-1] ** -0.5).flatten(0, 1)
        keys, values = keys.flatten(0, 1), values.flatten(0, 1)
        bias = (
            None
            if mask is None
            else torch.zeros(mask.shape, dtype=queries.dtype).masked_fill_(~mask, -torch.inf)
        )
        kept: list[Tensor] = []
        mixed = []
        for begin, end, reach in _runs(queries.shape[1], keys.shape[1], causal):
            weights = _weights(queries[:, begin:end], keys[:, :reach], bias, causal)
            if dropout_rate > 0:
                kept.append(keep_mask(weights.shape, dropout_rate))
                weights *= kept[-1]
            mixed.append(weights @ values[:, :reach])
        ctx.save_for_backward(queries, keys, values, bias, *kept)
        ctx.causal, ctx.rate, ctx.n_head = causal, dropout_rate, shape[1]
        out = mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)
        if dropout_rate > 0:
            out *= kept_scale(dropout_rate)
        return out.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of queries, keys and values; the weights are computed anew."""
        queries, keys, values, bias, *kept = ctx.saved_tensors
        gradient = gradient.flatten(0, 1)
        if ctx.rate > 0:
            gradient = gradient * kept_scale(ctx.rate)
        d_queries, d_keys, d_values = (
            torch.empty_like(queries),
            torch.zeros_like(keys),
            torch.zeros_like(values),
        )
        for index, (begin, end, reach) in enumerate(
            _runs(queries.shape[1], keys.shape[1], ctx.causal)
        ):
            some, seen, d_mixed = queries[:, begin:end], keys[:, :reach], gradient[:, begin:end]
            weights = _weights(some, seen, bias, ctx.causal)
            d_weights = d_mixed @ values[:, :reach].mT
            used = weights
            if ctx.rate > 0:
                d_weights *= kept[index]
                used = weights * kept[index]
            d_values[:, :reach] += used.mT @ d_mixed
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
            d_queries[:, begin:end] = d_scores @ seen
            d_keys[:, :reach] += d_scores.mT @ some
        d_queries *= queries.shape[-1] ** -0.5
        heads = ctx.n_head
        return (
            *(d.view(-1, heads, *d.shape[1:]) for d in (d_queries, d_keys, d_values)),
            None,
            None,
            None,
        )


def _runs(queries: int, keys: int, causal: bool) -> list[tuple[int, int, int]]:
    """Begin and end of each run of queries, and how many keys it needs."""
    if not causal:
        return [(0, queries, keys)]
    ends = [*range(RUN, queries, RUN), queries]
    return [(begin, end, end) for begin, end in zip([0, *ends], ends, strict=False)]


def _weights(
    queries: Float[Tensor, "N R D"], keys: Float[Tensor, "N K D"], bias: Tensor | None, causal: bool
) -> Float[Tensor, "N R K"]:
    """Return the softmax of the scores of scaled queries.

    The last R of the keys belong to a causal run itself.
    """
    scores = queries @ keys.mT
    if bias is not None:
        scores.view(bias.shape[0], -1, *scores.shape[1:]).add_(
            bias
        )  # the same for all heads of a row
    if causal:
        length = queries.shape[1]
        scores[:, :, -length:] += torch.full(
            (length, length), -torch.inf, dtype=scores.dtype
        ).triu_(1)
    return scores.softmax(dim=-1)
