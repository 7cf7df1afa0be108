"""`inklings compare ARM ARM ...`: train several generators under one budget and compare them."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from inklings.cli.arguments import Json
from inklings.cli.progress import Display
from inklings.cli.run_arguments import parse_settings
from inklings.cli.terminal import open_terminal
from inklings.errors import ConfigError
from inklings.lab.compare import compare
from inklings.lab.ranking import render_table, sample_texts
from inklings.lab.report import write_report
from inklings.training.arms import parse_arm

SAMPLE_WIDTH = 110
"""Characters of a sample that are printed; the report has all."""


@dataclass(frozen=True)
class Compare:
    """Flags of the verb itself."""

    arms: tyro.conf.Positional[tuple[str, ...]]
    """Contestants: NAME[:field=value,...], FILE.py:CLASS, FILE.toml, or an existing RUN."""
    out: Path = Path("comparison")
    """Where the runs, the results and the report go; the same command goes on where it was stopped."""
    seeds: int = 3
    """How many seeds each arm is trained with: the unit of evidence."""
    workers: int | None = None
    """Runs at a time, each in its own process; by default one a core."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    began = time.perf_counter()
    parsed = parse_settings(arguments, Compare, verb="compare", description="Train several generators under one budget and compare them.")
    flags: Compare = parsed.verb
    if flags.seeds < 1:
        raise ConfigError(f"--seeds is {flags.seeds}; it must be at least 1.")
    terminal = open_terminal(flags.json)
    arms = [parse_arm(text, base=parsed.config) for text in flags.arms]
    seeds = list(range(parsed.config.training.seed, parsed.config.training.seed + flags.seeds))
    settings = parsed.config
    seed_count = f"{flags.seeds} seeds" if flags.seeds > 1 else "one seed"
    names = ", ".join(arm.label for arm in arms)
    terminal.say(f"comparing {names} on {settings.data.source}: {settings.training.budget} each, {seed_count}")
    command = shlex.join(["inklings", "compare", *arguments])
    with Display(terminal, quiet_runs=True) as display:
        comparison = compare(
            arms,
            data=settings.data,
            budget=settings.training.budget,
            seeds=seeds,
            out=flags.out,
            workers=flags.workers,
            command=command,
            on_event=display,
        )
    columns, rows = render_table(comparison)
    terminal.say()
    terminal.table(columns, rows, right=range(2, len(columns) - 1))
    if comparison.verdict is not None:
        terminal.say(f"\n{comparison.verdict.headline}", style="bold")
        for sentence in comparison.verdict.sentences:
            terminal.say(sentence)
    shown = ""
    for label, text in sample_texts(comparison, flags.out):
        if label != shown:
            terminal.say(f"\n{label}", style="bold")
            shown = label
        terminal.say(f"  {' '.join(text.split())[:SAMPLE_WIDTH]}", style="dim")
    report = write_report(flags.out)
    terminal.say(f"\nreport: {report.resolve()}   ({time.perf_counter() - began:.0f} s)", style="bold")
    terminal.result({"report": str(report), **dataclasses.asdict(comparison)})
    return 1 if comparison.failed or comparison.status == "interrupted" else 0
