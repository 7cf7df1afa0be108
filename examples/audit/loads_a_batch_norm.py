"""A checkpoint with BatchNorm between its layers.

In training each row of a batch learns from the others what is common among them, positions that
come later included; the loss of training is then no loss of one text.
"""

import torch
from torch import Tensor, nn


class Normed(nn.Module):
    """Two linear layers over the last token with BatchNorm between."""

    vocab_size = 128
    context_length = 32

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(self.vocab_size, 16)
        self.widen = nn.Linear(16, 32)
        self.norm = nn.BatchNorm1d(32)
        self.head = nn.Linear(32, self.vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits after each position."""
        x = torch.relu(self.widen(self.embedding(tokens)))
        return self.head(self.norm(x.flatten(0, 1)).unflatten(0, tokens.shape))


def make() -> Normed:
    """Return the model with its weights."""
    torch.manual_seed(0)
    return Normed().eval()
