"""Softmax attention, by PyTorch's kernel or, where that is slow on a CPU, by our own.

PyTorch's is slow in training on a CPU: in bfloat16, and with dropout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from inklings.layers.cpu.attention_kernel import AttentionOnCPU
from inklings.layers.cpu.dropout_masks import keep_mask, kept_scale


def softmax_attention(
    queries: Float[Tensor, "B H Q D"],
    keys: Float[Tensor, "B H K D"],
    values: Float[Tensor, "B H K D"],
    mask: Bool[Tensor, "#B 1 Q K"] | None = None,
    *,
    causal: bool = False,
    dropout_rate: float = 0.0,
) -> Float[Tensor, "B H Q D"]:
    """Compute `F.scaled_dot_product_attention` by the faster of two ways.

    Args:
        queries: (B, H, Q, D).
        keys: (B, H, K, D).
        values: (B, H, K, D).
        mask: True where a query may look at a key; None everywhere.
        causal: hide later keys; needs Q = K.
        dropout_rate: share of weights dropped, with masks from torch's global generator.
    """
    learns = torch.is_grad_enabled() and (
        queries.requires_grad or keys.requires_grad or values.requires_grad
    )
    if not (queries.is_cpu and (dropout_rate > 0 or queries.dtype == torch.bfloat16)):
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, dropout_p=dropout_rate, is_causal=causal
        )
    if torch.compiler.is_compiling() or not learns:
        return plain_attention(
            queries, keys, values, mask, causal=causal, dropout_rate=dropout_rate
        )
    out: Tensor = AttentionOnCPU.apply(queries, keys, values, mask, causal, dropout_rate)  # type: ignore[no-untyped-call]
    return out


def plain_attention(
    queries: Float[Tensor, "B H Q D"],
    keys: Float[Tensor, "B H K D"],
    values: Float[Tensor, "B H K D"],
    mask: Bool[Tensor, "#B 1 Q K"] | None = None,
    *,
    causal: bool = False,
    dropout_rate: float = 0.0,
) -> Float[Tensor, "B H Q D"]:
    """Compute softmax attention by its definition, for autograd and compilers to differentiate.

    Its masks of dropout are others than those of the fast way.

    Args:
        queries: (B, H, Q, D).
        keys: (B, H, K, D).
        values: (B, H, K, D).
        mask: True where a query may look at a key; None everywhere.
        causal: hide later keys; needs Q = K.
        dropout_rate: share of weights dropped, with masks from torch's global generator.
    """
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    if dropout_rate > 0:
        weights = weights * keep_mask(weights.shape, dropout_rate) * kept_scale(dropout_rate)
    out: Tensor = weights @ values
    return out
