"""`inklings export RUN --to TARGET PATH`: a run, written for another library or engine."""

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
from inklings.interop.exports.export import export_run, report_of
from inklings.interop.exports.target import TARGETS


@dataclass(frozen=True)
class ExportFlags:
    """Flags of the verb `export`."""

    run: tyro.conf.Positional[RunName]
    """A run's directory, or builtin:reference."""
    path: tyro.conf.Positional[Annotated[Path, called("PATH")]]
    """The new folder, or the new file where --to is gguf."""
    to: Literal["transformers", "onnx", "gguf"]
    """The library or engine that is to open it."""
    precision: Annotated[str | None, called("PRECISION")] = None
    """What weights are stored as; nothing takes float32. For gguf float16 and q8_0 too."""
    data: Annotated[str | None, called("SOURCE")] = None
    """Compare the two on the validation part of another text than the run's own."""
    trust_code: bool = False
    """Allow the run's own copy of an architecture file to be executed though another machine made
    it.
    """
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        ExportFlags,
        arguments,
        verb="export",
        description=(
            "Write a run for another library or engine, and compare the two on held-out text before"
            " it appears."
        ),
    )
    terminal = open_terminal(flags.json)
    run, target = open_run(flags.run), TARGETS[flags.to]
    with Display(terminal) as display:
        made = export_run(
            run,
            flags.path,
            to=flags.to,
            precision=flags.precision,
            data=flags.data,
            trust_code=flags.trust_code,
            on_event=display,
        )
    terminal.say(f"{flags.path}: {made.class_name}, {made.becomes}, in {made.precision}")
    terminal.say(f"compared: {made.agreement} ({report_of(flags.path, target)})")
    if made.without_tokenizer is None:
        terminal.say(f"tokenizer: the same on {made.lines:,} lines of that text")
    else:
        terminal.say(f"warning: no tokenizer was written: {made.without_tokenizer}", style="yellow")
    for note in made.notes:
        terminal.say(f"note: {note}")
    terminal.say(f"loading: {made.loading}")
    terminal.say(f"next: {target.next(target.forms[made.form], flags.path)}", as_is=True)
    terminal.result({"path": str(flags.path), **made.to_mapping()})
    return 0
