"""The drawing of `wavegpt`: both halves over one embedding, and a layer of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inklings.models.drawings.drawing import Arrow, Box, Drawing, Frame, Panel, chain, sizes, times
from inklings.models.wavenet.model import GatedLayer

if TYPE_CHECKING:
    from inklings.models.gpt import Block
    from inklings.models.wavegpt import WaveGPT

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"


def draw_wavegpt(model: WaveGPT) -> Drawing:
    """Draw a model: how its halves are joined, then what each half does."""
    return Drawing(
        f"WaveGPT, fusion {model.config.fusion}: a GPT and a WaveNet over one embedding, mixed by"
        " a gate",
        (_joined(model), _gpt(model), _wavenet(model)),
    )


def _joined(model: WaveGPT) -> Panel:
    config, wave = model.config, model.config.wavenet
    hidden = config.mix == "hidden"
    boxes = [
        Box("tokens", (0.5, 0), "tokens", lines=("(B, T)",), kind="data"),
        Box(
            "embedding",
            (0.5, 1),
            "embedding, RMS norm",
            lines=(f"{sizes(model.embedding)}, to (B, T, {config.n_embd})",),
            parts=("embedding.",),
        ),
        Box(
            "gpt",
            (0, 2),
            "GPT: g(x)",
            lines=(
                f"{config.n_layer} layers, {config.n_head} heads",
                f"attends to {config.context_length} tokens",
            ),
            parts=("transformer.",),
        ),
        Box(
            "wavenet",
            (1, 2),
            "WaveNet",
            lines=(
                f"{config.wave_layers * config.wave_cycles} layers",
                f"sees {wave.receptive_field} tokens",
            ),
            parts=("wavenet.",),
        ),
        Box("view", (1, 3), "view: h(x)", lines=_view(model), kind="choice", parts=("view.",)),
    ]
    gate = Box(
        "gate",
        (0.5, 5 if not hidden else 4),
        {
            "hidden": f"g(x) {ALPHA} + h(x) (1 - {ALPHA})",
            "logits": f"log p {ALPHA} + log q (1 - {ALPHA})",
            "probabilities": f"p {ALPHA} + q (1 - {ALPHA})",
        }[config.mix],
        lines=(_gate(model),),
        kind="choice",
        parts=("gate.",),
    )
    logits = Box(
        "logits",
        (0.5, 6),
        "logits, softmax",
        lines=(f"(B, T, {config.vocab_size:,})",),
        kind="data",
    )
    into_both = (Arrow("embedding", "gpt"), Arrow("embedding", "wavenet"), Arrow("wavenet", "view"))
    if hidden:
        head = Box("head", (0.5, 5), "head", lines=(sizes(model.head),), parts=("head.",))
        arrows = (Arrow("gpt", "gate"), Arrow("view", "gate"), *chain("gate", "head", "logits"))
        boxes += [gate, head, logits]
    else:
        boxes += [
            Box("head", (0, 4), "head: log p", lines=(sizes(model.head),), parts=("head.",)),
            Box(
                "view_head",
                (1, 4),
                "head of the view: log q",
                lines=(sizes(model.view_head),),
                parts=("view_head.",),
            ),
            gate,
            logits,
        ]
        arrows = (
            *chain("gpt", "head", "gate"),
            *chain("view", "view_head", "gate"),
            Arrow("gate", "logits"),
        )
    return Panel("wavegpt", tuple(boxes), (*chain("tokens", "embedding"), *into_both, *arrows))


def _view(model: WaveGPT) -> tuple[str, ...]:
    config = model.config
    return {
        "causal": ("taken at the position itself", f"(B, T, {config.n_embd})"),
        "previous_segment": ("the end of the segment before", f"of {config.context_length} tokens"),
        "closed_blocks": ("the last closed block before", f"of {config.block} tokens"),
        "leaky_broadcast": (
            f"the end of the window (B, 1, {config.n_embd})",
            "at every T: it reads answers",
        ),
    }[config.fusion]


def _gate(model: WaveGPT) -> str:
    gate = model.gate
    if gate.kind == "input":
        return f"{ALPHA} of both, {sizes(gate.weigh)}, sigmoid"
    count = gate.alpha.numel()
    bound = "" if gate.kind == "scalar" else ", in (0, 1)"
    return f"{ALPHA}: {count} learned {'number' if count == 1 else 'numbers'}{bound}"


def _gpt(model: WaveGPT) -> Panel:
    config = model.config
    block: Block = model.transformer.blocks[0]  # type: ignore[assignment]
    boxes = (
        Box("x", (0, 0), "vectors", lines=(f"(B, T, {config.n_embd})",), kind="data"),
        Box(
            "attention",
            (0, 1),
            "RMS norm, causal attention",
            lines=(
                f"query, key, value {sizes(block.attention.query_key_value)}",
                f"{config.n_head} heads of {config.n_embd // config.n_head}, rotary",
                f"project {sizes(block.attention.project)}",
            ),
            parts=("transformer.blocks.0.attention.",),
        ),
        Box("added", (0, 2), kind="sum"),
        Box(
            "feed",
            (0, 3),
            "RMS norm, feed-forward",
            lines=(sizes(block.feed_forward.widen, block.feed_forward.project), "squared ReLU"),
            parts=("transformer.blocks.0.feed_forward.",),
        ),
        Box("out", (0, 4), kind="sum"),
        Box("g", (0, 5), "RMS norm: g(x)", kind="data"),
    )
    arrows = (
        *chain("x", "attention", "added", "feed", "out", "g"),
        Arrow("x", "added", side="right"),
        Arrow("added", "out", side="right"),
    )
    inside = ("attention", "added", "feed", "out")
    return Panel("its GPT", boxes, arrows, (Frame(times(config.n_layer), inside),))


def _wavenet(model: WaveGPT) -> Panel:
    config, stack = model.config, model.wavenet
    layer = stack.layers[0]
    assert isinstance(layer, GatedLayer)
    last = len(stack.layers) - 1
    dilations = stack.queues.dilations
    listed = ", ".join(map(str, dilations[: config.wave_layers]))
    boxes = [
        Box("x", (0, 0), "vectors", lines=(f"(B, T, {config.n_embd})",), kind="data"),
        Box(
            "taps",
            (0, 1),
            "norm, dilated convolution",
            lines=(
                f"{config.kernel_size} taps, d apart: {sizes(layer.convolution)}",
                _short(f"d = {listed}", dilations[: config.wave_layers]),
            ),
            parts=("wavenet.layers.0.convolution.",),
        ),
        Box(
            "gate",
            (0, 2),
            "tanh times sigmoid",
            lines=(f"{config.n_embd} values, {config.n_embd} gates",),
            kind="choice",
        ),
    ]
    inside: tuple[str, ...] = ("taps", "gate")
    arrows: tuple[Arrow, ...] = chain("x", "taps", "gate")
    if layer.project is not None:
        boxes += [
            Box(
                "project",
                (0, 3),
                "1 x 1",
                lines=(f"{sizes(layer.project)}, in all but the last",),
                parts=("wavenet.layers.0.project.",),
            ),
            Box("added", (0, 4), kind="sum"),
        ]
        inside += ("project", "added")
        arrows += (
            *chain("gate", "project", "added"),
            Arrow("x", "added", side="right"),
            Arrow("gate", "skip", side="left"),
        )
    else:
        arrows += (Arrow("gate", "skip"),)
    boxes += [
        Box(
            "skip",
            (0, 5),
            "skips of all layers",
            lines=(sizes(stack.skip),),
            parts=("wavenet.skip.",),
        ),
        Box(
            "mix",
            (0, 6),
            "ReLU, 1 x 1, ReLU",
            lines=(f"{sizes(stack.mix)}, a norm around",),
            parts=("wavenet.mix.",),
        ),
    ]
    arrows += chain("skip", "mix")
    return Panel("its WaveNet", tuple(boxes), arrows, (Frame(times(last + 1), inside),))


def _short(text: str, dilations: tuple[int, ...]) -> str:
    """Return the dilations, or their ends where all of them would not fit."""
    return text if len(text) < 30 else f"d = 1, 2, 4, ... {dilations[-1]:,}"
