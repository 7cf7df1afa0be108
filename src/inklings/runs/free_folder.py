"""A fresh folder for work that was given none, with a name that tells what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inklings.models.registry import available

LONGEST = 40
"""Most characters of the architectures' names."""


def free_folder(above: str, names: Sequence[str], source: str) -> Path:
    """Return the first free folder for work of some architectures on a text, with a number.

    Args:
        above: the folder that it is in.
        names: of the architectures.
        source: of the text.
    """
    kinds = "-".join(dict.fromkeys(_short(name) for name in names))
    text = Path(source.partition("?")[0].replace(":", "-").rstrip("/")).stem or "stdin"
    number = 1
    while (path := Path(above) / f"{kinds[:LONGEST]}-{text}-{number}").exists():
        number += 1
    return path


def _short(architecture: str) -> str:
    if architecture in available():
        return architecture
    return Path(architecture.partition(":")[0]).stem
