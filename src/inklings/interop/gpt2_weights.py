"""GPT-2 weights as the `transformers` library keeps them: `config.json` and `model.safetensors`.

`load_gpt2` reads such a directory into a `GPT2`, `save_gpt2` writes one that
`GPT2LMHeadModel.from_pretrained` opens. Neither needs `transformers`. Pickled weights
(`pytorch_model.bin`) are never opened.

There, a linear map keeps its matrix as (inputs, outputs) and calls itself Conv1D; here it is
(outputs, inputs).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from inklings.durable import new_directory, write_bytes
from inklings.errors import ForeignFormError, RunError
from inklings.interop.imports.foreign_folder import (
    CONFIG,
    ModelFolder,
    open_folder,
    read_weights,
    without_prefix,
)
from inklings.models.adapters.weight_files import WEIGHTS, weights_of
from inklings.models.gpt2.model import GPT2, GPT2Config

PREFIX = "transformer."

NAMES = {
    "embedding": "wte",
    "position_embedding": "wpe",
    "norm": "ln_f",
    "blocks.#.attention.norm": "h.#.ln_1",
    "blocks.#.attention.query_key_value": "h.#.attn.c_attn",
    "blocks.#.attention.project": "h.#.attn.c_proj",
    "blocks.#.feed_forward.norm": "h.#.ln_2",
    "blocks.#.feed_forward.widen": "h.#.mlp.c_fc",
    "blocks.#.feed_forward.project": "h.#.mlp.c_proj",
}
"""Modules of `GPT2` and their names there; # stands for the number of a layer."""

NO_WEIGHTS = (".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")
"""Ends of the names of masks and tables, which older files hold and which say nothing."""

REQUIRED: dict[str, Any] = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
"""Settings that make a model GPT-2 and not a relative of it, with the value that an absent one has.
"""


def load_gpt2(
    directory: Path, *, vocab_size: int | None = None, boundary_token: int | None = None
) -> GPT2:
    """Load a `GPT2` from a directory that `transformers` wrote.

    It comes in float32 and in evaluation mode.

    Args:
        directory: holds `config.json` and `model.safetensors`.
        vocab_size: how many tokens the tokenizer has, where the vocabulary was filled up to a round
            number; the rest is cut off.
        boundary_token: the token between documents; by default the end-of-text token that the
            configuration names.

    Raises:
        RunError: a file is missing, damaged or a pickle.
        ForeignFormError: the model is not a plain GPT-2.
        ConfigError: a size is out of range.
    """
    config = _read_config(open_folder(directory), vocab_size, boundary_token)
    tensors = _read_weights(directory, config)
    with torch.device("meta"):
        model = GPT2(config)
    loaded = {}
    for name, expected in model.state_dict().items():
        theirs = _their_name(name)
        tensor = tensors[theirs].float()
        if _transposed(name):
            tensor = tensor.T
        if name == "embedding.weight":
            tensor = tensor[: config.vocab_size]
        if tensor.shape != expected.shape:
            there, here = tuple(tensors[theirs].shape), tuple(expected.shape)
            raise RunError(
                f"{weights_of(directory)}: {theirs} is of shape {there}, which does not fit"
                f" {name} of shape {here} in {CONFIG}."
            )
        loaded[name] = tensor.clone(memory_format=torch.contiguous_format)
    model.load_state_dict(loaded, assign=True)
    return model.requires_grad_().eval()


def save_gpt2(model: GPT2, directory: Path) -> None:
    """Write a directory that `transformers`' `GPT2LMHeadModel.from_pretrained` opens.

    It appears whole or not at all.

    Raises:
        RunError: there is something at `directory` already.
        DiskError: the disk is full or may not be written to.
    """
    if directory.exists():
        raise RunError(f"{directory} exists already; choose another place.")
    with new_directory(directory) as temporary:
        write_bytes(
            temporary / CONFIG, (json.dumps(their_settings(model), indent=2) + "\n").encode()
        )
        data = safetensors.torch.save(their_tensors(model), metadata={"format": "pt"})
        write_bytes(temporary / WEIGHTS, data)


def their_settings(model: GPT2) -> dict[str, Any]:
    """Return what `config.json` says of a model there."""
    config = model.config
    return REQUIRED | {
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_ctx": config.context_length,
        "n_embd": config.n_embd,
        "n_inner": 4 * config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "bos_token_id": config.boundary_token,
        "eos_token_id": config.boundary_token,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
    }


