"""The drawing of `textgan`: the generator, word by word, and its critic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from inklings.models.drawings.drawing import Arrow, Box, Drawing, Frame, Panel, chain, sizes, times
from inklings.models.textgan.blocks import Block
from inklings.models.textgan.critic import GROUP, PerceptronCritic, TransformerCritic

if TYPE_CHECKING:
    from inklings.models.textgan.model import TextGAN

DRAWN = {"redrawn": "redrawn at each word", "once": "drawn once for each word"}
FED = {"argmax": "likeliest", "sampled": "drawn", "through": "drawn"}
"""The word that is fed back."""
ATTENTION = {"both_ways": "both ways", "causal": "causal"}
NORM = {"after": "norm after it, skip", "before": "norm before it, skip"}


def draw_textgan(model: TextGAN) -> Drawing:
    """Draw a model and the critic that it would learn against."""
    with torch.device("meta"):  # sizes only
        critic = model.make_critic()
    judged = (
        _transformer(model, critic)
        if isinstance(critic, TransformerCritic)
        else _perceptron(model, critic)
    )
    return Drawing(
        f"A text GAN, preset {model.config.preset}: a generator that makes words from noise, and"
        " its critic",
        (_generator(model), judged),
    )


def _generator(model: TextGAN) -> Panel:
    config, recipe = model.config, model.recipe
    styled, plain = model.blocks[0], model.blocks[-1]
    assert isinstance(styled, Block) and isinstance(plain, Block)
    linear = [layer for layer in model.style.layers if isinstance(layer, nn.Linear)]
    perceptron = recipe.mapping == "perceptron"
    channels = config.n_embd
    cut = "gradient kept" if recipe.feedback == "through" else "gradient cut"
    boxes = [
        Box(
            "z",
            (0, 2),
            "noise of the style",
            lines=(
                f"(N, {config.context_length}{f', {channels}' if model.style.full else ''}),"
                f" {config.noise_distribution}",
            ),
            kind="noise",
        ),
        Box(
            "mapping",
            (0, 3),
            f"mapping network, {times(len(linear))}",
            lines=(
                f"linear {sizes(linear[0])}" + ("" if perceptron else ", nothing else"),
                *(("GELU, norm",) if perceptron else ()),
            ),
            parts=("style.layers.",),
        ),
        Box(
            "style",
            (0, 4),
            "style of all the words",
            lines=(f"(N, {config.context_length}, {channels})", _places(model)),
            kind="data",
            parts=("style.directions",),
        ),
        _word(model),
        Box(
            "input",
            (1, 1),
            "the words so far",
            lines=(f"{FED[recipe.feedback]} word: {sizes(model.embed)}", f"{cut}, positions added"),
            parts=("embed.",),
        ),
        *_block(styled, model, "B", 2, numbers=range(config.n_layer)),
    ]
    arrows = [
        *chain("word", "input", "B attention", "B noise", "B style", "B feed"),
        *chain("z", "mapping", "style", "B style"),
    ]
    frames = [Frame(f"B: {times(config.n_layer)}", ("B attention", "B noise", "B style", "B feed"))]
    above, row = "B feed", 6
    if config.n_output_layer:
        numbers = range(config.n_layer, config.n_layer + config.n_output_layer)
        boxes += _block(plain, model, "O", row, numbers=numbers)
        arrows += chain("B feed", "O attention", "O feed")
        frames.append(Frame(f"O: {times(config.n_output_layer)}", ("O attention", "O feed")))
        above, row = "O feed", 8
    boxes += [
        Box(
            "head",
            (1, row),
            "last position" + (", norm" if recipe.norm == "before" else "") + ", linear",
            lines=(f"{sizes(model.head)}",),
            parts=("head.", "norm."),
        ),
        Box(
            "row",
            (1, row + 1),
            "softmax" if recipe.rows == "soft" else "straight-through Gumbel",
            lines=(
                f"(N, 1, {config.vocab_size:,})"
                + (", soft" if recipe.rows == "soft" else ", one-hot"),
                "to the critic, with its gradient",
            ),
            kind="choice",
        ),
    ]
    arrows += [*chain(above, "head", "row"), Arrow("row", "input", side="right")]
    return Panel("the generator", tuple(boxes), tuple(arrows), tuple(frames))


def _places(model: TextGAN) -> str:
    if model.style.full:
        return "each place is mapped alone"
    return "one number in all channels" if model.style.directions is None else "times a direction"


def _word(model: TextGAN) -> Box:
    """Return what the next word is made of, beside the words so far."""
    config, scale = model.config, model.word_scale
    if config.word_input != "noise":
        last = config.word_input == "last_token"
        return Box(
            "word",
            (1, 0),
            "the end mark",
            lines=("before the first word" if last else "at every word",),
            kind="data",
        )
    return Box(
        "word",
        (1, 0),
        "noise of the word",
        lines=(
            f"(N, 1, {config.n_embd})",
            f"{config.noise_distribution}, "
            + ("scale one" if scale is None else "a learned scale"),
        ),
        kind="noise",
        parts=("word_scale",),
    )


def _block(block: Block, model: TextGAN, name: str, row: int, *, numbers: range) -> list[Box]:
    """Return the boxes of the blocks of these numbers, which are like `block`."""
    config, recipe = model.config, model.recipe
    norm = NORM[recipe.norm]

    def parts(*names: str) -> tuple[str, ...]:
        return tuple(f"blocks.{number}.{name}" for number in numbers for name in names)

    attention = Box(
        f"{name} attention",
        (1, row),
        f"self-attention, {ATTENTION[recipe.attention]}",
        lines=(f"{sizes(block.qkv)}, {config.n_head} heads", f"{sizes(block.mix)}; {norm}"),
        parts=parts("qkv.", "mix.", "norms.0."),
    )
    styled = name == "B"
    feed = Box(
        f"{name} feed",
        (1, row + (3 if styled else 1)),
        "feed-forward, GELU",
        lines=(sizes(block.feed[0], block.feed[2]), norm),
        parts=parts("feed.", "norms.1."),
    )
    if not styled:
        return [attention, feed]
    scale = "a learned scale" if recipe.noise_scale == "learned" else "scale one"
    return [
        attention,
        Box(
            f"{name} noise",
            (1, row + 1),
            "noise is added",
            lines=(f"(N, T, {config.n_embd}), {scale}", DRAWN[recipe.noise]),
            kind="noise",
            parts=parts("scale"),
        ),
        Box(
            f"{name} style",
            (1, row + 2),
            "attention to the style",
            lines=(f"{sizes(block.query)}, keys {sizes(block.key_value)}", norm),
            parts=parts("query.", "key_value.", "style_mix.", "norms.2."),
        ),
        feed,
    ]


def _texts(model: TextGAN) -> Box:
    config = model.config
    masked = "masked after the end mark" if model.recipe.mask else "the end mark masks nothing"
    return Box(
        "texts",
        (0, 0),
        "made texts, real texts",
        lines=(f"(N, {config.context_length}, {config.vocab_size:,})", masked),
        kind="data",
    )


def _loss(model: TextGAN, row: int) -> Box:
    recipe = model.recipe
    return Box(
        "loss",
        (0, row),
        "WGAN-GP" if recipe.loss == "wgan_gp" else "relativistic, R1 and R2",
        lines=(
            f"gradient penalty {recipe.penalty:g}",
            f"{recipe.critic_steps} steps to one of the generator",
        ),
        kind="choice",
    )


def _score(model: TextGAN, critic: TransformerCritic | PerceptronCritic, row: int) -> Box:
    spread = (f"with the spread of {GROUP} texts",) if model.recipe.minibatch_std else ()
    return Box(
        "score",
        (0, row),
        "one score for each text",
        lines=(sizes(critic.score), *spread),
        parts=("critic.score.",),
    )


def _transformer(model: TextGAN, critic: TransformerCritic) -> Panel:
    blocks = critic.backbone[0]
    assert isinstance(blocks, Block)
    width, count = critic.class_token.shape[0], len(critic.output)
    boxes = [
        _texts(model),
        Box(
            "read",
            (0, 1),
            "linear, from the vocabulary",
            lines=(sizes(critic.reader, *critic.inputs),),
            parts=("critic.reader.", "critic.inputs."),
        ),
        Box(
            "positions",
            (0, 2),
            "positions are concatenated",
            lines=(f"{model.config.n_embd} + {critic.positions.shape[1]} = {width} channels",),
        ),
        Box(
            "backbone",
            (0, 3),
            f"{len(critic.backbone)} blocks",
            lines=(
                f"self-attention {sizes(blocks.qkv)}",
                f"feed-forward {sizes(blocks.feed[0], blocks.feed[2])}",
            ),
            parts=("critic.backbone.",),
        ),
        Box(
            "class",
            (0, 4),
            "a class token joins",
            lines=(f"{width} channels",),
            parts=("critic.class_token",),
        ),
        Box(
            "output",
            (0, 5),
            f"{count} {'block' if count == 1 else 'blocks'}, with the token",
            lines=("as above; then the token alone",),
            parts=("critic.output.",),
        ),
        _score(model, critic, 6),
        _loss(model, 7),
    ]
    way = chain("texts", "read", "positions", "backbone", "class", "output", "score", "loss")
    return Panel("the critic", tuple(boxes), way)


def _perceptron(model: TextGAN, critic: PerceptronCritic) -> Panel:
    boxes = [_texts(model)]
    if critic.reader is not None:
        boxes.append(
            Box(
                "read",
                (0, 1),
                "linear, from the vocabulary",
                lines=(sizes(critic.reader, *critic.inputs),),
                parts=("critic.reader.", "critic.inputs."),
            )
        )
    boxes += [
        Box(
            "flat",
            (0, 2),
            "all positions side by side",
            lines=(f"{critic.sizes[0]:,} numbers",),
            kind="data",
        ),
        Box(
            "layers",
            (0, 3),
            f"{len(critic.layers)} layers, leaky ReLU",
            lines=(sizes(*critic.layers),)
            if len(critic.layers) < 4
            else (f"{sizes(critic.layers[0])} ... {critic.sizes[-1]:,}",),
            parts=("critic.layers.",),
        ),
        _score(model, critic, 4),
        _loss(model, 5),
    ]
    return Panel("the critic", tuple(boxes), chain(*(box.name for box in boxes)))
