"""The contract of a generator without likelihood: noise in, whole texts out, and a critic.

Shapes are named N (texts), T (positions), V (size of the vocabulary).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.models.contract import Architecture, Traits, require

Loss = Literal["wgan_gp", "relativistic"]
Reads = Literal["documents", "windows"]


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """Settings of the training of a generator and its critic."""

    mask: bool = True
    """Whether the critic sees nothing after the end mark, of real texts and of made ones alike."""
    loss: Loss = "wgan_gp"
    """`wgan_gp` (Gulrajani et al. 2017), or `relativistic` with R1 and R2 (Huang et al. 2024)."""
    critic_steps: int = 5
    """Steps of the critic to one of the generator."""
    penalty: float = 10.0
    """Weight of the gradient penalty: lambda of WGAN-GP, gamma of R1 and R2."""
    generator_rate: float = 7e-4
    """Peak learning rate of the generator's Adam."""
    critic_rate: float = 7e-4
    """Peak learning rate of the critic's Adam."""
    average: float = 0.999
    """Decay of the running average of the generator's weights, which is what is kept and used; 0
    keeps the latest.
    """
    curriculum: int = 0
    """Steps over which the length of the texts grows from a quarter of T to T; 0 begins with T."""

    def __post_init__(self) -> None:
        require(self, "critic_steps", self.critic_steps >= 1, "at least 1")
        require(self, "penalty", self.penalty >= 0, "0 or more")
        require(self, "generator_rate", self.generator_rate > 0, "more than 0")
        require(self, "critic_rate", self.critic_rate > 0, "more than 0")
        require(self, "average", 0 <= self.average < 1, "in [0, 1)")
        require(self, "curriculum", self.curriculum >= 0, "0 or more")


