"""`inklings export RUN --to transformers DIR`: a run as a folder that transformers opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from inklings.cli.arguments import Json, RunName, called, parse
from inklings.cli.progress import Display
from inklings.cli.reference import open_run
from inklings.cli.terminal import open_terminal
from inklings.interop.to_transformers.export import REPORT, export_run


@dataclass(frozen=True)
class ExportFlags:
    """Flags of the verb `export`."""

    run: tyro.conf.Positional[RunName]
    """A run's directory, or builtin:reference."""
    folder: tyro.conf.Positional[Annotated[Path, called("DIR")]]
    """The new folder."""
    to: Literal["transformers"]
    """The library that is to open it, without code of ours."""
    data: Annotated[str | None, called("SOURCE")] = None
    """Compare the two on the validation part of another text than the run's own."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        ExportFlags,
        arguments,
        verb="export",
        description=(
            "Write a run as a model of transformers, and compare the two on held-out text before"
            " the folder appears."
        ),
    )
    terminal = open_terminal(flags.json)
    run = open_run(flags.run)
    with Display(terminal) as display:
        made = export_run(run, flags.folder, data=flags.data, on_event=display)
    terminal.say(f"{flags.folder}: {made.class_name} of transformers")
    terminal.say(f"compared: {made.agreement} ({flags.folder / REPORT})")
    if made.without_tokenizer is None:
        terminal.say(f"tokenizer: the same on {made.lines:,} lines of that text")
    else:
        terminal.say(f"warning: no tokenizer was written: {made.without_tokenizer}", style="yellow")
    for note in made.notes:
        terminal.say(f"note: {note}")
    terminal.say(f"next: inklings audit hf:{flags.folder}", as_is=True)
    terminal.result({"folder": str(flags.folder), **made.to_mapping()})
    return 0
