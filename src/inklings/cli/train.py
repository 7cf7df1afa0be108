"""`inklings train ARM`: train one generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

import tyro

from inklings.cli.arguments import Json
from inklings.cli.launched import (
    Strategy,
    folder_given,
    format_processes,
    launched,
    speaks,
    warn_of_strategy,
)
from inklings.cli.log_to import LogTo, warn_of_trackers
from inklings.cli.outcome import report_page, report_result
from inklings.cli.plan import show_plan
from inklings.cli.progress import Display
from inklings.cli.run_arguments import flag_value, given_flags, parse_run
from inklings.cli.table import number_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.config import RunConfig
from inklings.errors import ConfigError, InterruptedWorkError
from inklings.interop.trackers.tracking import tracked
from inklings.runs.directory import CONFIG
from inklings.runs.free_folder import free_folder
from inklings.training.agreeing import began_with
from inklings.training.find_batch_size import find_batch_size
from inklings.training.find_lr import find_lr
from inklings.training.inheritance import beginning_of
from inklings.training.joining import joined
from inklings.training.planning.accelerators import parse_machine
from inklings.training.train import resume, train
from inklings.world import World


class Beginning(TypedDict):
    """The run that a new one begins with, as the functions that settle a run take it."""

    initial: Path | None
    extend_vocabulary: bool
    trust_code: bool


@dataclass(frozen=True)
class Train:
    """Flags of the verb `train` itself, beside those of a run."""

    run: Annotated[Path | None, tyro.conf.arg(metavar="RUN", aliases=["--out"])] = None
    """Directory of the run; by default runs/ and a name made of the architecture, the text and a
    number. Under torchrun, which takes --run for a flag of its own, write --out.
    """
    from_: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")] = None
    """Begin with the weights, the tokenizer and the model's settings of this run (fine-tuning); no
    ARM takes its architecture too.
    """
    extend_vocabulary: bool = False
    """With --from: take characters of the training text that the run's vocabulary lacks into it;
    all else is kept.
    """
    dry_run: bool = False
    """Print the resolved plan (parameters, FLOPs, memory, expected time) and train nothing."""
    on: Annotated[str | None, tyro.conf.arg(metavar="NxNAME")] = None
    """With --dry-run: compute too what the run would take on so many accelerators, as 8xH100.
    """
    strategy: Strategy = "ddp"
    """Under torchrun: whether every process holds all weights, or they are cut up among them.
    """
    find_lr: bool = False
    """Try rising learning rates for a few hundred steps, print the curve and a suggestion, and
    train nothing.
    """
    find_batch_size: bool = False
    """Find the largest batch that fits into memory, and train nothing."""
    no_report: bool = False
    """Do not write RUN/report.html, the page of the run, at its end."""
    log_to: LogTo = ()
    trust_code: bool = False
    """Allow the copy of an architecture file in the run given with --from to be executed though
    another machine made it.
    """
    json: Json = False


def _beginning(arguments: Sequence[str]) -> RunConfig | None:
    """Return the model's settings of the run given with --from, if one is."""
    run = flag_value("--from", arguments)
    if run is None:
        return None
    arm = arguments[0] if not arguments[0].startswith("-") else None
    return beginning_of(Path(run), arm, trust_code="trust_code" in given_flags(arguments))


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    parsed = parse_run(
        arguments,
        Train,
        verb="train",
        description="Train one generator.",
        beginning=_beginning(arguments),
    )
    flags: Train = parsed.verb
    terminal = open_terminal(flags.json)
    beginning = Beginning(
        initial=flags.from_, extend_vocabulary=flags.extend_vocabulary, trust_code=flags.trust_code
    )
    if flags.on is not None and not flags.dry_run:
        raise ConfigError(
            f"--on {flags.on} says for what machine a plan is made, and runs nothing there. Add"
            " --dry-run."
        )
    if flags.dry_run or flags.find_lr or flags.find_batch_size:
        warn_of_trackers(flags.log_to)
    if flags.dry_run:
        on = None if flags.on is None else parse_machine(flags.on)
        return show_plan(parsed.config, terminal, on=on, **beginning)
    if flags.find_lr:
        return _find_lr(parsed.config, terminal, beginning)
    if flags.find_batch_size:
        return _find_batch_size(parsed.config, terminal, beginning)
    warn_of_strategy(flags.strategy)
    run = folder_given(flags.run) or free_folder(
        "runs", [parsed.config.architecture], parsed.config.data.source
    )
    terminal.say(
        f"training {parsed.config.architecture} on {parsed.config.data.source} for"
        f" {parsed.config.training.budget} into {run}{format_processes()}"
    )
    try:
        with (
            Display(terminal) as display,
            tracked(display, flags.log_to if speaks() else (), run=run) as listener,
            joined(sharded=flags.strategy == "fsdp") as world,
        ):
            if _goes_on(parsed.config, flags.from_, run, world):
                result = resume(run, on_event=listener, trust_code=flags.trust_code, world=world)
            else:
                result = train(parsed.config, run, on_event=listener, world=world, **beginning)
            seconds = display.seconds
    except KeyboardInterrupt:
        if not (run / CONFIG).is_file():
            raise
        raise InterruptedWorkError(
            f"interrupted; go on from the last checkpoint with: inklings resume {run}"
        ) from None
    page = (
        None
        if flags.no_report or not speaks()
        else report_page(result, terminal, trust_code=flags.trust_code)
    )
    return report_result(result, terminal, seconds=seconds, left_out=display.left_out, page=page)


def _goes_on(config: RunConfig, initial: Path | None, run: Path, world: World) -> bool:
    """Return whether the command was begun before: torchrun starts it again after a failure."""
    return launched() and world.told(world.leads and began_with(config, initial, run))


def _find_lr(config: RunConfig, terminal: Terminal, beginning: Beginning) -> int:
    with Display(terminal) as display:
        found = find_lr(config, on_event=display, **beginning)
    rows = [
        (f"{rate:.2e}", f"{loss:.4f}")
        for rate, loss in zip(found.learning_rates, found.losses, strict=True)
    ]
    terminal.table(
        [number_column("learning rate"), number_column("loss")], rows[:: max(1, len(rows) // 20)]
    )
    flags = (
        f"--training.{name.replace('_', '-')} {rate:.2g}"
        for name, rate in found.suggestions.items()
    )
    terminal.say(f"suggestion: {' '.join(flags)}", style="bold")
    terminal.result(dataclasses.asdict(found))
    return 0


def _find_batch_size(config: RunConfig, terminal: Terminal, beginning: Beginning) -> int:
    with Display(terminal) as display:
        size = find_batch_size(config, on_event=display, **beginning)
    terminal.say(f"the largest batch that fits: --training.batch-size {size}", style="bold")
    terminal.result({"batch_size": size})
    return 0