@dataclass(frozen=True)
class Noise:
    """All randomness of N texts: named tensors, each with the texts as its first dimension."""

    tensors: dict[str, Tensor]

    @property
    def size(self) -> int:
        """The number of texts, N."""
        return next(iter(self.tensors.values())).shape[0]

    def part(self, rows: slice) -> Noise:
        """Return the noise of consecutive texts."""
        return Noise({name: tensor[rows] for name, tensor in self.tensors.items()})

    def to(self, device: torch.device) -> Noise:
        """Return the same noise on another device."""
        return Noise({name: tensor.to(device) for name, tensor in self.tensors.items()})

    @staticmethod
    def joined(parts: Sequence[Noise]) -> Noise:
        """Concatenate the noise of several sets of texts."""
        return Noise(
            {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
        )


@dataclass(frozen=True)
class Drawn:
    """Texts that a generator made, and what its critic reads of them."""

    tokens: Int[Tensor, "N T"]
    """The texts; what follows the first boundary is not part of one."""
    rows: Float[Tensor, "N T V"]
    """What the critic reads: one-hot going forward, or probabilities, under the mask;
    differentiable where gradients are on.
    """
    logits: Float[Tensor, "N T V"]
    """The logits that each token was drawn from; not a likelihood of the text."""


class Critic(nn.Module, ABC):
    """Scores texts: higher is more real.

    Rows are read by one linear map, and all else is a function of what it gives. So texts that are
    known as tokens need no rows, and the slope of the scores in the rows follows from the slope in
    what was read (`gram`). A vocabulary of at most `n_embd` tokens is read as it is.
    """

    together: int = 1
    """How many texts, one after the other in a batch, are judged by each other; 1 for none."""

    def __init__(self, vocab_size: int, n_embd: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.reader = nn.Linear(vocab_size, n_embd, bias=False) if vocab_size > n_embd else None

    @abstractmethod
    def judge(self, read: Float[Tensor, "N T E"]) -> Float[Tensor, " N"]:
        """Return the score of each text from what was read of it."""

    @abstractmethod
    def flops(self) -> int:
        """Return the floating-point operations of one text's forward pass."""

    def forward(self, rows: Float[Tensor, "N T V"]) -> Float[Tensor, " N"]:
        """Give each text one score."""
        return self.judge(self.read(rows))

    def read(self, rows: Float[Tensor, "N T V"]) -> Float[Tensor, "N T E"]:
        """Apply the linear map to the rows."""
        return rows if self.reader is None else self.reader(rows)

    def read_tokens(
        self, tokens: Int[Tensor, "N T"], alive: Bool[Tensor, "N T"]
    ) -> Float[Tensor, "N T E"]:
        """Read the one-hot rows of tokens, with zeros where a text is not alive."""
        if self.reader is None:
            return one_hot(tokens, self.vocab_size) * alive.unsqueeze(-1)
        return F.embedding(tokens, self.reader.weight.t()) * alive.unsqueeze(-1)

    @property
    def gram(self) -> Float[Tensor, "E E"] | None:
        """The Gram matrix of the linear map; None where rows are read as they are.

        A slope h in what was read has the squared length h gram h^T in the rows.
        """
        return None if self.reader is None else self.reader.weight @ self.reader.weight.t()


class SampleModel(Architecture):
    """A generator that turns noise into whole texts and learns against a critic.

    It gives no probabilities. `forward` is a function of the noise and the weights alone, and text
    r of the noise of text r alone: the same code makes texts for the critic and for the user.
    """

    traits = Traits(objective="adversarial", has_likelihood=False)
    without_token_rows = (
        "its critic reads whole texts as vectors over the vocabulary, and has learned on this one"
    )
    adversary: Adversary
    """How it learns: set by the constructor, from the configuration."""
    hard: bool = True
    """Whether `rows` are one-hot going forward, those of the tokens, so that a critic may be told
    the tokens instead.
    """
    reads: Reads = "documents"
    """What real texts are: whole `documents` with their end mark, or `windows` of T tokens from
    anywhere, without one.
    """

    @property
    def windows(self) -> int | None:
        """Tokens of the windows that it makes; None where it makes whole documents."""
        return self.config.context_length if self.reads == "windows" else None

    @abstractmethod
    def noise(
        self,
        n: int,
        length: int,
        *,
        generator: torch.Generator | None = None,
        style: torch.Generator | None = None,
    ) -> Noise:
        """Draw the noise of `n` texts of `length` tokens on the CPU.

        Args:
            n: how many texts.
            length: tokens of each.
            generator: draws it; None is torch's global generator.
            style: draws what is global to a text; None is `generator`.
        """

    @abstractmethod
    def forward(self, noise: Noise) -> Drawn:
        """Make the texts; differentiable in the weights where gradients are on."""

    @abstractmethod
    def make_critic(self) -> Critic:
        """Make a critic with fresh weights."""

    @abstractmethod
    def text_flops(self, length: int) -> tuple[int, int, int]:
        """Return floating-point operations for one text.

        Three numbers: to make it, to make it and differentiate that, and for the critic's forward
        pass.
        """

    def flops(self, tokens: int) -> int:
        """Return the operations of training on that many tokens of real text.

        A step of the generator takes `critic_steps` batches of it. The critic reads a real text, a
        generated one and one between; backward takes twice as much as forward, and the penalty
        differentiates a forward and a backward pass: twelve forward passes in all. The generator's
        step passes through a critic whose weights are fixed.
        """
        length, steps = self.config.context_length, self.adversary.critic_steps
        made, learned, critic = self.text_flops(length)
        return tokens // length * (steps * (made + 12 * critic) + learned + 2 * critic) // steps

    def real_rows(self, tokens: Int[Tensor, "N T"]) -> Float[Tensor, "N T V"]:
        """Return real texts as the critic reads them, under the same mask as generated ones."""
        return one_hot(tokens, self.config.vocab_size) * self.alive(tokens).unsqueeze(-1)

    def alive(self, tokens: Int[Tensor, "N T"]) -> Bool[Tensor, "N T"]:
        """Return which tokens of the texts the critic sees.

        It sees all, or with `mask` nothing after the first end mark.
        """
        if not self.adversary.mask:
            return torch.ones_like(tokens, dtype=torch.bool)
        ends = tokens == self.config.boundary_token
        return ends.cumsum(1) - ends.int() == 0

    @torch.no_grad()
    def make(self, noise: Noise) -> Int[Tensor, "N T"]:
        """Return only the tokens that `forward` makes."""
        drawn: Drawn = self(noise)
        return drawn.tokens

    @torch.no_grad()
    def sample(
        self,
        n: int,
        length: int,
        *,
        generator: torch.Generator | None = None,
        style: torch.Generator | None = None,
    ) -> Int[Tensor, "n length"]:
        """Return the tokens of `n` texts; the first boundary ends a text.

        Args:
            n: how many texts.
            length: tokens of each, at most `context_length`.
            generator: draws the noise; None is torch's global generator.
            style: draws what is global to a text; None is `generator`.

        Raises:
            ConfigError: the length is more than the generator was made for.
        """
        require(
            self.config,
            "context_length",
            length <= self.config.context_length,
            f"at least the length asked for, {length}",
        )
        return self.make(self.noise(n, length, generator=generator, style=style).to(self.device))


def one_hot(tokens: Int[Tensor, "*shape"], vocab_size: int) -> Float[Tensor, "*shape V"]:
    """Make one-hot rows of tokens.

    It is several times faster than torch's function, which makes 8-byte integers first.
    """
    return torch.zeros(*tokens.shape, vocab_size, device=tokens.device).scatter_(
        -1, tokens.unsqueeze(-1), 1.0
    )


def straight_through(
    logits: Float[Tensor, "*shape V"],
    gumbel: Float[Tensor, "*shape V"],
    tokens: Int[Tensor, "*shape"],
    temperature: float,
) -> Float[Tensor, "*shape V"]:
    """Return one-hot rows of drawn tokens with the gradient of a relaxation.

    Straight-through Gumbel-softmax (Jang, Gu and Poole 2017). The largest of logits plus Gumbel
    noise is an exact draw of softmax(logits), which `tokens` is; the temperature changes the
    gradient only.

    Args:
        logits: (..., V).
        gumbel: Gumbel noise (..., V).
        tokens: the argmax of their sum (...).
        temperature: of the relaxation.
    """
    hard = one_hot(tokens, logits.shape[-1])
    if not torch.is_grad_enabled():
        return hard
    soft = ((logits + gumbel) / temperature).softmax(-1)
    return hard + (soft - soft.detach())  # exactly one-hot: the bracket is zero


def gumbel_noise(*shape: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw standard Gumbel noise."""
    # of uniform draws: torch's own exponential ones take three times as long
    return torch.rand(shape, generator=generator).clamp_(min=1e-20).log_().neg_().log_().neg_()


def mean_entropy(logits: Float[Tensor, "N T V"]) -> Float[Tensor, " T"]:
    """Return the entropy of each position in nats, averaged over the texts.

    Near 0, a position repeats itself whatever the noise.
    """
    logs = logits.detach().log_softmax(-1)
    return -(logs.exp() * logs).sum(-1).mean(0)
