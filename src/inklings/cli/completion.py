"""`inklings completion SHELL`: the script that lets a shell complete verbs and flags."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from inklings.cli.arguments import CONFIG, Json, TypeAskedError, asking_for_type, parse
from inklings.cli.terminal import open_terminal

HOW = {
    "bash": "~/.local/share/bash-completion/completions/inklings",
    "zsh": "a file _inklings in a folder of $fpath",
}
"""Where each shell looks for the script."""


@dataclass(frozen=True)
class CompletionFlags:
    """Flags of the verb `completion`."""

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """The shell that is to complete."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        CompletionFlags,
        arguments,
        verb="completion",
        description=(
            "Print the script that lets a shell complete verbs and flags. It goes to"
            f" {HOW['bash']} for bash, to {HOW['zsh']} for zsh."
        ),
    )
    script = completion_script(flags.shell)
    terminal = open_terminal(flags.json)
    if flags.json:
        terminal.result({"shell": flags.shell, "script": script})
    else:
        print(script)
    return 0


def completion_script(shell: str) -> str:
    """Return the script for a shell."""
    from inklings.cli.main import MODULES, VERBS

    verbs: list[Any] = []
    for verb, about in VERBS.items():
        module = importlib.import_module(f"inklings.cli.{MODULES.get(verb, verb)}")
        try:
            with asking_for_type():
                module.main(["--help"])
        except TypeAskedError as asked:
            described = tyro.conf.subcommand(verb, description=about)
            verbs.append(Annotated[asked.arguments_type, described])
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        together: Any = functools.reduce(operator.or_, verbs)
        tyro.cli(together, prog="inklings", args=["--tyro-print-completion", shell], config=CONFIG)
    return out.getvalue()
