"""What the kinds that become `gpt` share: the demands on a configuration, and the weights.

A gain in front of a linear map is part of that map. Heads of keys and values that several queries
share are repeated. Both change no logit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from inklings.errors import ForeignFormError, RunError
from inklings.interop.imports.foreign_folder import (
    CONFIG,
    ModelFolder,
    is_real,
    read_weights,
    without_prefix,
)
from inklings.interop.to_transformers.rotary_model import neighbours
from inklings.layers.rotary import Rotary
from inklings.models.adapters.weight_files import weights_of
from inklings.models.gpt import GPT, GPTConfig

NEAR = 1e-6
"""Share by which frequencies may be off and still be those of a window."""


@dataclass
class Demands:
    """A configuration, and what of it `gpt` lacks."""

    folder: ModelFolder
    missing: list[str] = field(default_factory=list)

    def only(self, name: str, *allowed: object) -> None:
        """Demand that a setting has one of some values; the first is that of an absent one."""
        given = self.folder.settings.get(name, allowed[0])
        if given not in allowed:
            self.missing.append(f"{name} is {given!r}, here it is {allowed[0]!r}")

    def refuse(self) -> None:
        """Raise a `ForeignFormError` that names all that is missing, if anything is."""
        if self.missing:
            raise ForeignFormError(
                f"{self.folder.path} is a model of a form that `gpt` lacks:"
                f" {'; '.join(self.missing)}. Nothing was imported. As it is any causal model can"
                f" be scored: inklings import as-it-is {self.folder.path} --run RUN, or the arm"
                f" hf:{self.folder.path}."
            )


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes that every rotary decoder has."""

    n_layer: int
    n_head: int
    n_shared: int
    """Heads of keys and values."""
    n_embd: int
    n_hidden: int
    vocab_size: int


