"""A folder that `transformers` wrote: `config.json`, `model.safetensors`, a tokenizer.

Pickled weights (`pytorch_model.bin`) are never opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from inklings.durable import read_bytes, read_errors, read_json
from inklings.errors import RunError
from inklings.runs.tensors.checked_files import refuse_pickle

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")
"""Where a chat template may stand: by itself, or in the settings of the tokenizer."""


@dataclass(frozen=True)
class ModelFolder:
    """Where it is, and what its configuration says."""

    path: Path
    settings: dict[str, Any]

    @property
    def boundary(self) -> int | None:
        """The token that ends a text, where the configuration names one."""
        named = self.settings.get("eos_token_id")
        return named if isinstance(named, int) else None


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
        RunError: they are missing, damaged, in several parts, or a pickle.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        others = sorted(
            p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt")
        )
        if others:
            raise RunError(
                f"{folder} has its weights only as a pickle ({', '.join(others)}), which is"
                " never opened: it can run any code. Where you trust it, load it with transformers"
                f" and call save_pretrained, which writes {WEIGHTS}."
            )
        parts = (
            f" Weights in several parts ({WEIGHTS}.index.json) cannot be read."
            if (folder / f"{WEIGHTS}.index.json").exists()
            else ""
        )
        raise RunError(f"{path} is missing.{parts}")
    with read_errors(path), path.open("rb") as file:
        refuse_pickle(path, file.read(8))
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path} is damaged or is not a safetensors file: {error}") from None