def their_tensors(model: GPT2) -> dict[str, Tensor]:
    """Return the weights of a model by their names there, laid out as there, in float32."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        plain = tensor.detach().to("cpu", torch.float32)
        tensors[PREFIX + _their_name(name)] = (plain.T if _transposed(name) else plain).contiguous()
    return tensors


def _their_name(name: str) -> str:
    """Return the name of a `GPT2` tensor there, without the prefix that only some files have."""
    module, _, kind = name.rpartition(".")
    layer = re.search(r"\d+", module)
    return (
        NAMES[re.sub(r"\d+", "#", module)].replace("#", layer.group() if layer else "") + "." + kind
    )


def _transposed(name: str) -> bool:
    return name.endswith(("query_key_value.weight", "project.weight", "widen.weight"))


def _read_config(
    folder: ModelFolder, vocab_size: int | None, boundary_token: int | None
) -> GPT2Config:
    path, given = folder.path / CONFIG, folder.settings
    for name, required in REQUIRED.items():
        if given.get(name, required) != required:
            raise ForeignFormError(
                f"{path}: {name} is {given[name]!r}; only plain GPT-2 can be loaded, where it is"
                f" {required!r}."
            )
    sizes = {name: folder.number(name) for name in ("n_embd", "n_layer", "n_head")}
    if given.get("n_inner") not in (None, 4 * sizes["n_embd"]):
        raise ForeignFormError(
            f"{path}: n_inner is {given['n_inner']!r}; only plain GPT-2 can be loaded, where it is"
            " 4 * n_embd."
        )
    there = folder.number("vocab_size")
    size = there if vocab_size is None else vocab_size
    if size > there:
        raise RunError(
            f"{path} has {there} tokens, but {size} are asked for: the tokenizer does"
            " not belong to these weights."
        )
    boundary = folder.boundary if boundary_token is None else boundary_token
    if boundary is None or not 0 <= boundary < size:
        raise RunError(
            f"{path} names no end-of-text token among its {size} tokens (eos_token_id is"
            f" {given.get('eos_token_id')!r}); give boundary_token."
        )
    rates = {
        name: folder.real(name, 0.1, zero=True)
        for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop")
    }
    if len(set(rates.values())) > 1:
        warnings.warn(
            f"{path} has several rates of dropout, {rates}; resid_pdrop is taken for all of them.",
            stacklevel=3,
        )
    return GPT2Config(
        vocab_size=size,
        boundary_token=boundary,
        context_length=folder.number("n_positions"),
        **sizes,
        dropout=rates["resid_pdrop"],
    )


def _read_weights(directory: Path, config: GPT2Config) -> dict[str, Tensor]:
    """Return exactly the tensors that a model has, without the prefix of their names."""
    path, tensors = weights_of(directory), read_weights(directory)
    head = tensors.pop("lm_head.weight", None)
    weights = {name: tensor for name, tensor in tensors.items() if not name.endswith(NO_WEIGHTS)}
    tensors = without_prefix(weights, PREFIX, path)
    if (
        head is not None
        and "wte.weight" in tensors
        and not torch.equal(head, tensors["wte.weight"])
    ):
        raise ForeignFormError(
            f"{path}: the head is not tied to the embedding, as it is in GPT-2; such weights cannot"
            " be loaded."
        )
    # one after the other: a configuration may say that there are millions
    for name in _their_names(config.n_layer):
        if name not in tensors:
            raise RunError(
                f"{path} has no tensor {name}: its weights are not those of a GPT-2 of"
                f" {config.n_layer} layers."
            )
    left = sorted(tensors.keys() - set(_their_names(config.n_layer)))
    if left:
        several = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise ForeignFormError(
            f"{path} has weights that a GPT-2 of {config.n_layer} layers has no place for:"
            f" {left[0]}{several}. Nothing was imported."
        )
    return tensors


def _their_names(n_layer: int) -> Iterator[str]:
    """Give the names of all tensors there, without the prefix."""
    for module in NAMES.values():
        kinds = ("weight",) if module in ("wte", "wpe") else ("weight", "bias")
        for layer in range(n_layer if "#" in module else 1):
            yield from (f"{module.replace('#', str(layer))}.{kind}" for kind in kinds)
