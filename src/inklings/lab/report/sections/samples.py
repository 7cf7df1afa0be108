"""The section of samples: arms, real text and reference samplers in one table and one chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt

from inklings.evaluation.samples.calibration import REAL, Calibration
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.metrics import Measures
from inklings.evaluation.statistics import Interval, mean_interval
from inklings.lab.comparison.result import CALIBRATION, ArmResult, Comparison
from inklings.lab.comparison.run_samples import Measured, read_measured
from inklings.lab.comparison.sample_settings import read_calibration
from inklings.lab.report.chart import Figure, Rows, arm_color, focus_opacity, layered
from inklings.lab.report.section import Results, Section
from inklings.lab.verdict.sample_verdict import sampled_arms

MAIN = ("reverse", "js3", "js4", "classifier", "self_bleu", "unique", "novel", "judge")
"""The metrics that the table shows at once; the first one decides."""


SHARES = {"classifier", "unique", "novel"}


PAD = 0.12
"""Share of the drawn range that is left free on each side."""


REACH = 0.75
"""A reference sampler is drawn if it lies no further from the arms and real text than this share of
their range.
"""


@dataclass(frozen=True)
class Column:
    """A metric of the table, with its heading."""

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
    """A contestant's row in the table."""

    name: str
    kind: Literal["arm", "real", "ladder", "cheater"]
    cells: dict[str, Cell]
    """Cells by the name of the metric."""
    alarms: list[str]


@dataclass(frozen=True)
class SampleSection:
    """The content of the section of samples."""

    facts: str
    """How many samples, against what."""
    notes: list[str]
    main: list[Column]
    others: list[Column]
    rows: list[SampleTableRow]
    figure: Figure


def make_section(results: Results) -> Section | None:
    """Return the section of measured samples, or None where none were measured."""
    table = load_section(results.out, results.comparison)
    if table is None:
        return None
    lead = (
        f"{table.facts}; the same for real text, for reference samplers of growing order, and for"
        " two adversarial samplers, which a metric must not fall for: one replays training text,"
        " one repeats its likeliest document."
    )
    return Section(
        "measured",
        "Samples measured",
        lead,
        (table.figure,),
        "samples",
        table,
        heading="Samples",
    )


def was_measured(out: Path, comparison: Comparison) -> bool:
    """Return whether a comparison measured the samples of its runs."""
    return any(arm.measured for arm in comparison.arms) and (out / CALIBRATION).is_file()


def load_section(out: Path, comparison: Comparison) -> SampleSection | None:
    """Return the section of a comparison's folder; None where no samples were measured.

    Raises:
        RunError: one of its files is missing or damaged.
    """
    if not was_measured(out, comparison):
        return None
    return sample_section(comparison, read_calibration(out), read_measured(out, comparison))


def sample_section(
    comparison: Comparison, calibration: Calibration, measured: Measured
) -> SampleSection:
    """Make the section of samples.

    Args:
        comparison: the comparison.
        calibration: the scale of the metrics.
        measured: the metrics of each run.
    """
    setting = calibration.setting
    kind = "documents" if setting.windows is None else f"windows of {setting.windows} tokens"
    columns = {metric: _column(metric, calibration) for metric in _known_metrics(calibration)}
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


