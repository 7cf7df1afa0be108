"""Paths: files, folders and patterns on this machine."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from inklings.errors import SourceError, nearest
from inklings.text.documents import Source
from inklings.text.formats.files import find_files
from inklings.text.formats.format import TextFile
from inklings.text.sources.files_source import source_of_files
from inklings.text.sources.scheme import SCHEMES, SourceRequest, SourceScheme, known_sources


def _open(request: SourceRequest) -> Source:
    address = str(Path(request.name).expanduser().absolute())
    return source_of_files(request.data, _local_files(request.name), address)


def _local_files(given: str) -> list[TextFile]:
    """Return the files that a path names.

    A name that is nothing at all may be a misspelt source.
    """
    if not given:
        raise SourceError(
            f"the source is empty. Give one of: {', '.join(scheme.form for scheme in SCHEMES)}."
        )
    try:
        return find_files(given)
    except SourceError as error:
        if glob.has_magic(given) or os.path.lexists(Path(given).expanduser()):
            raise
        names = list(known_sources())
        if "://" in given:
            raise SourceError(
                f"{given} is an address, not a source. Download it and give the path of the file."
            ) from error
        hint = nearest(given, names)
        if not hint and os.sep in given:
            raise
        raise SourceError(
            f"{error} Nor is it one of the texts known by name.{hint} They are: {', '.join(names)}."
        ) from error


SCHEME = SourceScheme(name="path", form="a path", takes=lambda name: False, open=_open)
