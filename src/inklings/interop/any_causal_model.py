"""Any causal model that `transformers` opens, exported runs among them."""

from __future__ import annotations

import contextlib
import importlib

from inklings.errors import ConfigError, MissingExtraError
from inklings.models.adapters.hugging_face import LoadedModel, load_hugging_face


def load_any_causal(name: str, *, untrained: bool = False, trust_code: bool = False) -> LoadedModel:
    """Load a model as `load_hugging_face` does, after making exported runs known to the library.

    Args:
        name: a folder, or OWNER/NAME on the hub; a folder may hold a configuration alone.
        untrained: whether weights are drawn though there are some.
        trust_code: whether Python code that comes with the model may be executed.

    Raises:
        MissingExtraError: `transformers` is not installed.
        ArchitectureError: there is no such model, or it cannot be loaded.
    """
    # without the library the next line says so; an older version of it opens others
    with contextlib.suppress(ConfigError, MissingExtraError):
        importlib.import_module("inklings.interop.transformers")
    return load_hugging_face(name, untrained=untrained, trust_code=trust_code)
