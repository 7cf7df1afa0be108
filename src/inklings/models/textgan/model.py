"""A text GAN, as described or mended.

A recurrent transformer makes words from noise against a critic.

The generator's input at a word is noise and what was made before; B blocks add noise and attend to
a style that is mapped from noise, the same for the whole text; O blocks without noise follow; the
last position gives the word.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.layers.attention import KeyValueCache, empty_caches, place
from inklings.models.drawings.drawing import Drawing
from inklings.models.drawings.of_textgan import draw_textgan
from inklings.models.from_noise import Drawn, Noise, SampleModel, gumbel_noise, straight_through
from inklings.models.textgan.blocks import Block, KeysAndValues, block_flops, noise_scale, sinusoids
from inklings.models.textgan.config import TextGANConfig
from inklings.models.textgan.critic import PerceptronCritic, TransformerCritic
from inklings.models.textgan.noise import unit_noise
from inklings.models.textgan.style import StyleMap
from inklings.models.textgan.words import WordBlock


class TextGAN(SampleModel):
    """The generator of the text GAN; the module describes it, `TextGANConfig` its choices.

    With causal attention and noise that is drawn once, the keys of earlier words are kept, so that
    a word costs one position; and where no gradient is fed back, training makes the words first and
    then differentiates one parallel pass over all of them. Any other choice computes the whole
    prefix anew for each word (`recomputed`), which is the reference for both.
    """

    Config = TextGANConfig
    config: TextGANConfig
    places: Tensor

    def __init__(self, config: TextGANConfig) -> None:
        super().__init__(config)
        recipe = self.adversary = self.recipe = config.recipe
        self.reads, self.hard = config.reads, recipe.rows == "straight_through"
        n_embd = config.n_embd
        self.style = StyleMap(
            config.context_length, n_embd, config.n_mapping, recipe.mapping, config.style_noise
        )
        self.embed = nn.Embedding(config.vocab_size, n_embd)
        # as described it is a linear layer over one-hot rows: small beside the noise at the start,
        # which keeps texts apart
        nn.init.uniform_(self.embed.weight, -(config.vocab_size**-0.5), config.vocab_size**-0.5)
        scaled = recipe.noise_scale == "learned" and config.word_input == "noise"
        self.word_scale = noise_scale(n_embd) if scaled else None
        self.register_buffer("places", sinusoids(config.context_length, n_embd), persistent=False)

        def blocks(count: int, *, style: bool) -> list[Block]:
            learned = style and recipe.noise_scale == "learned"
            return [
                Block(
                    n_embd,
                    config.n_head,
                    config.n_hidden,
                    style=style,
                    norm=recipe.norm,
                    scaled=learned,
                )
                for _ in range(count)
            ]

        self.blocks = nn.ModuleList(
            [*blocks(config.n_layer, style=True), *blocks(config.n_output_layer, style=False)]
        )
        self.norm = nn.LayerNorm(n_embd) if recipe.norm == "before" else nn.Identity()
        self.head = nn.Linear(n_embd, config.vocab_size)

    @property
    def keeps_keys(self) -> bool:
        """Whether a word's keys and values stay what they are when the next is made."""
        return self.recipe.attention == "causal" and self.recipe.noise == "once"

    def noise(
        self,
        n: int,
        length: int,
        *,
        generator: torch.Generator | None = None,
        style: torch.Generator | None = None,
    ) -> Noise:
        """Draw the noise of `n` texts.

        `style` (n, S) or (n, S, E), `word` (n, T, E) where words are made of noise, `added`
        (n, R, B, T, E) for R draws, `gumbel` (n, T, V).
        """
        config, recipe = self.config, self.recipe
        draws = length if recipe.noise == "redrawn" else 1
        drawing = partial(unit_noise, distribution=config.noise_distribution)
        full = config.style_noise == "full"
        places = (config.context_length, config.n_embd) if full else (config.context_length,)
        drawn = {"style": drawing(n, *places, generator=style or generator)}
        if config.word_input == "noise":
            drawn["word"] = drawing(n, length, config.n_embd, generator=generator)
        drawn["added"] = drawing(
            n, draws, config.n_layer, length, config.n_embd, generator=generator
        )
        if recipe.rows == "straight_through" or recipe.feedback == "sampled":
            drawn["gumbel"] = gumbel_noise(n, length, config.vocab_size, generator=generator)
        return Noise(drawn)

    def forward(self, noise: Noise) -> Drawn:
        """Make the texts; differentiable in the weights where gradients are on."""
        if not self.keeps_keys:
            return self.recomputed(noise)
        if torch.is_grad_enabled() and self.recipe.feedback == "through":
            return self._word_by_word(noise)
        with torch.no_grad():
            made = self._made(noise) if self.recipe.norm == "before" else self._word_by_word(noise)
        if not torch.is_grad_enabled():
            return made
        fed = made.logits.argmax(-1) if self.recipe.feedback == "argmax" else made.tokens
        return self._at_once(noise, made.tokens, fed)

    @torch.no_grad()
    def make(self, noise: Noise) -> Int[Tensor, "N T"]:
        """Return the tokens alone, without the rows that only a critic reads."""
        if self.keeps_keys and self.recipe.norm == "before":
            return torch.stack(self._without_gradients(noise)[0], dim=1)
        return super().make(noise)

    def _made(self, noise: Noise) -> Drawn:
        tokens, logits = (torch.stack(parts, dim=1) for parts in self._without_gradients(noise))
        return self._masked(
            Drawn(tokens, self._rows(logits, noise.tensors.get("gumbel"), tokens), logits)
        )

    def recomputed(self, noise: Noise) -> Drawn:
        """Make the texts by the reference.

        For every word, all positions so far are computed anew.
        """
        draws = noise.tensors["added"].shape[1]
        causal = self.recipe.attention == "causal"
        words = self._words(noise)
        n, length, _ = words.shape
        style = self._style_keys(noise)
        fed = words.new_zeros(n, 0, words.shape[-1])
        parts: list[Drawn] = []
        for t in range(length):
            if causal:
                inputs = self._shifted(fed, words[:, : t + 1])
            elif self.config.word_input == "last_token":
                inputs = torch.cat((words[:, :1], fed), dim=1)
            else:
                inputs = torch.cat((fed, words[:, t : t + 1]), dim=1)
            added = noise.tensors["added"][:, t if draws > 1 else 0, :, : t + 1]
            piece = place(t + 1, length, device=words.device) if causal else None
            x = inputs + self.places[: t + 1]
            for i, block in enumerate(self.blocks):
                x = block(
                    x, piece, None, style[i], added[:, i] if i < self.config.n_layer else None
                )
            part, word = self._word(x[:, -1], noise, t)
            parts.append(part)
            fed = torch.cat((fed, word.unsqueeze(1)), dim=1)
        return self._joined(parts)

    def _word_by_word(self, noise: Noise) -> Drawn:
        """Make one position a word, with the keys of the words before."""
        words = self._words(noise)
        n, length, _ = words.shape
        style = self._style_keys(noise)
        head_size = self.config.n_embd // self.config.n_head
        caches: list[KeyValueCache] = empty_caches(
            len(self.blocks), n, length, self.config.n_head, head_size, like=words
        )
        before = words.new_zeros(n, self.config.n_embd)
        parts: list[Drawn] = []
        inputs = words + self.places[:length]
        for t in range(length):
            piece = place(
                1, length, past=torch.full((n,), t, device=words.device), device=words.device
            )
            x = (inputs[:, t] + before).unsqueeze(1)
            for i, block in enumerate(self.blocks):
                x = block(
                    x,
                    piece,
                    caches[i],
                    style[i],
                    noise.tensors["added"][:, 0, i, t : t + 1] if i < self.config.n_layer else None,
                )
            part, before = self._word(x[:, 0], noise, t)
            parts.append(part)
        return self._joined(parts)

    def _without_gradients(
        self, noise: Noise
    ) -> tuple[list[Int[Tensor, " N"]], list[Float[Tensor, "N V"]]]:
        """Make the tokens and logits of each word with fewer operations, to the same numbers."""
        words, gumbel, added = (
            self._words(noise),
            noise.tensors.get("gumbel"),
            noise.tensors["added"][:, 0],
        )
        n, length, _ = words.shape
        style = self._style_keys(noise)
        blocks = [
            WordBlock(
                block,
                style[i],
                added[:, i] if i < self.config.n_layer else None,
                n=n,
                length=length,
            )
            for i, block in enumerate(self.blocks)
            if isinstance(block, Block)
        ]
        inputs = (words + self.places[:length]).transpose(0, 1).contiguous()
        tokens, logits = [], []
        before = torch.zeros_like(inputs[0])
        for t in range(length):
            x = inputs[t] + before
            for block in blocks:
                x = block.step(x, t)
            logits.append(self.head(self.norm(x)))
            tokens.append((logits[-1] if gumbel is None else logits[-1] + gumbel[:, t]).argmax(-1))
            before = self.embed(
                logits[-1].argmax(-1) if self.recipe.feedback == "argmax" else tokens[-1]
            )
        return tokens, logits

    def _at_once(self, noise: Noise, tokens: Int[Tensor, "N T"], fed: Int[Tensor, "N T"]) -> Drawn:
        """Compute all words in one causal pass, given their tokens and what was fed back.

        It is differentiable, and gives the same numbers.
        """
        words = self._words(noise)
        length = words.shape[1]
        x = self._shifted(self.embed(fed[:, :-1]), words) + self.places[:length]
        piece = place(length, length, device=words.device)
        style = self._style_keys(noise)
        for i, block in enumerate(self.blocks):
            x = block(
                x,
                piece,
                None,
                style[i],
                noise.tensors["added"][:, 0, i] if i < self.config.n_layer else None,
            )
        logits = self.head(self.norm(x))
        return self._masked(
            Drawn(tokens, self._rows(logits, noise.tensors.get("gumbel"), tokens), logits)
        )

    def _word(
        self, x: Float[Tensor, "N E"], noise: Noise, t: int
    ) -> tuple[Drawn, Float[Tensor, "N E"]]:
        """Make a word from its position, and return what of it is fed back."""
        gumbel = noise.tensors.get("gumbel")
        gumbel = None if gumbel is None else gumbel[:, t]
        logits = self.head(self.norm(x))
        tokens = (logits if gumbel is None else logits + gumbel).argmax(-1)
        rows = self._rows(logits, gumbel, tokens)
        if self.recipe.feedback == "through" and torch.is_grad_enabled():
            fed = rows @ self.embed.weight
        else:
            fed = self.embed(logits.argmax(-1) if self.recipe.feedback == "argmax" else tokens)
        return Drawn(tokens.unsqueeze(1), rows.unsqueeze(1), logits.unsqueeze(1)), fed

    def _rows(
        self,
        logits: Float[Tensor, "*shape V"],
        gumbel: Tensor | None,
        tokens: Int[Tensor, "*shape"],
    ) -> Float[Tensor, "*shape V"]:
        if self.recipe.rows == "soft":
            return logits.softmax(-1)
        assert gumbel is not None
        return straight_through(logits, gumbel, tokens, self.config.temperature)

    def _words(self, noise: Noise) -> Float[Tensor, "N T E"]:
        """Return what each word is made of, beside the words before it.

        That is noise; or the end mark, at every word (`fixed_token`), or only where there is no
        word before it (`last_token`).
        """
        if self.config.word_input == "noise":
            words = noise.tensors["word"]
            return words if self.word_scale is None else words * self.word_scale
        n, _, _, length, _ = noise.tensors["added"].shape
        token = self.embed.weight[self.config.boundary_token]
        times = length if self.config.word_input == "fixed_token" else 1
        return F.pad(token.expand(n, times, -1), (0, 0, 0, length - times))

    def _style_keys(self, noise: Noise) -> list[KeysAndValues | None]:
        style = self.style(noise.tensors["style"])
        return [
            block.style_keys(style) if i < self.config.n_layer else None  # type: ignore[operator]
            for i, block in enumerate(self.blocks)
        ]

    def _shifted(
        self, fed: Float[Tensor, "N P E"], words: Float[Tensor, "N T E"]
    ) -> Float[Tensor, "N T E"]:
        """Add to each position's noise the word before; nothing is before the first."""
        return words + F.pad(fed, (0, 0, 1, 0))

    def _joined(self, parts: list[Drawn]) -> Drawn:
        tokens, rows, logits = (
            torch.cat(kind, dim=1)
            for kind in zip(*((p.tokens, p.rows, p.logits) for p in parts), strict=True)
        )
        return self._masked(Drawn(tokens, rows, logits))

    def _masked(self, drawn: Drawn) -> Drawn:
        return (
            replace(drawn, rows=drawn.rows * self.alive(drawn.tokens).unsqueeze(-1))
            if self.recipe.mask
            else drawn
        )

    def text_flops(self, length: int) -> tuple[int, int, int]:
        """Return floating-point operations for one text.

        Three numbers: to make it, to make it and differentiate that, and for the critic's forward
        pass.
        """
        config, n_embd, n_blocks = self.config, self.config.n_embd, len(self.blocks)
        places = config.context_length
        style = 4 * places * n_embd**2 * config.n_layer + self.style.flops()
        per_place = n_blocks * block_flops(n_embd, config.n_hidden) + config.n_layer * (
            4 * n_embd**2 + 4 * n_embd * places
        )
        head = 2 * n_embd * config.vocab_size * length
        pairs = length * (length + 1) // 2
        once = style + head + per_place * length + 4 * n_embd * n_blocks * pairs
        with torch.device("meta"):  # sizes only
            critic = self.make_critic().flops()
        if not self.keeps_keys:
            triples = sum(t * t for t in range(1, length + 1))
            anew = style + head + per_place * pairs + 4 * n_embd * n_blocks * triples
            return anew, 3 * anew, critic
        return once, (3 if self.recipe.feedback == "through" else 4) * once, critic

    def drawing(self) -> Drawing:
        """Return the generator and the critic that it would learn against."""
        return draw_textgan(self)

    def make_critic(self) -> TransformerCritic | PerceptronCritic:
        """Make the critic that the recipe names, with fresh weights."""
        config, recipe = self.config, self.recipe
        if recipe.critic == "perceptron":
            return PerceptronCritic(
                vocab_size=config.vocab_size,
                length=config.context_length,
                n_embd=config.n_embd,
                n_hidden=config.n_critic_hidden,
                n_layer=config.n_critic_layer,
                n_input_layer=config.n_critic_input_layer,
                spread=recipe.minibatch_std,
            )
        return TransformerCritic(
            vocab_size=config.vocab_size,
            length=config.context_length,
            n_embd=config.n_embd,
            n_head=config.n_head,
            n_hidden=config.n_critic_hidden,
            n_block=config.n_critic_layer,
            n_output_block=config.n_critic_output_layer,
            n_input_layer=config.n_critic_input_layer,
            norm=recipe.norm,
            spread=recipe.minibatch_std,
        )
