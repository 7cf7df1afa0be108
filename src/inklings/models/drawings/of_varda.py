"""The drawing of `varda`: a backbone, its memory, and how what was found enters a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inklings.models.drawings.drawing import Arrow, Box, Drawing, Panel, chain, sizes
from inklings.models.varda.readers import Attention, Concatenation, Mixture

if TYPE_CHECKING:
    from inklings.models.varda.model import Varda

SEARCHED = {
    "exact": "every entry is looked at",
    "flat": "FAISS flat: every entry",
    "ivf": "FAISS IVF: likely clusters",
    "ivfpq": "FAISS IVF-PQ: likely clusters",
    "hnsw": "FAISS HNSW: a graph",
}


def draw_varda(model: Varda) -> Drawing:
    """Draw a model by its reader: behind the backbone, or ahead of it (`concat`)."""
    panel = _ahead(model) if isinstance(model.reader, Concatenation) else _behind(model)
    return Drawing(
        f"Varda, reader {model.config.reader}: a backbone with an associative memory of what it"
        " has read",
        (panel,),
    )


def _behind(model: Varda) -> Panel:
    """Return the drawing of a reader that uses what was found beside the backbone's logits."""
    config = model.config
    width = _width(model)
    boxes = [
        Box("tokens", (0, 0), "tokens", lines=("(B, T)",), kind="data"),
        _backbone(model, 1),
        Box("hidden", (0, 2), "hidden vectors", lines=(f"(B, T, {width})",), kind="data"),
        Box(
            "key",
            (1, 2),
            "search with a unit key",
            lines=(_key(model), "or memory_input"),
            parts=("storable.",),
        ),
        _decisions(model, (2, 4)),
        _memory(model, (1, 4)),
        Box(
            "found",
            (1, 5),
            f"the {config.num_search_results} nearest",
            lines=("indices, distances", "their next tokens, scores"),
            kind="data",
        ),
        Box(
            "logits",
            (0, 6),
            "the backbone's logits",
            lines=(f"(B, T, {config.vocab_size:,})",),
            kind="data",
        ),
        *_reader(model),
        Box(
            "out",
            (0.5, 8),
            "logits",
            lines=(f"(B, T, {config.vocab_size:,})", "without hits the backbone's"),
            kind="data",
        ),
    ]
    arrows = (
        *chain("tokens", "backbone", "hidden", "logits", "join", "out"),
        Arrow("hidden", "key"),
        Arrow("hidden", "decisions"),
        Arrow("decisions", "memory"),
        *chain("key", "memory", "found", "read", "join"),
    )
    return Panel(f"varda, reader {config.reader}", tuple(boxes), arrows)


def _reader(model: Varda) -> tuple[Box, Box]:
    config, reader, width = model.config, model.reader, _width(model)
    if isinstance(reader, Mixture):
        return (
            Box(
                "read",
                (1, 6),
                "q: shares of these tokens",
                lines=("softmax of - s · distance", f"s = {config.sharpness:g} at first"),
                kind="choice",
                parts=("reader.log_sharpness",),
            ),
            Box(
                "join",
                (0.5, 7),
                "p (1 - λ) + q λ",
                lines=(
                    f"λ by distance and {sizes(reader.by_hidden)}",
                    f"λ = {config.share:g} at first",
                ),
                kind="choice",
                parts=("reader.bias", "reader.by_distance", "reader.by_hidden."),
            ),
        )
    assert isinstance(reader, Attention)
    return (
        Box(
            "read",
            (1, 6),
            "attention to what was found",
            lines=(
                f"query {sizes(reader.query)}",
                f"key, value {sizes(reader.key)}",
                f"tokens {sizes(reader.tokens)}",
            ),
            parts=(
                "reader.log_sharpness",
                "reader.query.",
                "reader.key.",
                "reader.value.",
                "reader.tokens.",
            ),
        ),
        Box(
            "join",
            (0.5, 7),
            "added through a gate",
            lines=(f"{width} → 1, closed at first",),
            kind="choice",
            parts=("reader.gate.", "reader.strength"),
        ),
    )


