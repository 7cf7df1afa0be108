"""`inklings report DIR`: write the HTML report of a comparison, a sweep or runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inklings.cli.arguments import Json, called, parse
from inklings.cli.terminal import open_terminal
from inklings.errors import ConfigError
from inklings.lab.report.of_runs.run_page import write_run_report
from inklings.lab.report.page import write_report
from inklings.lab.sweep.sweep_report import write_sweep_report
from inklings.lab.sweep.sweep_results import FILE_NAME
from inklings.runs.directory import CONFIG


@dataclass(frozen=True)
class Report:
    """Flags of the verb `report`."""

    directories: tyro.conf.Positional[Annotated[tuple[Path, ...], called("FOLDER ...")]]
    """The directory of a comparison or a sweep (what `inklings compare ARM ARM --out` or `inklings
    sweep ARM --out` named), or one or more runs.
    """
    out: Annotated[Path | None, called("FOLDER")] = None
    """Folder of the page of runs; by default the folder of the run, or for several `report`."""
    window: int | None = None
    """Steps of a window of the smoothed curves of runs; by default a thirtieth of a run."""
    trust_code: bool = False
    """Allow the architecture file that the settings of a sweep name to be executed."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Report,
        arguments,
        verb="report",
        description="Write the HTML report of a comparison, a sweep, a run, or several runs.",
    )
    terminal = open_terminal(flags.json)
    path = _write(flags)
    terminal.say(f"report: {path}", as_is=True)
    terminal.result({"report": str(path)})
    return 0


def _write(flags: Report) -> Path:
    """Write the report of whatever the directories are; return its path."""
    if not flags.directories:
        raise ConfigError("a directory is missing: that of a comparison, a sweep, or a run.")
    if flags.window is not None and flags.window < 1:
        raise ConfigError(f"--window is {flags.window}; it must be 1 step or more.")
    first = flags.directories[0]
    if len(flags.directories) > 1 or (first / CONFIG).is_file():
        return write_run_report(
            flags.directories,
            flags.out or (first if len(flags.directories) == 1 else Path("report")),
            window=flags.window,
            trust_code=flags.trust_code,
        )
    given = [name for name in ("out", "window") if getattr(flags, name) is not None]
    if given:
        raise ConfigError(f"--{given[0]} is of the page of runs, and {first} is not a run.")
    if os.path.lexists(first / FILE_NAME):
        return write_sweep_report(first, trust_code=flags.trust_code)
    return write_report(first)
