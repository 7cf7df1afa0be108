"""The output of `inklings compare --dry-run`: what the comparison would take."""

from __future__ import annotations

import dataclasses

from inklings.amounts import byte_size, count, duration, short_count
from inklings.cli.table import name_column, number_column
from inklings.cli.terminal import Terminal
from inklings.lab.comparison.forecast import ComparisonForecast

COLUMNS = (
    name_column("arm"),
    number_column("parameters", 3),
    number_column("runs"),
    number_column("trials", 2),
    number_column("steps", 4),
    number_column("tokens", 5),
    number_column("memory", 1),
    number_column("disk", 6),
    number_column("time"),
)


def show_forecast(found: ComparisonForecast, terminal: Terminal) -> int:
    """Print a forecast; return the exit code."""
    rows = [
        (
            arm.label,
            count(arm.parameters),
            str(arm.runs),
            str(arm.trials),
            f"{arm.steps:,}",
            short_count(arm.tokens),
            byte_size(arm.memory),
            byte_size(arm.disk),
            duration(arm.seconds),
        )
        for arm in found.arms
    ]
    terminal.table(COLUMNS, rows)
    trials = f" and {found.trials} trials of learning rates" if found.trials else ""
    counted = found.runs - sum(arm.runs for arm in found.arms)
    beside = f" ({counted} of them only counted, and not in the table)" if counted else ""
    processes = "one process" if found.workers == 1 else f"{found.workers} processes"
    parts = (("audits", found.audits), ("probes", found.probes))
    said = [f"{duration(seconds)} {what}" for what, seconds in parts if seconds]
    of_it = f" ({' and '.join(said)})" if said else ""
    terminal.say(
        f"\n{found.runs} runs{beside}{trials}: about {duration(found.seconds)}{of_it} on this"
        f" machine in {processes}, {byte_size(found.memory)} of memory beyond the program"
        f" itself, {byte_size(found.disk)} of disk ({byte_size(found.free_disk)} are free)",
        style="bold",
    )
    terminal.say(
        "Measured just now: a few steps of each arm and of its probes, and its audits as a whole."
        " Samples, counting, existing runs and the report come on top. Trials that fall"
        " behind are given up, which saves time.",
        style="dim",
    )
    terminal.result(dataclasses.asdict(found))
    return 0
