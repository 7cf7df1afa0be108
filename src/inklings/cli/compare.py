"""`inklings compare ARM ARM ...`: train several generators under one budget and compare them."""

from __future__ import annotations

import re
import shlex
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypedDict, TypeVar

import tyro

from inklings.cli.arguments import Folder, Json, called
from inklings.cli.forecast import show_forecast
from inklings.cli.log_to import LogTo, warn_of_trackers
from inklings.cli.progress import Display
from inklings.cli.run_arguments import RunArguments, parse_settings
from inklings.cli.shards import show_shard, without_shard
from inklings.cli.table import TableColumn, name_column, number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.config import DataConfig
from inklings.errors import ConfigError
from inklings.interop.imports.import_model import import_ours_or_as_it_is
from inklings.interop.trackers.tracking import tracked
from inklings.lab.comparison.arms import folder_name
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.comparison_file import to_plain
from inklings.lab.comparison.forecast import forecast
from inklings.lab.comparison.merge import merge
from inklings.lab.comparison.result import Comparison, Verdict
from inklings.lab.comparison.settings import SEEDS, USUAL, Method
from inklings.lab.report.page import write_report
from inklings.lab.report.sections.samples import load_section, plain_table
from inklings.lab.report.table import render_table, sample_texts
from inklings.lab.shards.division import missing_shards, read_shards
from inklings.lab.shards.shard import WHOLE, Shard, parse_shard
from inklings.models.adapters.hugging_face import format_unread
from inklings.runs.arms import Arm, parse_arm, parse_named_arm

T = TypeVar("T")

HUB = "hf:"
"""The prefix of an arm that is a Hugging Face model."""


def _size(words: Sequence[str]) -> int | Literal["auto"] | None:
    """Return a number of parameters as it is written."""
    text = words[0]
    if text == "auto":
        return "auto"
    if text == "None":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmb]?)", text.lower().replace("_", "").replace(",", ""))
    if match is None:
        raise ConfigError(
            f"--parameters is {text!r}; it must be a number such as 100k or 2M, or auto."
        )
    return round(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}[match[2]])


SIZE = tyro.constructors.PrimitiveConstructorSpec[int | Literal["auto"] | None](
    nargs=1,
    metavar="{None,auto}|SIZE",
    instance_from_str=_size,
    is_instance=lambda value: value is None or value == "auto" or isinstance(value, int),
    str_from_instance=lambda size: [str(size)],
)
"""Sizes as people write them: 100k, 2M."""


IMPORTANCE = (
    "arm",
    "verdict",
    "loss",
    "bits/byte",
    "to the best",
    "",
    "parameters",
    "time",
    "accuracy",
    "tokens",
)
"""Titles of the ranking, those first that a narrow screen keeps longest."""


@dataclass(frozen=True, kw_only=True)
class SettingFlags(Method):
    """The settings of a comparison as flags."""

    parameters: Annotated[int | Literal["auto"] | None, SIZE] = None
    """Bring every arm to so many parameters, embedding and head aside: 100k, 2M, or `auto` for the
    size of the first; fields that an arm names stay as they are.
    """


