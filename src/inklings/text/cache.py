"""The cache directory: downloads, spooled input and token stores are kept there between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return the folder named by INKLINGS_CACHE, else `inklings` in the user's cache folder.

    It may not exist yet.
    """
    given = os.environ.get("INKLINGS_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "inklings"
