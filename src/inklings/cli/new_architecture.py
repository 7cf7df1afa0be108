"""The template of a user's own architecture, written to a file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from inklings.durable import write_bytes
from inklings.errors import InputError

TEMPLATE_NAME = "my_model.py"
"""The file name in the template's examples; the name of the file written takes its place."""

CLASS_NAME = "MyModel"
"""The class that the template defines, as in `my_model.py:MyModel`."""


def write_template(path: Path) -> None:
    """Write a small commented architecture, `MyModel`, that keeps the whole contract.

    Raises:
        InputError: there is something at `path` already, or it is not the name of a Python file.
    """
    if path.suffix != ".py":
        raise InputError(
            f"{path} does not end in .py, so it could not be given as FILE.py:CLASS; try"
            f" {path.with_suffix('.py')}."
        )
    if path.exists():
        raise InputError(
            f"{path} exists and is left as it is; choose another name, or remove it first."
        )
    template = (
        resources.files("inklings.cli.templates")
        .joinpath("architecture.py")
        .read_text(encoding="utf-8")
    )
    write_bytes(path, template.replace(TEMPLATE_NAME, path.name).encode())
