"""What a server needs beside the base install, and one line where it is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from inklings.errors import MissingExtraError

PACKAGES = ("fastapi", "prometheus_client", "pydantic", "starlette", "uvicorn")
"""Packages that the extra `serve` brings."""


@contextlib.contextmanager
def needing_serve() -> Iterator[None]:
    """Make an import within the block name the extra that is missing.

    Raises:
        MissingExtraError: one of its packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise MissingExtraError("a server", "serve") from error
