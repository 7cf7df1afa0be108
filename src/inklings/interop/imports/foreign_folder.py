"""A folder that `transformers` wrote: `config.json`, `model.safetensors`, a tokenizer.

Weights may be in several parts. Pickled ones (`pytorch_model.bin`) are never opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from inklings.durable import read_bytes, read_errors, read_json
from inklings.errors import RunError
from inklings.models.adapters.weight_files import INDEX, read_index, weights_of
from inklings.runs.tensors.checked_files import refuse_pickle

CONFIG = "config.json"
TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")
"""Where a chat template may stand: by itself, or in the settings of the tokenizer."""

LOGITS = "its logits"
"""What a model computes, in messages."""
MOST = 100_000_000
"""No model has more of anything, and sizes of tensors that are two of them stay countable."""
HUGE = 1e30
"""What is larger is no setting, and its square no number of float32 any more."""


@dataclass(frozen=True)
class ModelFolder:
    """Where it is, and what its configuration says."""

    path: Path
    settings: dict[str, Any]

    @property
    def boundary(self) -> int | None:
        """The token that ends a text, where the configuration names one; of several the first."""
        named = self.settings.get("eos_token_id")
        return _token(named[0] if isinstance(named, list) and named else named)

    def opening(self, vocab_size: int) -> int | None:
        """Return the token that opens a text, where the configuration names one.

        None says that the boundary does. So lm-evaluation-harness begins a text, too.

        Args:
            vocab_size: how many tokens the tokenizer has; others do not count.
        """
        named = _token(self.settings.get("bos_token_id"))
        return None if named is None or named >= vocab_size or named == self.boundary else named

    def number(self, name: str, absent: int | None = None, *, least: int = 1) -> int:
        """Return a whole number of the configuration.

        Args:
            name: of the setting.
            absent: its value where it is left out or null; None where it must be there.
            least: the smallest that is allowed.

        Raises:
            RunError: it is something else, or missing.
        """
        given = self.settings.get(name)
        given = absent if given is None else given
        if type(given) is not int or not least <= given <= MOST:
            raise self._wrong(name, given, f"a whole number from {least} to {MOST:,}")
        return given

    def real(self, name: str, absent: float, *, zero: bool = False) -> float:
        """Return a positive finite number of the configuration.

        Args:
            name: of the setting; `a.b` is b in the object a.
            absent: its value where it is left out.
            zero: whether it may be 0.

        Raises:
            RunError: it is something else.
        """
        outer, _, inner = name.rpartition(".")
        given = (self.section(outer) if outer else self.settings).get(inner, absent)
        if not is_real(given) or given < 0 or (given == 0 and not zero):
            raise self._wrong(name, given, "a positive number")
        return float(given)

    def truth(self, name: str) -> bool:
        """Return whether something is switched on; it is off where it is left out or null.

        Raises:
            RunError: it is neither true nor false.
        """
        given = self.settings.get(name)
        if given is not None and not isinstance(given, bool):
            raise self._wrong(name, given, "true or false")
        return bool(given)

    def names(self, name: str) -> list[str]:
        """Return a list of words of the configuration; it is empty where it is left out or null.

        Raises:
            RunError: it is something else.
        """
        given = self.settings.get(name)
        given = [] if given is None else given
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise self._wrong(name, given, "a list of words")
        return given

    def section(self, name: str) -> dict[str, Any]:
        """Return an object of the configuration; it is empty where it is left out or null.

        Raises:
            RunError: it is something else.
        """
        given = self.settings.get(name)
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise self._wrong(name, given, "an object")
        return given

    def _wrong(self, name: str, given: object, wanted: str) -> RunError:
        return RunError(f"{self.path / CONFIG}: {name} is {given!r}, where a model has {wanted}.")


def _token(named: object) -> int | None:
    """Return what a configuration names, if it can be a token."""
    return named if isinstance(named, int) and not isinstance(named, bool) and named >= 0 else None


def is_real(given: object) -> TypeGuard[float]:
    """Return whether something that JSON gave is a number that a model can compute with."""
    return isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < HUGE


def open_folder(path: Path) -> ModelFolder:
    """Read the configuration of a folder.

    Raises:
        RunError: there is none, or it is none of a model.
    """
    settings = read_json(path / CONFIG)
    if not isinstance(settings, dict):
        raise RunError(f"{path / CONFIG} is not a model's configuration.")
    return ModelFolder(path, settings)


def read_template(folder: Path) -> str:
    """Return the chat template of a folder, all of them where it has several; empty without one.

    Raises:
        RunError: a file that may hold it cannot be read.
    """
    alone, settings = (folder / name for name in TEMPLATES)
    if alone.is_file():
        return read_bytes(alone).decode(errors="replace")
    found = read_json(settings) if settings.is_file() else {}
    given = found.get("chat_template") if isinstance(found, dict) else None
    if isinstance(given, list):
        given = "\n".join(str(one.get("template")) for one in given if isinstance(one, dict))
    return given if isinstance(given, str) else ""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of a folder by their names.

    Raises:
        RunError: they are missing, damaged, a pickle, or not all numbers.
    """
    source, tensors = weights_of(folder), dict[str, Tensor]()
    if source.name != INDEX:
        tensors = _read_part(source)
    else:
        places = read_index(source)
        for part in sorted(set(places.values())):
            tensors |= _read_part(folder / part)
        if lost := sorted(places.keys() - tensors.keys()):
            raise RunError(
                f"{folder / places[lost[0]]} has no tensor {lost[0]}, which"
                f" {source.name} says it holds."
            )
    refuse_no_numbers(tensors, source)
    return tensors


def without_prefix(tensors: Mapping[str, Tensor], prefix: str, source: Path) -> dict[str, Tensor]:
    """Return tensors by their names without a prefix that only some files have.

    Args:
        tensors: by their names in the file.
        prefix: what some names begin with.
        source: the file, for the message.

    Raises:
        RunError: two would have one name.
    """
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix(prefix)
        if plain in named:
            raise RunError(f"{source} has two tensors {plain}, one of them as {prefix}{plain}.")
        named[plain] = tensor
    return named


def refuse_no_numbers(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Make sure that weights, or what they compute, are finite numbers.

    Raises:
        RunError: some are NaN or infinite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RunError(
                f"{source} is of no use: of {name} some are no finite numbers (NaN or infinity)."
                " Nothing was imported."
            )


def _read_part(path: Path) -> dict[str, Tensor]:
    with read_errors(path), path.open("rb") as file:
        refuse_pickle(path, file.read(8))
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path} is damaged or is not a safetensors file: {error}") from None
