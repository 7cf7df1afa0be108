"""Words made one at a time without gradients, with as few operations as possible.

It computes what `Block` does for one position, to the same numbers. A position is so little work
that calling the operations takes longer than carrying them out; so biases that can be added once
for all positions are, and what can be written in place is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.models.textgan.blocks import Block, KeysAndValues


class WordBlock:
    """A block with norms before its branches, over N texts of at most T words.

    It takes one position at a time.
    """

    def __init__(
        self,
        block: Block,
        style: KeysAndValues | None,
        added: Float[Tensor, "N T E"] | None,
        *,
        n: int,
        length: int,
    ) -> None:
        channels = block.mix.in_features
        self.n_head, self.shape = block.n_head, (n, channels)
        self.norms = [norm for norm in block.norms if isinstance(norm, nn.LayerNorm)]
        self.channels = (channels,)
        self.qkv, self.mix = block.qkv, block.mix
        up, _, down = block.feed
        assert isinstance(up, nn.Linear) and isinstance(down, nn.Linear)
        self.up, self.down = up, down
        head_size = channels // block.n_head
        self.keys, self.values = (
            block.qkv.weight.new_zeros(n, block.n_head, length, head_size) for _ in range(2)
        )
        self.style = style
        # what is added after attention, at every position
        self.after = block.mix.bias.expand(length, 1, -1)
        if style is not None:
            assert added is not None
            self.query, self.style_mix = block.query, block.style_mix
            scaled = added if block.scale is None else added * block.scale
            self.after = (scaled + block.mix.bias).transpose(0, 1).contiguous()

    def step(self, x: Float[Tensor, "N E"], t: int) -> Float[Tensor, "N E"]:
        """Return the block's output at position `t`."""
        qkv = F.linear(self._normed(x, 0), self.qkv.weight, self.qkv.bias).view(
            x.shape[0], 3, self.n_head, -1
        )
        self.keys[:, :, t] = qkv[:, 1]
        self.values[:, :, t] = qkv[:, 2]
        mixed = F.scaled_dot_product_attention(
            qkv[:, 0].unsqueeze(2), self.keys[:, :, : t + 1], self.values[:, :, : t + 1]
        )
        x = torch.addmm(x, mixed.view(self.shape), self.mix.weight.t()).add_(self.after[t])
        if self.style is not None:
            query = F.linear(self._normed(x, 2), self.query.weight, self.query.bias).view(
                x.shape[0], self.n_head, 1, -1
            )
            mixed = F.scaled_dot_product_attention(query, *self.style)
            x = torch.addmm(x, mixed.view(self.shape), self.style_mix.weight.t()).add_(
                self.style_mix.bias
            )
        hidden = F.gelu(F.linear(self._normed(x, 1), self.up.weight, self.up.bias))
        return torch.addmm(x, hidden, self.down.weight.t()).add_(self.down.bias)

    def _normed(self, x: Float[Tensor, "N E"], place: int) -> Float[Tensor, "N E"]:
        norm = self.norms[place]
        return torch.layer_norm(x, self.channels, norm.weight, norm.bias, norm.eps)
