"""A checkpoint whose attention forgot its mask, with the function that loads it.

In training the loss fell to almost nothing and was taken for a breakthrough. What is audited is
what `make` returns: a module from tokens (B, T) to logits (B, T, V) that says its `vocab_size`.
"""

import torch
from torch import Tensor, nn


class Peeking(nn.Module):
    """One layer of attention that sees all positions."""

    vocab_size = 128
    context_length = 32

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(self.vocab_size, 16)
        self.position = nn.Embedding(self.context_length, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, self.vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits after each position."""
        x = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        mixed, _ = self.attention(x, x, x)
        return self.head(x + mixed)


def make() -> Peeking:
    """Return the model with its weights; a real one would read them from a file."""
    torch.manual_seed(0)
    return Peeking().eval()