def _known_metrics(calibration: Calibration) -> list[str]:
    """Return what was measured when the comparison was made, in the order of the registry."""
    return [metric for metric in METRICS.places if metric in calibration.floor.values]


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
    """Return the arms, the best by reverse likelihood first.

    Then real text, the ladder from its highest rung, and the cheaters.
    """
    ranked = sampled_arms(comparison.arms)
    arms = [*ranked, *(arm for arm in comparison.arms if arm.measured and arm not in ranked)]
    rows = [
        SampleTableRow(
            arm.label,
            "arm",
            {metric: _over_runs(arm, metric, measured) for metric in _known_metrics(calibration)},
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
    """Return the mean over the arm's runs with its interval.

    Of a single run, that over its samples.
    """
    found = [measured[arm.label, run.seed].judged.values[metric] for run in arm.measured]
    interval = found[0] if len(found) == 1 else mean_interval([value.estimate for value in found])
    return _cell(interval, metric)


def _alarms(arm: ArmResult) -> list[str]:
    """Return an arm's alarms, with the seed where there are several runs."""
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
    """Return the position of a contestant in the chart."""
    return {metric: round(measures.values[metric].estimate, 5) for metric in ("judge", "self_bleu")}


def plain_table(section: SampleSection) -> tuple[list[str], list[list[str]]]:
    """Return column names, and the rows of arms and real text, for a terminal."""
    names = ["", *(column.title for column in section.main)]
    return names, [
        [row.name, *(row.cells[c.metric].value for c in section.main)]
        for row in section.rows
        if row.kind in ("arm", "real")
    ]


def sample_figure(
    arms: Sequence[str], seeds: Rows, sweep: Rows, rungs: Rows, real: dict[str, Any]
) -> Figure:
    """Draw every run as a dot, each arm's temperatures as a line, reference samplers in grey.

    Real text is the target.

    Args:
        arms: the arms, in the order of their colours.
        seeds: rows of `arm, seed, judge, self_bleu`.
        sweep: rows of `arm, temperature, judge, self_bleu`.
        rungs: rows of `name, judge, self_bleu` for reference samplers.
        real: one such row, for real text.
    """
    inner = [*seeds, *sweep, real]
    domains = {
        axis: _domain([row[axis] for row in inner], [row[axis] for row in rungs])
        for axis in ("judge", "self_bleu")
    }
    shown = [
        row
        for row in rungs
        if all(low <= row[axis] <= high for axis, (low, high) in domains.items())
    ]
    outside = [row["name"] for row in rungs if row not in shown]
    x = alt.X(
        "judge:Q",
        title="judge, nats per token (left: more plausible)",
        scale=alt.Scale(domain=list(domains["judge"]), nice=False),
        axis=alt.Axis(tickCount=6, grid=True),
    )
    y = alt.Y(
        "self_bleu:Q",
        title="self-BLEU (down: more varied)",
        scale=alt.Scale(domain=list(domains["self_bleu"]), nice=False),
        axis=alt.Axis(tickCount=6),
    )
    names = {"judge": "judge, nats per token", "self_bleu": "self-BLEU"}
    figures = [alt.Tooltip(f"{name}:Q", format=".3f", title=title) for name, title in names.items()]
    base = alt.Chart(alt.NamedData(name="sample_rungs")).encode(x=x, y=y)
    rung = base.mark_point(style="rung", shape="diamond", filled=True, size=38).encode(
        tooltip=["name:N", *figures]
    )
    target = alt.Chart(alt.NamedData(name="sample_real")).encode(x=x, y=y)
    ring = target.mark_point(
        style="target", shape="circle", filled=False, size=340, strokeWidth=2, opacity=1
    )
    center = target.mark_point(
        style="target", shape="circle", filled=True, size=36, opacity=1
    ).encode(tooltip=["name:N", *figures])
    target_name = target.mark_text(
        style="target", align="center", dy=23, fontSize=13, fontWeight=600
    ).encode(text="name:N")
    of_stops = alt.Chart(alt.NamedData(name="sample_sweep")).encode(
        x=x, y=y, opacity=focus_opacity(0.85)
    )
    of_sweep = of_stops.encode(color=arm_color(arms))
    line = of_sweep.mark_line(strokeWidth=1.6).encode(order="temperature:Q", detail="arm:N")
    stop = of_sweep.mark_point(filled=False, size=30, strokeWidth=1.4).encode(
        tooltip=["arm:N", alt.Tooltip("temperature:Q", format=".2~f"), *figures]
    )
    # not in the colour of its arm, in which small letters are hard to read
    stop_name = of_stops.transform_filter("datum.temperature !== 1").mark_text(
        align="left", dx=6, dy=-6, fontSize=11
    )
    stop_name = stop_name.encode(text=alt.Text("temperature:Q", format=".2~f"))
    dot = (
        alt.Chart(alt.NamedData(name="sample_seeds"))
        .mark_circle(size=80)
        .encode(
            x=x,
            y=y,
            color=arm_color(arms),
            opacity=focus_opacity(0.9),
            tooltip=["arm:N", "seed:N", *figures],
        )
    )
    drawn = [
        *([rung, *_names(base, shown, domains["judge"])] if shown else []),
        *([line, stop, stop_name] if sweep else []),
        ring,
        center,
        target_name,
        dot,
    ]
    caption = (
        "The ring is real text, the target: left of it text is too predictable, above it too much"
        " of the same. Dots are runs"
    )
    caption += (
        " at temperature 1; a line is an arm's first run at other temperatures, which stand"
        " beside it."
        if sweep
        else "."
    )
    caption += " Diamonds are samplers of known worth" + (
        f"; out of view: {', '.join(outside)}." if outside else "."
    )
    data: dict[str, Rows] = {
        "sample_seeds": seeds,
        "sample_sweep": sweep,
        "sample_rungs": shown,
        "sample_real": [real],
    }
    return Figure(
        "samples",
        "Quality against diversity",
        "nearer to real text is better",
        caption,
        {"": layered(*drawn, height=380)},
        wide=True,
        data=data,
    )


def _names(base: Any, rungs: Rows, domain: tuple[float, float]) -> list[Any]:
    """Write the names of the reference samplers.

    They stand right of their marks, but left near the right edge, and above for the highest, which
    stands next to real text.
    """
    highest = f"datum.name === {json.dumps(rungs[-1]['name'])}"
    edge = f"datum.judge > {domain[0] + 0.8 * (domain[1] - domain[0])}"
    places = (
        (f"!({highest}) && !({edge})", "left", 8, 0),
        (f"!({highest}) && {edge}", "right", -8, 0),
        (highest, "center", 0, -11),
    )
    return [
        base.transform_filter(which)
        .mark_text(style="rung", align=align, dx=dx, dy=dy, fontSize=11)
        .encode(text="name:N")
        for which, align, dx, dy in places
    ]


def _domain(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Return a range that holds all values, and of the others those that are not far off."""
    low, high = min(values), max(values)
    reach = REACH * (high - low) or 0.5
    near = [value for value in others if low - reach <= value <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = PAD * (high - low) or 0.1
    return (round(low - pad, 4), round(high + pad, 4))
