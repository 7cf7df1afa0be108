"""Readers of a memory: how a prediction uses the entries that were found.

They use their values as probabilities, attention over them, or their vectors. Every reader leaves a
position without hits to the backbone, bit for bit. The share of a hit goes to zero as its distance
nears that of the first entry that was not taken: so rounding, which may decide who is the last of
k, decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.models.varda.rows import SAME

TIE = 1e-6
"""Share that is left to hits that are all equally far: with zero there would be nothing to share.
"""
LEAST = 1e-30
"""Least share, so that its logarithm is finite."""


@dataclass(frozen=True)
class Recalled:
    """The hits of every position as tensors."""

    distances: Float[Tensor, "B T k"]
    """Squared L2 between unit vectors, 0 to 4; infinite where there is no hit."""
    edges: Float[Tensor, "B T k"]
    """Distance of the first entry that was not taken, of the memory that the hit is from."""
    log_scores: Float[Tensor, "B T k"]
    """Minus infinity where there is no hit."""
    values: Int[Tensor, "B T k"]
    """Tokens; any where there is no hit."""
    vectors: Float[Tensor, "B T k D"] | None

    @property
    def there(self) -> Bool[Tensor, "B T k"]:
        """Whether there is a hit."""
        return torch.isfinite(self.log_scores)

    def log_shares(self, sharpness: Float[Tensor, ""]) -> Float[Tensor, "B T k"]:
        """Return unnormalised log-shares of the hits.

        A share is the score times how much nearer the hit is than the edge; minus infinity where
        there is no hit.
        """
        near = torch.where(self.there, self.distances, 0.0)
        edged = self.there & torch.isfinite(self.edges)
        gap = torch.where(edged, self.edges - near - SAME, 1.0).clamp(min=0.0)
        taper = torch.where(edged, torch.log1p(-(1 - TIE) * torch.exp(-sharpness * gap)), 0.0)
        return self.log_scores - sharpness * near + taper


class Mixture(nn.Module):
    """The backbone's probabilities mixed with those of the values that were found.

    Grave et al. 2017; Khandelwal et al. 2020.

    The memory's part is a sigmoid of a constant, of the nearest distance, and of the hidden vector.
    Until it is trained it is a neural cache: the constant alone decides, and the nearest distance
    if there is a `nearness`.
    """

    def __init__(
        self, width: int, *, sharpness: float, share: float, nearness: float = 0.0
    ) -> None:
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))
        # the part is `share` at distance 0, where the next parameter adds its whole
        self.bias = nn.Parameter(torch.tensor(math.log(share / (1 - share)) - nearness))
        self.by_distance = nn.Parameter(torch.tensor(float(nearness)))
        self.by_hidden = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.by_hidden.weight)

    def forward(
        self, logits: Float[Tensor, "B T V"], hidden: Float[Tensor, "B T C"], recalled: Recalled
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T k"]]:
        """Return logits (log-probabilities where there is a hit), and each hit's share in them.

        Args:
            logits: the backbone's.
            hidden: its hidden vectors.
            recalled: the hits of each position.
        """
        there = recalled.there.any(-1, keepdim=True)
        shares = _softmax(recalled.log_shares(self.log_sharpness.exp()), there)
        nearest = torch.where(there, recalled.distances.amin(-1, keepdim=True), 0.0)
        open_by = self.bias + self.by_distance * (1 - nearest) + self.by_hidden(hidden.float())
        # Nothing but the tokens found changes beside the common factor: the rest of the vocabulary
        # is passed over once.
        lost = torch.where(
            there,
            F.logsigmoid(-open_by) - torch.logsumexp(logits.float(), dim=-1, keepdim=True),
            0.0,
        )
        own = logits.float() + lost
        alike = recalled.values[..., :, None] == recalled.values[..., None, :]
        found = (alike * shares[..., None, :]).sum(-1)
        first = ~torch.tril(alike, diagonal=-1).any(-1) & recalled.there
        before = own.gather(-1, recalled.values)
        after = torch.logaddexp(before, found.clamp(min=LEAST).log() + F.logsigmoid(open_by))
        mixed = own.scatter_add(-1, recalled.values, torch.where(first, after - before, 0.0))
        return mixed, shares * torch.sigmoid(open_by)


class Attention(nn.Module):
    """Gated attention over the keys and values found (Wu et al. 2022), with a head of its own.

    The backbone's head stays as it is, so any backbone will do. The gate begins closed: the model
    begins as its backbone.
    """

    def __init__(self, width: int, dimension: int, vocab_size: int, *, sharpness: float) -> None:
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))
        self.query = nn.Linear(width, dimension, bias=False)
        self.key = nn.Linear(dimension, dimension, bias=False)
        self.value = nn.Linear(dimension, dimension, bias=False)
        self.tokens = nn.Embedding(vocab_size, dimension)
        self.gate = nn.Linear(width, 1)
        self.strength = nn.Parameter(torch.zeros(()))
        nn.init.normal_(self.tokens.weight, std=dimension**-0.5)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(
        self, logits: Float[Tensor, "B T V"], hidden: Float[Tensor, "B T C"], recalled: Recalled
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T k"]]:
        """Return logits, and the share of each hit in what is added to them.

        Args:
            logits: the backbone's.
            hidden: its hidden vectors.
            recalled: the hits of each position.
        """
        assert recalled.vectors is not None
        there = recalled.there.any(-1, keepdim=True)
        hidden = hidden.float()
        alike = (
            torch.einsum("btd,btkd->btk", self.query(hidden), self.key(recalled.vectors))
            / recalled.vectors.shape[-1] ** 0.5
        )
        shares = _softmax(recalled.log_shares(self.log_sharpness.exp()) + alike, there)
        taken = torch.einsum(
            "btk,btkd->btd", shares, self.value(recalled.vectors) + self.tokens(recalled.values)
        )
        open_by = torch.tanh(self.strength) * torch.sigmoid(self.gate(hidden))
        added = open_by * F.linear(taken, self.tokens.weight) * recalled.vectors.shape[-1] ** 0.5
        return torch.where(there, logits.float() + added, logits.float()), shares * open_by.abs()


class Concatenation(nn.Module):
    """The vectors found, concatenated with the token's own ahead of the backbone.

    A linear layer brings them back to the size of one, and begins as the identity on the token's
    own vector. As in the project that this comes from, a search is made with the token's vector,
    before anything has read the text.
    """

    def __init__(self, width: int, dimension: int, k: int) -> None:
        super().__init__()
        self.k = k
        # the places of the nearest have no gradient, so what is searched with cannot learn; it only
        # has to be of the right size
        self.register_buffer(
            "turn",
            (
                torch.eye(width, dimension)
                if width == dimension
                else torch.randn(width, dimension) / width**0.5
            ),
        )
        self.join = nn.Linear(width + k * dimension, width)
        nn.init.zeros_(self.join.bias)
        nn.init.zeros_(self.join.weight)
        with torch.no_grad():
            self.join.weight[:, :width] = torch.eye(width)

    def query(self, vectors: Float[Tensor, "B T E"]) -> Float[Tensor, "B T D"]:
        """Return the unit vectors that are searched with."""
        turn = self.turn
        assert isinstance(turn, Tensor)
        return F.normalize(vectors @ turn, dim=-1)

    def forward(
        self, vectors: Float[Tensor, "B T E"], recalled: Recalled
    ) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B T k"]]:
        """Return vectors for the backbone, and the score of each hit, which is its weight."""
        assert recalled.vectors is not None
        # of a row's own memory and a long-term one, the nearest of both
        taken = recalled.distances.topk(self.k, largest=False).indices
        scores = recalled.log_scores.gather(-1, taken).exp()
        found = recalled.vectors.gather(
            2, taken[..., None].expand(*taken.shape, recalled.vectors.shape[-1])
        )
        joined = self.join(torch.cat([vectors, (found * scores[..., None]).flatten(2)], dim=-1))
        shares = torch.zeros_like(recalled.log_scores).scatter(-1, taken, scores)
        return torch.where(recalled.there.any(-1, keepdim=True), joined, vectors), shares


def _softmax(
    log_shares: Float[Tensor, "B T k"], there: Bool[Tensor, "B T 1"]
) -> Float[Tensor, "B T k"]:
    """Return shares that add up to one, or all zero where there is no hit."""
    shares = torch.softmax(torch.where(there, log_shares, 0.0), dim=-1)
    return torch.where(there, shares, 0.0)
