"""Runs are tested on the texts and settings that training is tested on."""

from __future__ import annotations

from ..training.conftest import (  # noqa: F401
    _own_identity,
    config_of,
    small_config,
    store,
    text,
)
