"""`inklings report DIR`: write the HTML report of a comparison again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from inklings.cli.arguments import Json, parse
from inklings.cli.terminal import open_terminal
from inklings.lab.report import write_report


@dataclass(frozen=True)
class Report:
    """Flags of the verb."""

    directory: tyro.conf.Positional[Path]
    """The comparison's directory (`--out` of `inklings compare`)."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    flags = parse(Report, arguments, verb="report", description="Write the HTML report of a comparison again.")
    terminal = open_terminal(flags.json)
    path = write_report(flags.directory)
    terminal.say(f"report: {path}")
    terminal.result({"report": str(path)})
    return 0
