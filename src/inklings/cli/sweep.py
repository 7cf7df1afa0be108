"""`inklings sweep ARM`: search the settings of a generator under one budget."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inklings.cli.arguments import Folder, Json
from inklings.cli.log_to import LogTo, warn_of_trackers
from inklings.cli.progress import Display
from inklings.cli.run_arguments import parse_run
from inklings.cli.table import TableColumn, name_column, number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.config import RunConfig, to_mapping
from inklings.interop.trackers.tracking import tracked
from inklings.lab.sweep.space import Dimension, moves_with, parse_space
from inklings.lab.sweep.storage import hidden_password
from inklings.lab.sweep.sweep import TRIALS, settled, sweep
from inklings.lab.sweep.sweep_report import CAUTION, headline, table, write_sweep_report
from inklings.lab.sweep.sweep_results import BEST
from inklings.optimizers import PEAK_RATES
from inklings.text.store import prepare


@dataclass(frozen=True)
class Sweeping:
    """Flags of the verb `sweep` itself, beside those of a run."""

    space: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUES ...")] = ()
    """What is searched: FIELD=LOW..HIGH[:log|:STEP] for numbers, 'FIELD=a|b|c' for choices. A FIELD
    is one of the model's (n_layer, or model.n_layer) or of training (training.batch_size; lr for
    short). By default the learning rates, a decade each way.
    """
    trials: int = TRIALS
    """How many trials are to be finished in all, those of earlier calls included."""
    out: Folder = Path("sweep")
    """Folder of the trials, the best run and the report; the same command goes on where it was
    stopped.
    """
    storage: str | None = None
    """postgresql://USER:PASSWORD@HOST/DATABASE, where workers of many machines share the trials; by
    default they are in --out.
    """
    workers: int | None = None
    """Trials at a time, each in its own process; by default one a core."""
    log_to: LogTo = ()
    dry_run: bool = False
    """Print the space and what all trials share, and train nothing."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    began = time.perf_counter()
    parsed = parse_run(
        arguments,
        Sweeping,
        verb="sweep",
        description="Search the settings of a generator under one budget.",
    )
    flags: Sweeping = parsed.verb
    config = parsed.config
    terminal = open_terminal(flags.json)
    space = parse_space(flags.space, config)
    if flags.dry_run:
        warn_of_trackers(flags.log_to)
        return _show_space(config, space, parsed.rates, terminal)
    command = shlex.join(["inklings", "sweep", *map(_without_password, arguments)])
    budget = config.training.budget
    terminal.say(
        f"searching {len(space)} fields of {config.architecture} on {config.data.source}:"
        f" {flags.trials} trials, {budget} each"
    )
    with (
        Display(terminal, quiet_runs=True) as display,
        tracked(display, flags.log_to, out=flags.out) as listener,
    ):
        made = sweep(
            config,
            space=flags.space,
            trials=flags.trials,
            out=flags.out,
            storage=flags.storage,
            workers=flags.workers,
            rates=parsed.rates,
            command=command,
            on_event=listener,
        )
    columns, rows = table(made)
    terminal.say()
    terminal.table(_by_importance(columns), rows)
    if made.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in made.importance.items())
        terminal.say(f"\nwhat matters ({made.evaluator}): {shares}")
    terminal.say(f"\n{headline(made)}", style="bold")
    counts = {
        status: sum(trial.status == status for trial in made.trials)
        for status in ("done", "pruned", "failed")
    }
    terminal.say(
        f"{counts['done']} trials finished, {counts['pruned']} given up, {counts['failed']} failed"
    )
    if made.best is not None:
        terminal.say(CAUTION, style="dim")
        terminal.say(f"next: inklings train --config {flags.out / BEST}", as_is=True)
    with terminal.working("drawing the report"):
        report = write_sweep_report(flags.out, trust_code=True)
    terminal.say(
        f"\nreport: {report.resolve()}   ({time.perf_counter() - began:.0f} s)",
        style="bold",
        as_is=True,
    )
    if made.status == "unfinished":
        terminal.say(
            f"{len(made.trials)} of {made.asked} trials ended; all is saved. Go on with the same"
            " command.",
            style="bold yellow",
        )
    best = None if made.best is None else dataclasses.asdict(made.best)
    terminal.result(
        {
            "report": str(report),
            "run_file": None if best is None else str(flags.out / BEST),
            "best": best,
            **dataclasses.asdict(made),
            "left_out": display.left_out,
        }
    )
    return 0 if made.status == "complete" and made.best is not None else 1


def _by_importance(titles: Sequence[str]) -> list[TableColumn]:
    """Return the columns of the best trials: loss, the fields searched, number."""
    loss, *fields, trial = titles
    return [
        number_column(loss),
        *(number_column(field, place) for place, field in enumerate(fields, start=1)),
        number_column(trial),
    ]


def _show_space(
    config: RunConfig, space: list[Dimension], rates: frozenset[str], terminal: Terminal
) -> int:
    """Print what would be searched.

    The architecture is built once, so that what cannot work is said now.
    """
    with Display(terminal) as display:
        base = to_mapping(settled(config, prepare(config.data, on_event=display), display))
    rows = [[dimension.field, *_values(dimension)] for dimension in space]
    moves = moves_with(space, config, rates)
    if moves is not None:
        rates_now = [base["training"][name] for name in PEAK_RATES]
        rows.append(
            [
                moves,
                "",
                (
                    f"moves with the other rate, in the ratio {rates_now[0]:g} to {rates_now[1]:g}"
                    " (Muon)"
                ),
            ]
        )
    terminal.table([name_column("field"), words_column("values"), words_column("drawn")], rows)
    searched = {dimension.field for dimension in space} | {moves}
    shared = {
        f"{section}.{name}": value
        for section in ("model", "training")
        for name, value in base[section].items()
    }
    terminal.table(
        [name_column("all trials"), words_column("value")],
        [(name, str(value)) for name, value in shared.items() if name not in searched],
    )
    terminal.result(
        {
            "space": [dataclasses.asdict(dimension) for dimension in space],
            "moves": moves,
            "config": base,
        }
    )
    return 0


def _values(dimension: Dimension) -> tuple[str, str]:
    _, _, values = str(dimension).partition("=")
    if dimension.kind == "choice":
        return values, "one of them"
    kind = "whole numbers" if dimension.kind == "int" else "numbers"
    how = (
        "on a logarithmic scale"
        if dimension.log
        else f"in steps of {dimension.step}"
        if dimension.step is not None
        else "evenly"
    )
    return values.partition(":")[0], f"{kind}, {how}"


def _without_password(argument: str) -> str:
    """Return an argument as it may be kept in a report."""
    flag, equals, value = argument.partition("=")
    return (
        f"{flag}={hidden_password(value)}"
        if equals and flag == "--storage"
        else hidden_password(argument)
    )
