"""`inklings doctor [RUN]`: check this machine, or every file of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from inklings.amounts import byte_size
from inklings.cli.arguments import Json, called, parse
from inklings.cli.reference import open_run
from inklings.cli.table import name_column, words_column
from inklings.cli.terminal import open_terminal
from inklings.device import environment
from inklings.runs.audits import kept_audits
from inklings.runs.open_memory import check_memory
from inklings.runs.run_check import check_run


@dataclass(frozen=True)
class Doctor:
    """Flags of the verb `doctor`."""

    run: tyro.conf.Positional[Annotated[str | None, called("[RUN]")]] = None
    """A run (or builtin:reference) whose every file is to be checked; without it, the machine is
    described.
    """
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Doctor, arguments, verb="doctor", description="Check this machine, or every file of a run."
    )
    terminal = open_terminal(flags.json)
    if flags.run is None:
        facts = environment()
        terminal.table(
            [name_column(), words_column()],
            [(key, _shown(key, value)) for key, value in facts.items()],
        )
        terminal.result(facts)
        return 0
    run = open_run(flags.run)
    found = check_run(run)
    problems = [*found.problems, *check_memory(run)]
    for problem in problems:
        terminal.say(f"damaged: {problem}", style="bold red")
    for unchecked in found.unchecked:
        terminal.say(f"not checked: {unchecked}", style="yellow")
    audits = [] if problems else kept_audits(run)
    for kept in audits:
        terminal.say(str(kept), style="bold red" if kept.failed else None)
    if not problems:
        what = "every file that could be checked" if found.unchecked else "every file"
        terminal.say(f"{flags.run} is whole: {what} is as it was written.", style="bold green")
    terminal.result(
        {
            "run": str(flags.run),
            "problems": problems,
            "unchecked": found.unchecked,
            "audits": [str(kept) for kept in audits],
        }
    )
    return 1 if problems else 0


def _shown(fact: str, value: object) -> str:
    """Return a fact about the machine for people."""
    if fact == "memory" and isinstance(value, int):
        return byte_size(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
