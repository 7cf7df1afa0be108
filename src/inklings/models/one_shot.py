"""The control arm of the text GAN.

A perceptron that makes all words at once, under the same critic.

No word depends on the words before. The text GAN's advantage over it is the worth of its
recurrence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from inklings.models.contract import ModelConfig, require
from inklings.models.from_noise import (
    Adversary,
    Drawn,
    Loss,
    Noise,
    Reads,
    SampleModel,
    gumbel_noise,
    straight_through,
)
from inklings.models.textgan.critic import PerceptronCritic


@dataclass(frozen=True, kw_only=True)
class OneShotConfig(ModelConfig):
    """Sizes and training settings of the `one_shot` generator.

    `context_length` is T, the tokens of a text, its end mark included.
    """

    context_length: int = 32
    reads: Reads = "documents"
    """What real texts are: whole `documents` with their end mark, or `windows` of T tokens from
    anywhere, without one.
    """
    n_noise: int = 64
    """Numbers of noise that a text is made of, beside that of its draws."""
    n_hidden: int = 256
    n_layer: int = 3
    """Hidden layers of the generator."""
    n_embd: int = 48
    """Channels of the critic's embedding."""
    n_critic_layer: int = 2
    n_critic_hidden: int = 256
    temperature: float = 0.75
    """Temperature of the relaxation that the gradient of straight-through draws goes through."""
    loss: Loss = "wgan_gp"
    critic_steps: int = 5
    """Steps of the critic to one of the generator."""
    penalty: float = 10.0
    """Weight of the gradient penalty."""
    generator_rate: float = 3e-4
    critic_rate: float = 3e-4
    average: float = 0.999
    """Decay of the running average of the generator's weights, which is what is kept and used; 0
    keeps the latest.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self, "context_length", self.context_length >= 2, "at least 2: a word and the end mark"
        )
        for name in (
            "n_noise",
            "n_hidden",
            "n_layer",
            "n_embd",
            "n_critic_layer",
            "n_critic_hidden",
        ):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "temperature", self.temperature > 0, "more than 0")
        _ = self.adversary

    @property
    def adversary(self) -> Adversary:
        """Make the settings by which the model learns against its critic.

        Raises:
            ConfigError: a setting is out of range.
        """
        return Adversary(
            loss=self.loss,
            critic_steps=self.critic_steps,
            penalty=self.penalty,
            generator_rate=self.generator_rate,
            critic_rate=self.critic_rate,
            average=self.average,
        )


class OneShot(SampleModel):
    """`n_layer` times linear, LayerNorm and GELU, then a linear layer to all logits."""

    Config = OneShotConfig
    config: OneShotConfig

    def __init__(self, config: OneShotConfig) -> None:
        super().__init__(config)
        self.adversary, self.reads = config.adversary, config.reads
        layers: list[nn.Module] = []
        for before, after in pairwise([config.n_noise, *[config.n_hidden] * config.n_layer]):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU()]
        self.layers = nn.Sequential(
            *layers, nn.Linear(config.n_hidden, config.context_length * config.vocab_size)
        )

    def noise(
        self,
        n: int,
        length: int,
        *,
        generator: torch.Generator | None = None,
        style: torch.Generator | None = None,
    ) -> Noise:
        """Draw the noise of `n` texts.

        `style` (n, Z), which all words share, and `gumbel` (n, T, V).
        """
        drawn = {
            "style": torch.randn(n, self.config.n_noise, generator=style or generator),
            "gumbel": gumbel_noise(n, length, self.config.vocab_size, generator=generator),
        }
        return Noise(drawn)

    def forward(self, noise: Noise) -> Drawn:
        """Make the texts; differentiable in the weights where gradients are on."""
        gumbel = noise.tensors["gumbel"]
        n, length, vocab_size = gumbel.shape
        logits = self.layers(noise.tensors["style"]).view(n, -1, vocab_size)[:, :length]
        tokens = (logits + gumbel).argmax(-1)
        rows = straight_through(logits, gumbel, tokens, self.config.temperature)
        return Drawn(tokens, rows * self.alive(tokens).unsqueeze(-1), logits)

    def make_critic(self) -> PerceptronCritic:
        """Make the text GAN's perceptron critic, with fresh weights."""
        config = self.config
        return PerceptronCritic(
            vocab_size=config.vocab_size,
            length=config.context_length,
            n_embd=config.n_embd,
            n_hidden=config.n_critic_hidden,
            n_layer=config.n_critic_layer,
            spread=True,
        )

    def text_flops(self, length: int) -> tuple[int, int, int]:
        """Return floating-point operations for one text.

        Three numbers: to make it, to make it and differentiate that, and for the critic's forward
        pass.
        """
        made = sum(
            2 * layer.in_features * layer.out_features
            for layer in self.layers
            if isinstance(layer, nn.Linear)
        )
        with torch.device("meta"):  # sizes only
            critic = self.make_critic().flops()
        return made, 3 * made, critic
