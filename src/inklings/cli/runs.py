"""`inklings runs [DIR]`: the runs below a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inklings.cli.arguments import Json, called, parse
from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import open_terminal
from inklings.errors import ConfigError
from inklings.runs.directory import RunSummary, list_runs


@dataclass(frozen=True)
class Runs:
    """Flags of the verb `runs`."""

    directory: tyro.conf.Positional[Annotated[Path, called("[FOLDER]")]] = Path("runs")
    """The folder that is searched, subfolders included."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(Runs, arguments, verb="runs", description="The runs below a folder.")
    if os.path.isfile(flags.directory):  # noqa: PTH113  # of a name too long this says no
        raise ConfigError(
            f"{flags.directory} is no folder. Give one that holds runs, or leave it out for runs/."
        )
    terminal = open_terminal(flags.json)
    found = list_runs(flags.directory)
    if found:
        terminal.table(
            [
                name_column("run", typed=True),
                name_column("architecture", 3),
                name_column("text", 2),
                number_column("step", 1),
                number_column("validation loss"),
                words_column("state"),
            ],
            [_row(run) for run in found],
        )
        for run in found:
            if run.doubt is not None:
                terminal.say(f"warning: {run.path}: {run.doubt}.", style="yellow")
    else:
        terminal.say(f"no runs below {flags.directory}. `inklings train ARM --run DIR` makes one.")
    terminal.result({"runs": [run.__dict__ for run in found]})
    return 0


def _row(run: RunSummary) -> tuple[str, ...]:
    loss = "" if run.validation_loss is None else f"{run.validation_loss:.4f}"
    return str(run.path), run.architecture, run.source, f"{run.step:,}", loss, run.state
