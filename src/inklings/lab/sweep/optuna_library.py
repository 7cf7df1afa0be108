"""Optuna, an extra, loaded when it is first needed: the other verbs save half a second."""

from __future__ import annotations

import importlib
from typing import Any

from inklings.errors import MissingExtraError


def library(what: str) -> Any:
    """Return the module `optuna`, which from then on says nothing by itself.

    Args:
        what: what needs it, for the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise MissingExtraError(what, "sweep") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
