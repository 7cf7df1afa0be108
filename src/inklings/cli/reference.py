"""Opening a run by path, or the small reference run that ships with the package."""

from __future__ import annotations

from pathlib import Path

import inklings
from inklings.runs.directory import RunDirectory

REFERENCE = "builtin:reference"


def open_run(name: str) -> RunDirectory:
    """Return the run at a path, or `builtin:reference`."""
    path = Path(inklings.__file__).parent / "reference" if name == REFERENCE else Path(name)
    return RunDirectory.open(path)
