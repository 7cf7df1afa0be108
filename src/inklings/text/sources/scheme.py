"""Schemes: the ways to name a text. Each knows its own names and opens what they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inklings.config import DataConfig
from inklings.registry import Registry
from inklings.text.documents import Source

HOST = "https://raw.githubusercontent.com"
"""Where the well-known texts come from."""


@dataclass(frozen=True)
class SourceRequest:
    """A request for a text: its name, and how it is read."""

    data: DataConfig
    """The settings; `source` is the name."""
    cache: Path
    """Where downloads and stdin are kept."""
    host: str = HOST

    @property
    def name(self) -> str:
        """Name of the file, as the user gave it."""
        return self.data.source


@dataclass(frozen=True, kw_only=True)
class SourceScheme:
    """A way to name texts, and everything that the rest of the code asks about it."""

    name: str
    form: str
    """How its names look, for messages."""
    takes: Callable[[str], bool]
    """Whether a name is one of its own."""
    open: Callable[[SourceRequest], Source]
    """The text; raises `SourceError`, `DownloadError` or `MissingExtraError`."""
    known: Callable[[], Mapping[str, tuple[str, str]]] = field(default=dict)
    """What can be listed: names, each with what it is and its licence."""


SCHEMES: Registry[SourceScheme] = Registry(
    "scheme",
    {
        "builtin": "inklings.text.sources.builtin:SCHEME",
        "well-known": "inklings.text.sources.well_known:SCHEME",
        "hub": "inklings.text.sources.hub:SCHEME",
        "stdin": "inklings.text.sources.stdin:SCHEME",
        "path": "inklings.text.sources.paths:SCHEME",
    },
)
"""Every scheme by its name; a path is what no other one takes."""


def known_sources() -> dict[str, tuple[str, str]]:
    """Return all texts that are known by name, each with what it is and its licence."""
    return {name: about for scheme in SCHEMES for name, about in scheme.known().items()}