def _ahead(model: Varda) -> Panel:
    """Return the drawing of the reader that joins what was found to the backbone's input."""
    config, reader, embedding = model.config, model.reader, model.embedding
    assert isinstance(reader, Concatenation)
    count, width = config.num_search_results, embedding.embedding_dim
    boxes = (
        Box("tokens", (0, 0), "tokens", lines=("(B, T)",), kind="data"),
        Box("embedding", (0, 1), "embedding of the backbone", lines=(sizes(embedding),)),
        Box(
            "query",
            (1, 1),
            "search with a unit vector",
            lines=(f"of {model.dimension} numbers", "or memory_input"),
        ),
        _memory(model, (1, 2)),
        Box(
            "found",
            (1, 3),
            f"the {count} nearest",
            lines=("indices, distances", f"vectors (B, T, {count} · {model.dimension})"),
            kind="data",
        ),
        Box(
            "join",
            (0, 4),
            "concatenate, linear",
            lines=(sizes(reader.join), f"({width} + {count} · {model.dimension})"),
            kind="choice",
            parts=("reader.join.",),
        ),
        _backbone(model, 5),
        Box("hidden", (0, 6), "hidden vectors", lines=(f"(B, T, {_width(model)})",), kind="data"),
        _decisions(model, (1, 6)),
        Box(
            "out",
            (0, 7),
            "its head: logits",
            lines=(f"(B, T, {config.vocab_size:,})",),
            kind="data",
        ),
    )
    arrows = (
        *chain("tokens", "embedding", "join", "backbone", "hidden", "out"),
        *chain("embedding", "query"),
        *chain("query", "memory", "found", "join"),
        Arrow("hidden", "decisions"),
        Arrow("decisions", "memory", side="right"),
    )
    return Panel("varda, reader concat", boxes, arrows)


def _width(model: Varda) -> int:
    """Return the size of the backbone's hidden vectors, as the layers here read them."""
    reader = model.reader
    if isinstance(reader, Mixture):
        return reader.by_hidden.in_features
    if isinstance(reader, Attention):
        return reader.query.in_features
    layer = model.storable or model.store_decision or model.deletable
    return model.dimension if layer is None else layer.in_features


def _backbone(model: Varda, row: int) -> Box:
    config = model.config
    name = config.backbone if len(config.backbone) < 20 else config.backbone.partition(":")[0]
    frozen = ", frozen" if config.freeze_backbone else ""
    return Box(
        "backbone",
        (0, row),
        f"backbone {name}"[:30],
        lines=(f"context {model.backbone.config.context_length}{frozen}",),
        parts=("backbone.",),
    )


def _key(model: Varda) -> str:
    return "the hidden vector" if model.storable is None else sizes(model.storable)


def _memory(model: Varda, at: tuple[float, int]) -> Box:
    config = model.config
    return Box(
        "memory",
        at,
        "memory of the row",
        lines=(f"up to {config.memory_size:,} x {model.dimension}", SEARCHED[config.index_type]),
        kind="memory",
    )


def _decisions(model: Varda, at: tuple[float, int]) -> Box:
    config = model.config
    share = f"{config.write_budget:.0%} of positions"
    lines = {
        "all": ("every position",),
        "random": (f"{share}, at random",),
        "surprisal": (f"{share}, by surprisal",),
        "learned": (f"gate {sizes(model.store_decision)}" if model.store_decision else "", share),
    }[config.write]
    ahead = config.reader == "concat"
    if ahead and model.storable is not None:
        lines += (f"storable vector {sizes(model.storable)}",)
    if model.delete_decision is not None:
        lines += (
            f"delete decision {sizes(model.delete_decision)}",
            f"deletable vector {sizes(model.deletable)}",
            f"within L2 {config.delete_within:g}",
        )
    if config.forgetfulness_factor:
        lines += (f"each forgotten with {config.forgetfulness_factor:g}",)
    return Box(
        "decisions",
        at,
        f"{'add and remove' if config.delete_within else 'add'}, every {config.segment}",
        lines=lines,
        kind="choice",
        parts=(
            "store_decision.",
            "delete_decision.",
            "deletable.",
            *(("storable.",) if ahead else ()),
        ),
    )
