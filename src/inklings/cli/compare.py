"""`inklings compare ARM ARM ...`: train several generators under one budget and compare them."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import tyro

from inklings.cli.arguments import Json
from inklings.cli.progress import Display
from inklings.cli.run_arguments import parse_settings
from inklings.cli.terminal import Terminal, open_terminal
from inklings.errors import ConfigError
from inklings.lab.compare import compare
from inklings.lab.comparison import Verdict
from inklings.lab.ranking import render_table, sample_texts
from inklings.lab.report import write_report
from inklings.lab.sample_section import load_section, plain_table
from inklings.training.arms import parse_arm

T = TypeVar("T")

SAMPLE_WIDTH = 110
"""Characters of a sample that are printed; the report has all."""


@dataclass(frozen=True)
class Compare:
    """Flags of the verb itself."""

    arms: tyro.conf.Positional[tuple[str, ...]]
    """Contestants: NAME[:field=value,...], FILE.py:CLASS, FILE.toml, or an existing RUN. What an arm says of its own training
    wins over the flags; text and budget are the same for all."""
    out: Path = Path("comparison")
    """Where the runs, the results and the report go; the same command goes on where it was stopped."""
    seeds: int = 3
    """How many seeds each arm is trained with: the unit of evidence."""
    samples: int | None = None
    """Let every run write so many samples and compare them with the held-out text too; 3000 or as many as it has documents, if
    less, where an arm has no likelihood."""
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
    data = settings.data if parsed.says_text else _agreed("text", "--data", settings.data, [a.config.data for a in arms if a.config])
    budgets = [arm.config.training.budget for arm in arms if arm.config]
    budget = settings.training.budget if parsed.says_budget else _agreed("budget", "--budget", settings.training.budget, budgets)
    terminal.say(f"comparing {names}" + (f" on {data.source}: {budget} each, {seed_count}" if data else ""))
    command = shlex.join(["inklings", "compare", *arguments])
    with Display(terminal, quiet_runs=True) as display:
        comparison = compare(
            arms,
            data=data,
            budget=budget,
            seeds=seeds,
            out=flags.out,
            workers=flags.workers,
            samples=flags.samples,
            command=command,
            on_event=display,
        )
    columns, rows = render_table(comparison)
    terminal.say()
    terminal.table(columns, rows, right=range(2, len(columns) - 1))
    _say(comparison.verdict, terminal)
    section = load_section(flags.out, comparison)
    if section is not None:
        terminal.say(f"\n{section.facts}")
        columns, rows = plain_table(section)
        terminal.table(columns, rows, right=range(1, len(columns)))
    _say(comparison.sample_verdict, terminal)
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


def _say(verdict: Verdict | None, terminal: Terminal) -> None:
    if verdict is not None:
        terminal.say(f"\n{verdict.headline}", style="bold")
        for sentence in verdict.sentences:
            terminal.say(sentence)


def _agreed(what: str, flag: str, default: T, of_arms: Sequence[T]) -> T | None:
    """What the arms' own files say, where the command line does not; None if there are only existing runs.

    Raises:
        ConfigError: the files disagree, so a comparison would silently overrule one of them.
    """
    named = {value for value in of_arms if value != default}
    if len(named) > 1:
        raise ConfigError(f"the arms name different settings of the {what}, and a comparison has one for all: say which with {flag}.")
    return next(iter(named), default) if of_arms else None
