"""The part of `inklings evaluate` that compares a run's samples with real text."""

from __future__ import annotations

from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import Terminal
from inklings.evaluation.samples.calibration import calibrate
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.evaluation.samples.sample_report import SampleReport, measure_model
from inklings.evaluation.statistics import Interval
from inklings.models.contract import Architecture

TABLES = (
    ("js1", "js2", "js3", "js4", "reverse", "classifier", "length"),
    (
        "bleu",
        "self_bleu",
        "distinct1",
        "distinct2",
        "distinct3",
        "distinct4",
        "unique",
        "novel",
        "judge",
    ),
)
SHORT = {
    **{f"distinct{n}": f"dist-{n}" for n in (1, 2, 3, 4)},
    "reverse": "reverse",
    "classifier": "classif.",
    "length": "length",
    "unique": "unique",
    "novel": "novel",
    "judge": "judge",
}


def report_on_samples(
    model: Architecture, ground: ReferenceSet, terminal: Terminal, *, name: str, temperature: float
) -> SampleReport:
    """Let the model write samples, measure them against the reference set, and print all.

    Args:
        model: the generator.
        ground: the reference set.
        terminal: where it is printed.
        name: of the model in the table.
        temperature: of the draws.
    """
    setting = ground.setting
    kind = "documents" if setting.windows is None else f"windows of {setting.windows} tokens"
    terminal.say(
        f"{setting.samples:,} samples against {setting.reference_documents:,} {kind} of the"
        f" {setting.split} split",
        style="bold",
    )
    for note in setting.notes:
        terminal.say(f"note: {note}")
    # The run comes first: what is wrong with it should not be said after a minute of work on the
    # rest.
    with terminal.working(f"writing and measuring {setting.samples:,} samples"):
        runs = measure_model(model, ground, name=name, temperature=temperature)
    with terminal.working("measuring real text and the reference samplers"):
        report = SampleReport(calibrate(ground), runs)
    show_report(report, terminal)
    return report


def show_report(report: SampleReport, terminal: Terminal) -> None:
    """Print a report on samples.

    It shows the run with its intervals beside real text, all contestants, the run's place, and the
    alarm.
    """
    run, floor, gameable = next(iter(report.runs)), report.calibration.floor, report.gameable()
    rows = []
    for metric in METRICS.places:
        about = METRICS[metric]
        value, real = report.runs[run].values[metric], floor.values[metric]
        rows.append(
            (
                about.title,
                _number(value.estimate),
                _ends(value),
                _number(real.estimate),
                about.better,
                ", ".join(gameable.get(metric, [])),
            )
        )
    terminal.table(
        [
            words_column(),
            number_column(run),
            number_column("95% interval", 2),
            number_column("real text"),
            words_column("better", 3),
            words_column("gameable here by", 1),
        ],
        rows,
    )
    for metrics in TABLES:
        titles = [SHORT.get(metric, METRICS[metric].title) for metric in metrics]
        found = [
            (name, *(_number(of.values[metric].estimate) for metric in metrics))
            for name, of in report.contestants().items()
        ]
        terminal.table(
            [name_column(), *(number_column(title, place) for place, title in enumerate(titles))],
            found,
        )
    for name in report.runs:
        terminal.say(report.places(name))
        learned = report.runs[name].learned
        if learned is not None:
            terminal.say(
                f"{name}: {learned.estimate:.1%} of its samples ({_ends(learned)}) stand in what it"
                " was trained on"
            )
    for name, measures in report.runs.items():
        for reason in measures.alarm:
            terminal.say(f"collapse alarm: {name}: {reason}", style="bold red")
    if not any(measures.alarm for measures in report.runs.values()):
        terminal.say("no collapse alarm")


def _number(value: float) -> str:
    return f"{value:.3f}"


def _ends(value: Interval) -> str:
    return f"{value.low:.3f} to {value.high:.3f}" if value.known else "too few samples"
