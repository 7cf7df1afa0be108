"""GPT-2: its model, and the windows that it reads."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["GPT2", "GPT2Config"]  # found by `__getattr__`


def __getattr__(name: str) -> Any:
    """Load a public name on its first use, so that a list of architectures imports no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.model"), name)
