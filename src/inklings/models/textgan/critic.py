"""The critics of the text GAN: rows over the vocabulary in, one score for each text out."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inklings.models.from_noise import Critic
from inklings.models.textgan.blocks import Block, NormPlace, block_flops, sinusoids

GROUP = 8
"""Texts whose spread is measured together."""


def spread_appended(x: Float[Tensor, "N C"]) -> Float[Tensor, "N C+1"]:
    """Append a channel that says how far the representations of a group of texts lie apart.

    Minibatch standard deviation (Karras et al. 2018, section 3): the critic sees when texts are all
    alike. A batch that is no multiple of `GROUP` is one group; the spread of a single text is zero.
    """
    n = x.shape[0]
    groups = x.view(-1, GROUP, x.shape[1]) if n % GROUP == 0 else x.unsqueeze(0)
    # the square root has no derivative at zero, hence the small number
    spread = ((groups - groups.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt().mean(-1)
    return torch.cat((x, spread.repeat_interleave(groups.shape[1]).unsqueeze(-1)), dim=-1)


def more_input_layers(n_input_layer: int, n_embd: int) -> nn.Sequential:
    """Make the input layers behind the first, which is the critic's reader.

    Without biases, so that what is masked stays zero.
    """
    return nn.Sequential(*(nn.Linear(n_embd, n_embd, bias=False) for _ in range(n_input_layer - 1)))


def reading_flops(reader: nn.Linear | None, inputs: nn.Sequential) -> int:
    """Count multiplications and additions of the input layers at one position."""
    weights = [] if reader is None else [*reader.parameters(), *inputs.parameters()]
    return 2 * sum(weight.numel() for weight in weights)


class TransformerCritic(Critic):
    """The critic as described: a transformer over the texts, with a class token.

    Linear layers from the vocabulary, positions concatenated, backbone, class token, output blocks,
    a score.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        vocab_size: int,
        length: int,
        n_embd: int,
        n_head: int,
        n_hidden: int,
        n_block: int,
        n_output_block: int,
        norm: NormPlace,
        spread: bool,
        n_input_layer: int = 1,
    ) -> None:
        super().__init__(vocab_size, n_embd)
        self.spread, self.n_hidden = spread, n_hidden
        self.together = GROUP if spread else 1
        if self.reader is None:
            self.reader = nn.Linear(vocab_size, n_embd, bias=False)
        self.inputs = more_input_layers(n_input_layer, n_embd)
        self.register_buffer("positions", sinusoids(length, n_embd), persistent=False)

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                Block(2 * n_embd, n_head, n_hidden, style=False, norm=norm, twice=True)
                for _ in range(count)
            )

        self.backbone, self.output = blocks(n_block), blocks(n_output_block)
        self.class_token = nn.Parameter(torch.rand(2 * n_embd))
        self.score = nn.Linear(2 * n_embd + spread, 1)

    def flops(self) -> int:
        """Return the floating-point operations of one text's forward pass."""
        length, channels = self.positions.shape[0], self.class_token.shape[0]
        blocks = len(self.backbone) * length + len(self.output) * (length + 1)
        attention = (
            4 * channels * (len(self.backbone) * length**2 + len(self.output) * (length + 1) ** 2)
        )
        per_place = block_flops(channels, self.n_hidden)
        reading = length * reading_flops(self.reader, self.inputs)
        return reading + blocks * per_place + attention

    def judge(self, read: Float[Tensor, "N T E"]) -> Float[Tensor, " N"]:
        """Return the score of each text from what was read of it."""
        n, length, _ = read.shape
        x = torch.cat((self.inputs(read), self.positions[:length].expand(n, -1, -1)), dim=-1)
        for block in self.backbone:
            x = block(x)
        x = torch.cat((self.class_token.expand(n, 1, -1), x), dim=1)
        for block in self.output:
            x = block(x)
        x = x[:, 0]
        scores: Tensor = self.score(spread_appended(x) if self.spread else x)
        return scores.squeeze(-1)


class PerceptronCritic(Critic):
    """A multilayer perceptron over the concatenated embeddings of all positions.

    It is cheap, and enough for short texts. A text shorter than `length` is padded with zeros,
    which is what follows an end mark under the mask.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        length: int,
        n_embd: int,
        n_hidden: int,
        n_layer: int,
        spread: bool,
        n_input_layer: int = 1,
    ) -> None:
        super().__init__(vocab_size, n_embd)
        self.spread = spread
        self.together = GROUP if spread else 1
        if self.reader is None and n_input_layer > 1:
            self.reader = nn.Linear(vocab_size, n_embd, bias=False)
        self.inputs = more_input_layers(n_input_layer, n_embd)
        channels = vocab_size if self.reader is None else n_embd
        self.sizes = [length * channels, *[n_hidden] * n_layer]
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(self.sizes)
        )
        self.score = nn.Linear(n_hidden + spread, 1)
        self.n_place = length

    def flops(self) -> int:
        """Return the floating-point operations of one text's forward pass."""
        return self.n_place * reading_flops(self.reader, self.inputs) + sum(
            2 * before * after for before, after in itertools.pairwise(self.sizes)
        )

    def judge(self, read: Float[Tensor, "N T E"]) -> Float[Tensor, " N"]:
        """Return the score of each text from what was read of it."""
        x = self.inputs(read).flatten(1)
        x = nn.functional.pad(x, (0, self.sizes[0] - x.shape[1]))
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2)
        scores: Tensor = self.score(spread_appended(x) if self.spread else x)
        return scores.squeeze(-1)
