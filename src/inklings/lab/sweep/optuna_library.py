"""Optuna, an extra, loaded when it is first needed: the other verbs save half a second."""

from __future__ import annotations

from typing import Any

from inklings.errors import import_extra


def library(what: str) -> Any:
    """Return the module `optuna`, which from then on says nothing by itself.

    Args:
        what: what needs it, for the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    optuna = import_extra("optuna", what, "sweep")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