def sizes_of(demands: Demands, *, head_size: int | None = None) -> Sizes:
    """Read the sizes, and demand that heads are as wide as here.

    Args:
        demands: of the configuration.
        head_size: that of an absent setting; None is the width over the heads.
    """
    folder = demands.folder
    n_embd, n_head = folder.number("hidden_size"), folder.number("num_attention_heads")
    found = Sizes(
        n_layer=folder.number("num_hidden_layers"),
        n_head=n_head,
        n_shared=folder.number("num_key_value_heads", n_head),
        n_embd=n_embd,
        n_hidden=folder.number("intermediate_size"),
        vocab_size=folder.number("vocab_size"),
    )
    size = folder.number("head_dim", head_size or max(1, n_embd // n_head))
    if size * n_head != n_embd:
        demands.missing.append(
            f"{n_head} heads of {size} channels are not as wide as the model ({n_embd})"
        )
    elif size % 2:
        demands.missing.append(f"heads have {size} channels, an odd number")
    if n_head % found.n_shared:
        demands.missing.append(f"{found.n_shared} heads of keys do not divide {n_head} of queries")
    return found


def rotary_base(demands: Demands, sizes: Sizes, *, window: int) -> float | None:
    """Return the base of the frequencies, or None where they are those of a window here.

    Args:
        demands: of the configuration.
        sizes: of the model.
        window: how many tokens it looks back.
    """
    folder = demands.folder
    newer = folder.section("rope_parameters")
    said = newer or folder.section("rope_scaling")
    base = folder.real("rope_parameters.rope_theta" if newer else "rope_theta", 10_000.0)
    kind, pairs = said.get("rope_type", said.get("type")), sizes.n_embd // sizes.n_head // 2
    if kind in (None, "default") and said.get("partial_rotary_factor", 1.0) == 1.0:
        return base
    factors = said.get("long_factor")
    plain = said.get("attention_factor") == 1.0 and factors == said.get("short_factor")
    if not isinstance(factors, list) or not all(map(is_real, factors)):
        factors = []
    if kind == "longrope" and plain and len(factors) == pairs:
        here = Rotary(2 * pairs, window).frequencies
        standard = base ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
        there = standard / torch.tensor(factors, dtype=torch.float64)
        if bool(((there / here - 1).abs() < NEAR).all()):
            return None
    demands.missing.append(f"rotary positions of the type {kind!r}")
    return base


class FolderWeights:
    """The tensors of a folder, each taken once."""

    def __init__(self, folder: ModelFolder) -> None:
        self.path = weights_of(folder.path)
        kept = {
            name: tensor.float()
            for name, tensor in read_weights(folder.path).items()
            if not name.endswith("rotary_emb.inv_freq")
        }
        self._left = without_prefix(kept, "model.", self.path)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, *shape: int) -> Tensor:
        """Return a tensor of a shape.

        Raises:
            RunError: it is not there, or of another shape.
        """
        if name not in self._left:
            raise RunError(f"{self.path} has no tensor {name}, which its {CONFIG} asks for.")
        tensor = self._left.pop(name)
        if tuple(tensor.shape) != shape:
            raise RunError(
                f"{self.path}: {name} is of shape {tuple(tensor.shape)}; {CONFIG} says {shape}."
            )
        return tensor

    def heads(self, name: str, sizes: Sizes, *, n_head: int) -> Tensor:
        """Return the matrix of queries, keys or values; heads that are shared are repeated.

        Args:
            name: of the tensor.
            sizes: of the model.
            n_head: how many heads the matrix has.
        """
        size = sizes.n_embd // sizes.n_head
        rows = self.take(name, n_head * size, sizes.n_embd).unflatten(0, (n_head, size))
        repeated: Tensor = rows.repeat_interleave(sizes.n_head // n_head, dim=0)
        return repeated.flatten(0, 1)

    @property
    def left(self) -> list[str]:
        """The names of those that nobody took."""
        return sorted(self._left)


def has_own_head(demands: Demands, weights: FolderWeights) -> bool:
    """Return whether the head is no copy of the embedding; it has to be there then."""
    return "lm_head.weight" in weights or not demands.folder.truth("tie_word_embeddings")


def query_key_value(weights: FolderWeights, sizes: Sizes, prefix: str, *, first: int) -> Tensor:
    """Return the three matrices of a layer, one below the other, laid out as here.

    Args:
        weights: of the folder.
        sizes: of the model.
        prefix: of the layer's attention.
        first: the half of a head that the first of two neighbours comes from.
    """
    query = weights.heads(f"{prefix}.q_proj.weight", sizes, n_head=sizes.n_head)
    key = weights.heads(f"{prefix}.k_proj.weight", sizes, n_head=sizes.n_shared)
    value = weights.heads(f"{prefix}.v_proj.weight", sizes, n_head=sizes.n_shared)
    turned = (neighbours(matrix, sizes.n_head, first=first) for matrix in (query, key))
    return torch.cat((*turned, value))


def finished(
    demands: Demands, weights: FolderWeights, config: GPTConfig, tensors: Mapping[str, Tensor]
) -> GPT:
    """Return the model with its weights, in evaluation mode.

    Args:
        demands: of the configuration.
        weights: what is left of the folder's.
        config: of the model.
        tensors: its weights.

    Raises:
        ForeignFormError: the folder has weights that nothing here takes.
    """
    if weights.left:
        several = f" and {len(weights.left) - 1} more" if len(weights.left) > 1 else ""
        demands.missing.append(f"weights {weights.left[0]}{several}")
    demands.refuse()
    model = GPT(config)
    model.load_state_dict(dict(tensors))
    return model.eval()


def settings_here(
    folder: ModelFolder, sizes: Sizes, vocab_size: int, boundary: int
) -> dict[str, Any]:
    """Return sizes and tokens as `gpt` has them.

    Args:
        folder: of the model.
        sizes: of the model there.
        vocab_size: how many tokens the tokenizer has.
        boundary: the boundary among them.
    """
    return {
        "vocab_size": vocab_size,
        "boundary_token": boundary,
        "opening_token": folder.opening(vocab_size),
        "n_layer": sizes.n_layer,
        "n_head": sizes.n_head,
        "n_embd": sizes.n_embd,
        "n_hidden": sizes.n_hidden,
    }
