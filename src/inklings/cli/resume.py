"""`inklings resume RUN`: go on with a run that was stopped, or train it further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from inklings.cli.arguments import Json, RunFolder, parse
from inklings.cli.launched import Strategy, speaks, warn_of_strategy
from inklings.cli.log_to import LogTo
from inklings.cli.outcome import report_page, report_result
from inklings.cli.progress import Display
from inklings.cli.terminal import open_terminal
from inklings.interop.trackers.tracking import tracked
from inklings.training.joining import joined
from inklings.training.train import resume


@dataclass(frozen=True)
class Resume:
    """Flags of the verb `resume`."""

    run: tyro.conf.Positional[RunFolder]
    """The directory of the run."""
    budget: str | None = None
    """A new total budget, larger than the old one: more of the same."""
    strategy: Strategy = "ddp"
    """Under torchrun: whether every process holds all weights, or they are cut up among them;
    another than before, if you like.
    """
    no_report: bool = False
    """Do not write RUN/report.html, the page of the run, at its end."""
    log_to: LogTo = ()
    trust_code: bool = False
    """Allow the run's own copy of an architecture file to be executed though another machine made
    it.
    """
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Resume,
        arguments,
        verb="resume",
        description="Go on with a run that was stopped, or train it further.",
    )
    terminal = open_terminal(flags.json)
    warn_of_strategy(flags.strategy)
    with (
        Display(terminal) as display,
        tracked(display, flags.log_to if speaks() else (), run=flags.run) as listener,
        joined(sharded=flags.strategy == "fsdp") as world,
    ):
        result = resume(
            flags.run,
            budget=flags.budget,
            on_event=listener,
            trust_code=flags.trust_code,
            world=world,
        )
        seconds = display.seconds
    page = (
        None
        if flags.no_report or not speaks()
        else report_page(result, terminal, trust_code=flags.trust_code)
    )
    return report_result(result, terminal, seconds=seconds, page=page)
