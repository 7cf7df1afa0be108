"""The names of architectures, and how each is found.

An architecture is a name here, a class in the user's own file, or another package's entry point.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inklings.errors import ArchitectureError, unknown_name
from inklings.fields import outside_brackets
from inklings.values import from_mapping

if TYPE_CHECKING:
    from inklings.models.contract import Architecture

ARCHITECTURES = {
    "ngram": "inklings.models.ngram:NGram",
    "mlp": "inklings.models.mlp:MLP",
    "recurrent": "inklings.models.recurrent:Recurrent",
    "tree_wavenet": "inklings.models.tree_wavenet:TreeWaveNet",
    "wavenet": "inklings.models.wavenet.model:WaveNet",
    "gpt2": "inklings.models.gpt2.model:GPT2",
    "gpt": "inklings.models.gpt:GPT",
    "wavegpt": "inklings.models.wavegpt:WaveGPT",
    "varda": "inklings.models.varda.model:Varda",
    "textgan": "inklings.models.textgan.model:TextGAN",
    "one_shot": "inklings.models.one_shot:OneShot",
}
"""Names of architectures, and where each class is: a string, so that listing the names imports
nothing.
"""

ADAPTERS = {"causal_model": "inklings.models.adapters.causal_model:CausalModel"}
"""Architectures that runs have whose weights come from elsewhere: nobody trains one by its name, so
they are not listed.
"""

ENTRY_POINT_GROUP = "inklings.models"

BASES = ("Architecture", "SequenceModel", "SampleModel")
"""Base classes that a user's file imports to build on; none of them is an architecture."""


def available() -> dict[str, str]:
    """Return every architecture known by name, with those of installed packages; imports none."""
    return {**_installed(), **ARCHITECTURES}


@cache
def _installed() -> dict[str, str]:
    """Read what installed packages add, once a process: it means a look at every package."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def summary(name: str) -> str:
    """Read the first sentence of an architecture's module, without importing it."""
    spec = importlib.util.find_spec(available()[name].partition(":")[0])
    if spec is None or spec.origin is None:
        return ""
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ")


def is_file(architecture: str) -> bool:
    """Return whether the name is of the form `path/to/file.py:Class`."""
    return architecture.partition(":")[0].endswith(".py")


def split_name(text: str) -> tuple[str, str | None]:
    """Split `NAME[:fields]` or `FILE.py:CLASS[:fields]` into the architecture and its fields' text.

    The text is None where there are no fields. Brackets keep a value whole:
    `varda:backbone=[gpt:n_layer=2,n_embd=64],reader=concat`.
    """
    colons = outside_brackets(text, ":")
    if colons:
        head, tail = text[: colons[-1]], text[colons[-1] + 1 :]
        if not tail or outside_brackets(tail, "="):
            return head, tail
    return text, None


def load_class(architecture: str) -> type[Architecture]:
    """Import the class behind a registered name or behind `path/to/file.py:Class`.

    Raises:
        ArchitectureError: the name is unknown, the file cannot be imported, or the class is no
            architecture.
    """
    target = (
        architecture if is_file(architecture) else {**available(), **ADAPTERS}.get(architecture)
    )
    if target is None:
        message = unknown_name("architecture", architecture, available())
        raise ArchitectureError(f"{message} Your own is given as path/to/file.py:Class.")
    module_name, _, class_name = target.partition(":")
    module = (
        import_file(Path(module_name)) if is_file(target) else importlib.import_module(module_name)
    )
    return _checked_class(module, class_name, architecture)


def import_file(path: Path) -> Any:
    """Import a user's Python file.

    Whatever it raises becomes an `ArchitectureError` with the place.
    """
    if not path.is_file():
        raise ArchitectureError(
            f"there is no file {path}. `inklings new {path}` writes a template."
        )
    name = f"inklings_user_{path.stem}_{abs(hash(str(path.resolve()))):x}"
    spec = importlib.util.spec_from_file_location(
        name, path, loader=_SourceLoader(name, str(path.absolute()))
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        calls = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == spec.origin
        ]
        line = error.lineno if isinstance(error, SyntaxError) else calls[-1] if calls else None
        where = f"{path}, line {line}" if line else f"{path}"
        raise ArchitectureError(
            f"{where} could not be imported: {type(error).__name__}: {error}{_known_traits(error)}"
        ) from error
    return module


def _known_traits(error: Exception) -> str:
    """Return what `Traits` takes, to follow the error of a trait that it does not."""
    from inklings.models.contract import Traits

    # Python guesses a name behind it from 3.13 on
    found = re.match(r"Traits\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if found is None:
        return ""
    allowed = [field.name for field in dataclasses.fields(Traits)]
    return f" ({unknown_name('trait', found[1], allowed)})"


class _SourceLoader(SourceFileLoader):
    """Loads the source of a file, and never the compiled code in a `__pycache__` beside it.

    A run that somebody else made may bring one; only the source is checked.
    """

    def path_stats(self, path: Any) -> Any:
        """Refuse, so that no compiled code is taken to belong to the file."""
        raise OSError(f"{path}: compiled code is not looked for")


def _checked_class(module: Any, class_name: str, given: str) -> type[Architecture]:
    from inklings.models.contract import Traits, is_architecture
    from inklings.models.objectives import objective_of
    from inklings.models.own_code.places import place_of

    found = [name for name, value in vars(module).items() if is_architecture(value)]
    candidates = [name for name in found if name not in BASES]
    if not class_name:
        defined = ", ".join(candidates) or "no SequenceModel or SampleModel"
        raise ArchitectureError(
            f"{given} names no class. It defines: {defined}; give FILE.py:CLASS."
        )
    loaded = getattr(module, class_name, None)
    if loaded is None:
        raise ArchitectureError(f"{given}: {unknown_name('class', class_name, candidates)}")
    if not is_architecture(loaded):
        raise ArchitectureError(
            f"{given} is a subclass of neither inklings.models.contract.SequenceModel nor"
            " from_noise.SampleModel."
        )
    if not hasattr(loaded, "Config"):
        raise ArchitectureError(f"{given} has no `Config`: set it to your subclass of ModelConfig.")
    if not isinstance(loaded.traits, Traits):
        raise ArchitectureError(
            f"{place_of(loaded, 'traits')}: {class_name}.traits are {loaded.traits!r}. Allowed:"
            " write traits = Traits(...), of inklings.models.contract."
        )
    objective_of(loaded)
    return loaded


def build(
    architecture: str, fields: Mapping[str, Any], *, vocab_size: int, boundary_token: int
) -> Architecture:
    """Make a model with fresh weights from the fields that a user set.

    The weights are drawn from torch's global generator.

    Args:
        architecture: a registered name, or `path/to/file.py:Class`.
        fields: fields of its configuration that the user set.
        vocab_size: of the tokenizer.
        boundary_token: of the tokenizer.

    Raises:
        ArchitectureError: see `load_class`.
        ConfigError: a field is unknown, of the wrong type, or out of range.
    """
    model_type = load_class(architecture)
    given = {**fields, "vocab_size": vocab_size, "boundary_token": boundary_token}
    return model_type(from_mapping(model_type.Config, given, where=f"model {architecture}"))
