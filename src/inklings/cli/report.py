"""`inklings report DIR`: write the HTML report of a comparison or a sweep again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from inklings.cli.arguments import Json, parse
from inklings.cli.terminal import open_terminal
from inklings.lab.report.page import write_report
from inklings.lab.sweep.sweep_report import write_sweep_report
from inklings.lab.sweep.sweep_results import FILE_NAME


@dataclass(frozen=True)
class Report:
    """Flags of the verb `report`."""

    directory: tyro.conf.Positional[Path]
    """The directory of a comparison or a sweep (what `inklings compare ARM ARM --out` or `inklings
    sweep ARM --out` named).
    """
    trust_code: bool = False
    """Allow the architecture file that the settings of a sweep name to be executed."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Report,
        arguments,
        verb="report",
        description="Write the HTML report of a comparison or a sweep again.",
    )
    terminal = open_terminal(flags.json)
    if os.path.lexists(flags.directory / FILE_NAME):
        path = write_sweep_report(flags.directory, trust_code=flags.trust_code)
    else:
        path = write_report(flags.directory)
    terminal.say(f"report: {path}", as_is=True)
    terminal.result({"report": str(path)})
    return 0
