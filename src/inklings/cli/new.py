"""`inklings new FILE`: write a template of an architecture of your own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inklings.cli.arguments import Json, called, parse
from inklings.cli.new_architecture import CLASS_NAME, write_template
from inklings.cli.terminal import open_terminal


@dataclass(frozen=True)
class New:
    """Flags of the verb `new`."""

    file: tyro.conf.Positional[Annotated[Path, called("FILE.py")]]
    """The Python file to write; it may not exist."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        New, arguments, verb="new", description="Write a template of an architecture of your own."
    )
    terminal = open_terminal(flags.json)
    write_template(flags.file)
    terminal.say(
        f"wrote {flags.file}. Try it: inklings train {flags.file}:{CLASS_NAME} --data"
        " builtin:unicode-names --budget 200-steps"
    )
    terminal.result({"file": str(flags.file), "class": CLASS_NAME})
    return 0
