"""Any causal model that `transformers` opens, exported runs among them."""

from __future__ import annotations

import contextlib
import importlib

from inklings.errors import ConfigError, MissingExtraError, is_installed
from inklings.models.adapters.hugging_face import LoadedModel, load_hugging_face, no_causal


def load_any_causal(
    name: str, *, untrained: bool = False, or_drawn: bool = False, trust_code: bool = False
) -> LoadedModel:
    """Load a model as `load_hugging_face` does, after making exported runs known to the library.

    Args:
        name: a folder, or OWNER/NAME on the hub.
        untrained: whether weights are drawn though there are some.
        or_drawn: whether weights are drawn where a folder holds a configuration and none at all.
        trust_code: whether Python code that comes with the model may be executed.

    Raises:
        MissingExtraError: `transformers` is not installed.
        ArchitectureError: there is no such model, or it cannot be loaded.
        RunError: weights are wanted, and some are missing, of another shape, or in a pickle.
    """
    _make_exports_known()
    return load_hugging_face(name, untrained=untrained, or_drawn=or_drawn, trust_code=trust_code)


def why_not_causal(model_type: str) -> str | None:
    """Say why models of a type cannot be scored as they are; None where they can, or who knows.

    Args:
        model_type: of a configuration.
    """
    if not is_installed("transformers"):
        return None
    _make_exports_known()
    transformers = importlib.import_module("transformers")
    if model_type not in transformers.CONFIG_MAPPING:
        return None
    config = transformers.CONFIG_MAPPING[model_type]
    return None if config in transformers.MODEL_FOR_CAUSAL_LM_MAPPING else no_causal(model_type)


def _make_exports_known() -> None:
    # whoever goes on without the library says so; an older version of it opens others
    with contextlib.suppress(ConfigError, MissingExtraError):
        importlib.import_module("inklings.interop.transformers")
