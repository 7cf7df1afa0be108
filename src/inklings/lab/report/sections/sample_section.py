"""A report's section on samples.

One table of arms, real text, the ladder and the cheaters, and one chart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inklings.evaluation.samples.calibration import REAL, Calibration
from inklings.evaluation.samples.metrics import METRICS, Measures
from inklings.evaluation.statistics import Interval, mean_interval
from inklings.lab.comparison.result import CALIBRATION, ArmResult, Comparison
from inklings.lab.comparison.run_samples import Measured, read_measured
from inklings.lab.comparison.sample_settings import read_calibration
from inklings.lab.report.chart import Figure, Rows
from inklings.lab.report.sections.sample_chart import sample_figure
from inklings.lab.verdict.samples import sampled_arms

MAIN = ("reverse", "js3", "js4", "classifier", "self_bleu", "unique", "novel", "judge")
"""The metrics that the table shows at once, the one that decides first."""
SHARES = {"classifier", "unique", "novel"}


@dataclass(frozen=True)
class Column:
    """A metric of the table."""

    metric: str
    title: str
    better: Literal["lower", "higher"]
    unit: str
    gameable: list[str]
    """Which contestants that are worth nothing do as well as real text on it here."""


@dataclass(frozen=True)
class Cell:
    """A figure as text, and half of its 95% interval; empty where there is none."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class SampleTableRow:
    """A contestant."""

    name: str
    kind: Literal["arm", "real", "ladder", "cheater"]
    cells: dict[str, Cell]
    """By metric."""
    alarms: list[str]


@dataclass(frozen=True)
class SampleSection:
    """What the page shows."""

    facts: str
    """How many samples, against what."""
    notes: list[str]
    main: list[Column]
    others: list[Column]
    rows: list[SampleTableRow]
    figure: Figure


def load_section(out: Path, comparison: Comparison) -> SampleSection | None:
    """The section of a comparison's folder; None where no samples were measured.

    Raises:
        RunError: one of its files is missing or damaged.
    """
    if not any(arm.measured for arm in comparison.arms) or not (out / CALIBRATION).is_file():
        return None
    return make_section(comparison, read_calibration(out), read_measured(out, comparison))


def make_section(
    comparison: Comparison, calibration: Calibration, measured: Measured
) -> SampleSection:
    """The section, from what was measured."""
    setting = calibration.setting
    kind = "documents" if setting.windows is None else f"windows of {setting.windows} tokens"
    columns = {metric: _column(metric, calibration) for metric in METRICS}
    return SampleSection(
        facts=(
            f"{setting.samples:,} samples of every run at temperature 1, against"
            f" {setting.reference_documents:,} {kind} of the {setting.split} split"
        ),
        notes=setting.notes,
        main=[columns[metric] for metric in MAIN],
        others=[column for metric, column in columns.items() if metric not in MAIN],
        rows=_rows(comparison, calibration, measured),
        figure=_figure(comparison, calibration, measured),
    )


def _column(metric: str, calibration: Calibration) -> Column:
    title, _, unit = METRICS[metric].title.partition(", ")
    first, _, last = title.partition(" ")
    title, unit = (
        (last, first) if first == "share" else (first, last) if last and not unit else (title, unit)
    )
    return Column(metric, title, METRICS[metric].better, unit, calibration.gameable(metric))


def _rows(
    comparison: Comparison, calibration: Calibration, measured: Measured
) -> list[SampleTableRow]:
    """The arms, the best by reverse likelihood first.

    Then real text, the ladder from its highest rung, and the cheaters.
    """
    ranked = sampled_arms(comparison.arms)
    arms = [*ranked, *(arm for arm in comparison.arms if arm.measured and arm not in ranked)]
    rows = [
        SampleTableRow(
            arm.label,
            "arm",
            {metric: _over_runs(arm, metric, measured) for metric in METRICS},
            _alarms(arm),
        )
        for arm in arms
    ]
    rows.append(_known(REAL, "real", calibration.floor))
    rows += [
        _known(name, "ladder", measures) for name, measures in reversed(calibration.ladder.items())
    ]
    return rows + [
        _known(name, "cheater", measures) for name, measures in calibration.cheaters.items()
    ]


def _over_runs(arm: ArmResult, metric: str, measured: Measured) -> Cell:
    """The mean over the arm's runs with its interval; of a single run, that over its samples."""
    found = [measured[arm.label, run.seed].judged.values[metric] for run in arm.measured]
    interval = found[0] if len(found) == 1 else mean_interval([value.estimate for value in found])
    return _cell(interval, metric)


def _alarms(arm: ArmResult) -> list[str]:
    """With the seed, where there are several runs."""
    return [
        f"seed {run.seed}: {reason}" if len(arm.measured) > 1 else reason
        for run in arm.measured
        if run.samples is not None
        for reason in run.samples.alarm
    ]


def _known(
    name: str, kind: Literal["real", "ladder", "cheater"], measures: Measures
) -> SampleTableRow:
    return SampleTableRow(
        name,
        kind,
        {metric: Cell(_say(value.estimate, metric)) for metric, value in measures.values.items()},
        measures.alarm,
    )


def _cell(interval: Interval, metric: str) -> Cell:
    return Cell(
        _say(interval.estimate, metric),
        _say((interval.high - interval.low) / 2, metric) if interval.known else "",
    )


def _say(value: float, metric: str) -> str:
    return f"{value:.1%}" if metric in SHARES else f"{value:.3f}"


def _figure(comparison: Comparison, calibration: Calibration, measured: Measured) -> Figure:
    seeds: Rows = []
    sweep: Rows = []
    for arm in comparison.arms:
        for run in arm.measured:
            found = measured[arm.label, run.seed]
            seeds.append({"arm": arm.label, "seed": run.seed, **_place(found.judged)})
            sweep += [
                {"arm": arm.label, "temperature": value, **_place(measures)}
                for value, measures in found.at.items()
            ]
    rungs = [{"name": name, **_place(measures)} for name, measures in calibration.ladder.items()]
    return sample_figure(
        [arm.label for arm in comparison.arms],
        seeds,
        sweep,
        rungs,
        {"name": REAL, **_place(calibration.floor)},
    )


def _place(measures: Measures) -> dict[str, float]:
    """Where a contestant stands in the chart."""
    return {metric: round(measures.values[metric].estimate, 5) for metric in ("judge", "self_bleu")}


def plain_table(section: SampleSection) -> tuple[list[str], list[list[str]]]:
    """Column names, and the rows of arms and real text, for a terminal."""
    names = ["", *(column.title for column in section.main)]
    return names, [
        [row.name, *(row.cells[c.metric].value for c in section.main)]
        for row in section.rows
        if row.kind in ("arm", "real")
    ]
