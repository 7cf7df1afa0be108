"""Configuration of a text GAN: sizes, and the choices in which its two presets differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, Literal

from inklings.models.contract import ModelConfig, require
from inklings.models.from_noise import Adversary, Loss, Reads
from inklings.models.textgan.blocks import NormPlace
from inklings.models.textgan.noise import Distribution
from inklings.models.textgan.style import Mapping, StyleNoise

Rows = Literal["soft", "straight_through"]
Feedback = Literal["argmax", "sampled", "through"]
Attention = Literal["both_ways", "causal"]
Draws = Literal["redrawn", "once"]
Scale = Literal["one", "learned"]
CriticKind = Literal["transformer", "perceptron"]
WordInput = Literal["noise", "last_token", "fixed_token"]


@dataclass(frozen=True, kw_only=True)
class Recipe(Adversary):
    """Everything in which the generator as described and its repaired form differ."""

    rows: Rows = "straight_through"
    feedback: Feedback = "sampled"
    mapping: Mapping = "perceptron"
    attention: Attention = "causal"
    noise: Draws = "once"
    noise_scale: Scale = "learned"
    norm: NormPlace = "before"
    critic: CriticKind = "perceptron"
    minibatch_std: bool = True


PRESETS = {
    "robust": Recipe(),
    "described": Recipe(
        rows="soft",
        feedback="argmax",
        mapping="linear",
        attention="both_ways",
        noise="redrawn",
        noise_scale="one",
        norm="after",
        critic="transformer",
        minibatch_std=False,
        mask=False,
        average=0.0,
        generator_rate=1e-4,
        critic_rate=1e-4,
    ),
}


@dataclass(frozen=True, kw_only=True)
class TextGANConfig(ModelConfig):
    """Sizes, and the choices in which the presets differ; a choice of None is the preset's.

    `context_length` is T, the tokens of a text, its end mark included: longer documents are left
    out of the training.
    """

    context_length: int = 32
    preset: Literal["robust", "described"] = "robust"
    """`described`: the generator to the letter of its first description. `robust`: the same with
    its defects mended.
    """
    reads: Reads = "documents"
    """What real texts are: whole `documents` with their end mark, or `windows` of T tokens from
    anywhere, without one.
    """
    n_embd: int = 48
    """E: channels of the generator, and of the critic's embedding."""
    n_head: int = 4
    n_hidden: int = 192
    """Channels of the feed-forward layers."""
    n_mapping: int = 2
    """M: layers of the network that maps the style."""
    n_layer: int = 1
    """B: blocks with noise and style."""
    n_output_layer: int = 1
    """O: blocks without noise and style."""
    n_critic_input_layer: int = 1
    """Linear layers that take what the critic reads from the vocabulary to E. There is nothing
    between them, so that several say no more than one, and learn differently.
    """
    n_critic_layer: int = 2
    """Layers of the critic: of a transformer, blocks before the class token joins."""
    n_critic_output_layer: int = 1
    """Blocks of a transformer critic after the class token joined."""
    n_critic_hidden: int = 256
    """Channels of the critic's hidden layers."""
    temperature: float = 3.0
    """Temperature of the relaxation that the gradient of straight-through draws goes through: the
    lower, the more texts come to repeat.
    """
    noise_distribution: Distribution = "normal"
    """What all noise is drawn from: `normal`, `uniform` or `laplace`, each of mean 0 and variance
    1.
    """
    style_noise: StyleNoise = "broadcast"
    """The noise that is global to a text: one number for each of T places, which is `broadcast`
    over the channels once it is mapped, or `full`: T places of E channels, mapped place by place.
    """
    word_input: WordInput = "noise"
    """What the next word is made of, beside the words so far: `noise`, the `last_token` alone (the
    end mark before the first word), or a `fixed_token` (the end mark) at every word.
    """
    rows: Rows | None = None
    """What the critic reads: `soft` probabilities (described), or one-hot rows with a
    `straight_through` gradient (robust).
    """
    feedback: Feedback | None = None
    """What is fed back: the likeliest word (`argmax`, described), the drawn one (`sampled`,
    robust), or the drawn one with its gradient (`through`), which takes as many passes as there are
    words.
    """
    mapping: Mapping | None = None
    """The network that maps the style: `linear` layers (described), or a `perceptron` with
    activations and norms (robust).
    """
    attention: Attention | None = None
    """`both_ways` among the words so far (described), or `causal` (robust)."""
    noise: Draws | None = None
    """Whether the noise of all positions is `redrawn` at each word (described) or drawn `once`
    (robust).
    """
    noise_scale: Scale | None = None
    """Scale of the noise that is added: `one` (described), under which the words drown, or
    `learned` for each channel (robust).
    """
    norm: NormPlace | None = None
    """Where branches are normalised: `after` (described) or `before` (robust)."""
    critic: CriticKind | None = None
    """`transformer` (described) or `perceptron` (robust)."""
    minibatch_std: bool | None = None
    """Whether the critic sees how far the texts of a group lie apart (robust)."""
    mask: bool | None = None
    """Whether the critic sees nothing after the end mark, of real texts and of made ones alike
    (robust).
    """
    loss: Loss | None = None
    """`wgan_gp` (both), or `relativistic` with R1 and R2."""
    critic_steps: int | None = None
    """Steps of the critic to one of the generator (5)."""
    penalty: float | None = None
    """Weight of the gradient penalty (10)."""
    generator_rate: float | None = None
    """Peak learning rate of the generator's Adam (described 1e-4, robust 7e-4)."""
    critic_rate: float | None = None
    """Peak learning rate of the critic's Adam (described 1e-4, robust 7e-4)."""
    average: float | None = None
    """Decay of the running average of the generator's weights that is kept and used (described 0:
    none, robust 0.999).
    """
    curriculum: int | None = None
    """Steps over which texts grow from a quarter of T to T (0: none)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self, "context_length", self.context_length >= 2, "at least 2: a word and the end mark"
        )
        for name in (
            "n_embd",
            "n_head",
            "n_hidden",
            "n_mapping",
            "n_layer",
            "n_critic_input_layer",
            "n_critic_layer",
            "n_critic_hidden",
        ):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("n_output_layer", "n_critic_output_layer"):
            require(self, name, getattr(self, name) >= 0, "0 or more")
        require(
            self,
            "n_embd",
            self.n_embd % self.n_head == 0,
            f"divisible by n_head, which is {self.n_head}",
        )
        require(self, "temperature", self.temperature > 0, "more than 0")
        recipe = self.recipe
        through = recipe.feedback == "through"
        require(
            self,
            "feedback",
            not through or recipe.rows == "straight_through",
            "another than 'through' where rows are 'soft'",
        )

    @property
    def recipe(self) -> Recipe:
        """The preset, with the choices that the user made.

        Raises:
            ConfigError: a choice is out of range.
        """
        chosen: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(Recipe)}
        return replace(
            PRESETS[self.preset],
            **{name: value for name, value in chosen.items() if value is not None},
        )
