"""Where a thing stands in a user's own code: the file and line that a message begins with."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path


def place_of(kind: type, name: str = "") -> str:
    """Return where a class, or something that its body defines, begins: `my_model.py, line 12`.

    Only the file, or the name of the class, where nothing more can be told.

    Args:
        kind: the class.
        name: an attribute of the class; empty for the class itself.
    """
    path = _file_of(kind)
    if path is None:
        return kind.__name__
    found: object = vars(kind).get(name, kind) if name else kind
    if isinstance(found, property):
        found = found.fget
    try:
        _, line = inspect.getsourcelines(found if callable(found) else kind)
    except (OSError, TypeError):
        return path.name
    if not callable(found):
        line = _line_of_attribute(kind, name, line)
    return f"{path.name}, line {line}"


def raised_at(error: BaseException, kind: type) -> str:
    """Return the innermost place in the file of `kind` that an exception passed through."""
    path = _file_of(kind)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path is not None and Path(frame.filename) == path
    ]
    return f"{path.name}, line {lines[-1]}" if path is not None and lines else place_of(kind)


def _file_of(kind: type) -> Path | None:
    try:
        return Path(inspect.getfile(kind))
    except (OSError, TypeError):
        return None


def _line_of_attribute(kind: type, name: str, first: int) -> int:
    """Return the line of `name = ...` in the body of a class that begins at `first`."""
    lines, _ = inspect.getsourcelines(kind)
    places = [
        number
        for number, line in enumerate(lines)
        if line.strip().startswith((f"{name} =", f"{name}=", f"{name}:"))
    ]
    return first + (places[0] if places else 0)