@dataclass(frozen=True)
class Compare:
    """Flags of the verb `compare` itself, beside those of a run."""

    arms: tyro.conf.Positional[Annotated[tuple[str, ...], called("ARM ...")]]
    """Contestants: NAME[:field=value,...], FILE.py:CLASS, FILE.toml, an existing RUN, or hf: and a
    causal model of the Hugging Face hub or in a folder; NAME=ARM gives one a name. What an arm says
    of its own training wins over the flags; text and budget are the same for all.
    """
    out: Folder = Path("comparison")
    """Folder of the runs, the results and the report; the same command goes on where it was
    stopped.
    """
    seeds: int = SEEDS
    """How many seeds each arm is trained with: the unit of evidence."""
    settings: Annotated[SettingFlags, tyro.conf.arg(name="")] = SettingFlags(**vars(USUAL))
    workers: int | None = None
    """Runs at a time, each in its own process; by default one a core."""
    cluster: str | None = None
    """Address of a Ray cluster that does the runs: `auto` for the one that this machine is part of,
    or ray://HOST:PORT.
    """
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Do the I-th of N shares of the runs alone; the same command with the others, at any time and
    on any machine, does the rest. In one --out, the last one makes the report.
    """
    merge: tuple[Path, ...] = ()
    """Name no arms, but folders that hold parts of one comparison, made with other arms or seeds,
    or all its shards: --out becomes the whole.
    """
    dry_run: bool = False
    """Say what it would take (runs, time on this machine, memory, disk), train nothing, and write
    nothing.
    """
    log_to: LogTo = ()
    trust_code: bool = False
    """Allow the copies of architecture files in runs among the arms to be executed though another
    machine made them.
    """
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    began = time.perf_counter()
    parsed = parse_settings(
        arguments,
        Compare,
        verb="compare",
        description="Train several generators under one budget and compare them.",
    )
    flags: Compare = parsed.verb
    terminal = open_terminal(flags.json)
    if flags.dry_run or flags.merge:
        warn_of_trackers(flags.log_to)
    if flags.dry_run:
        if flags.merge or flags.cluster:
            other = "--merge" if flags.merge else "--cluster"
            raise ConfigError(
                f"--dry-run times runs on this machine, and {other} makes none here. Leave one out."
            )
        if flags.shard:
            raise ConfigError("--dry-run tells of the whole comparison: leave --shard out.")
        return _forecast(flags, parsed, terminal)
    if flags.merge:
        if flags.arms:
            raise ConfigError(
                f"--merge takes the arms of the folders that it names; leave {' '.join(flags.arms)}"
                " out."
            )
        if flags.shard:
            raise ConfigError("--merge brings shards together, and does none: leave --shard out.")
        comparison, left_out = merge(flags.merge, flags.out), None
    else:
        shard = parse_shard(flags.shard) if flags.shard else WHOLE
        comparison, left_out = _compared(flags, parsed, arguments, shard, terminal)
        if not shard.is_whole:
            missing = missing_shards(read_shards(flags.out))
            if missing:
                return show_shard(shard, comparison, missing, terminal)
            comparison = merge((flags.out,), flags.out)
    _show(comparison, flags.out, terminal)
    with terminal.working("drawing the report"):
        report = write_report(flags.out)
    terminal.say(
        f"\nreport: {report.resolve()}   ({time.perf_counter() - began:.0f} s)",
        style="bold",
        as_is=True,
    )
    if comparison.status == "interrupted":
        terminal.say(
            "interrupted; all is saved. The same command goes on where it stopped.",
            style="bold yellow",
        )
    terminal.result({"report": str(report), **to_plain(comparison), "left_out": left_out})
    return 1 if comparison.failed or comparison.status == "interrupted" else 0


def _compared(
    flags: Compare,
    parsed: RunArguments,
    arguments: Sequence[str],
    shard: Shard,
    terminal: Terminal,
) -> tuple[Comparison, dict[str, Any] | None]:
    """Run the comparison that the flags ask for, or a shard of it.

    Args:
        flags: those of the verb.
        parsed: those of a run.
        arguments: as they were given.
        shard: what is done here.
        terminal: where it is shown.

    Returns:
        The comparison, and what of its text was left out.
    """
    asked = _arguments(flags, parsed, flags.out)
    seed_count = f"{flags.seeds} seeds" if flags.seeds > 1 else "one seed"
    names = ", ".join(arm.label for arm in asked["arms"])
    data, budget = asked["data"], asked["budget"]
    terminal.say(
        f"comparing {names}"
        + (f" on {data.source}: {budget} each, {seed_count}" if data else "")
        + ("" if shard.is_whole else f"; shard {shard}")
    )
    command = shlex.join(["inklings", "compare", *without_shard(arguments)])
    with (
        Display(terminal, quiet_runs=True) as display,
        tracked(display, flags.log_to, out=shard.home(flags.out)) as listener,
    ):
        comparison = compare(
            **asked,
            out=flags.out,
            cluster=flags.cluster,
            shard=shard,
            command=command,
            on_event=listener,
        )
    return comparison, display.left_out


def _forecast(flags: Compare, parsed: RunArguments, terminal: Terminal) -> int:
    """Say what the comparison would take; what is imported for that goes away again."""
    with TemporaryDirectory() as folder, Display(terminal, quiet_runs=True) as display:
        asked = _arguments(flags, parsed, Path(folder))
        found = forecast(**asked, out=flags.out, on_event=display)
    return show_forecast(found, terminal)


class ComparisonArguments(TypedDict):
    """What the flags ask for, as a comparison and its forecast take it."""

    arms: list[Arm]
    seeds: list[int]
    data: DataConfig | None
    budget: str | None
    method: Method
    workers: int | None
    trust_code: bool


def _arguments(flags: Compare, parsed: RunArguments, out: Path) -> ComparisonArguments:
    """Return what the flags ask for; imported arms are put into a folder."""
    if flags.seeds < 1:
        raise ConfigError(f"--seeds is {flags.seeds}; it must be at least 1.")
    base = parsed.config
    arms = [
        parse_named_arm(
            given,
            lambda text: (
                imported(text, out, base.data)
                if text.startswith(HUB)
                else parse_arm(text, base=base, rates=parsed.rates)
            ),
        )
        for given in flags.arms
    ]
    seeds = list(range(parsed.config.training.seed, parsed.config.training.seed + flags.seeds))
    settings = parsed.config
    data = (
        settings.data
        if parsed.says_text
        else _agreed("text", "--data", settings.data, [a.config.data for a in arms if a.config])
    )
    budgets = [arm.config.training.budget for arm in arms if arm.config]
    budget = (
        settings.training.budget
        if parsed.says_budget
        else _agreed("budget", "--budget", settings.training.budget, budgets)
    )
    return ComparisonArguments(
        arms=arms,
        seeds=seeds,
        data=data,
        budget=budget,
        method=flags.settings,
        workers=flags.workers,
        trust_code=flags.trust_code,
    )


def _show(comparison: Comparison, out: Path, terminal: Terminal) -> None:
    """Print the table, the verdicts and some samples."""
    titles, rows = render_table(comparison)
    terminal.say()
    terminal.table([_column(title) for title in titles], rows)
    for arm in comparison.arms:
        for run in arm.done:
            if run.message is not None:
                terminal.say(
                    f"warning: {arm.label}{'' if run.seed is None else f', seed {run.seed}'}:"
                    f" {run.message}.",
                    style="yellow",
                )
    _say(comparison.verdict, terminal)
    section = load_section(out, comparison)
    if section is not None:
        terminal.say(f"\n{section.facts}")
        (first, *titles), rows = plain_table(section)
        columns = [number_column(title, place) for place, title in enumerate(titles)]
        terminal.table([name_column(first), *columns], rows)
    _say(comparison.sample_verdict, terminal)
    shown = ""
    for label, text in sample_texts(comparison, out):
        if label != shown:
            terminal.say(f"\n{label}", style="bold")
            shown = label
        terminal.say(terminal.one_line(f"  {' '.join(text.split())}"), style="dim")


def _column(title: str) -> TableColumn:
    """Return a column of the ranking, as important as its title."""
    kind = {"arm": name_column, "verdict": words_column}.get(title, number_column)
    return kind(title, IMPORTANCE.index(title) if title in IMPORTANCE else len(IMPORTANCE))


def _say(verdict: Verdict | None, terminal: Terminal) -> None:
    if verdict is not None:
        terminal.say(f"\n{verdict.headline}", style="bold")
        for sentence in verdict.sentences:
            terminal.say(sentence)


def imported(text: str, out: Path, data: DataConfig) -> Arm:
    """Return an arm `hf:OWNER/NAME` or `hf:FOLDER` as a run in the comparison's folder.

    Args:
        text: the arm.
        out: the folder.
        data: settings of the text.
    """
    source = text.removeprefix(HUB)
    run = out / "imports" / folder_name(source)
    if not run.exists():
        made = import_ours_or_as_it_is(source, run, data=data)
        if (unread := format_unread(made.unread)) is not None:
            warnings.warn(f"{text}: {unread}.", stacklevel=2)
    return Arm(label=text, run=run)


def _agreed(what: str, flag: str, default: T, of_arms: Sequence[T]) -> T | None:
    """Return what the arms' own files say, where the command line does not.

    None if there are only existing runs.

    Raises:
        ConfigError: the files disagree, so a comparison would silently overrule one of them.
    """
    named = {value for value in of_arms if value != default}
    if len(named) > 1:
        raise ConfigError(
            f"the arms name different settings of the {what}, and a comparison has one for all: say"
            f" which with {flag}."
        )
    return next(iter(named), default) if of_arms else None
