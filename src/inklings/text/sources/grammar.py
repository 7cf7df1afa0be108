"""The grammar of SOURCE: which scheme a name belongs to."""

from __future__ import annotations

from pathlib import Path

from inklings.config import DataConfig
from inklings.text.cache import cache_directory
from inklings.text.documents import Source
from inklings.text.sources.own_splits import with_own_splits
from inklings.text.sources.reading import check_cutting
from inklings.text.sources.scheme import HOST, SCHEMES, SourceRequest


def open_source(data: DataConfig, *, cache: Path | None = None, host: str = HOST) -> Source:
    """Open the text that `data.source` names, read as `data` says.

    Local files are read once, to hash them. A well-known text is downloaded if it is not in the
    cache, stdin is copied there.

    Args:
        data: what to read, and how.
        cache: where downloads and stdin are kept; None: the user's cache folder.
        host: where the well-known texts come from.

    Raises:
        SourceError: the source is unknown, missing, empty, or not text.
        DownloadError: it cannot be fetched.
        MissingExtraError: reading it needs an optional dependency.
        ConfigError: layout and separator contradict each other, or validation and test text what
            the source says itself.
    """
    check_cutting(data)
    if data.validation is not None or data.test is not None:
        return with_own_splits(data, lambda one: open_source(one, cache=cache, host=host))
    scheme = next((s for s in SCHEMES if s.takes(data.source)), SCHEMES["path"])
    return scheme.open(SourceRequest(data, cache or cache_directory(), host))
