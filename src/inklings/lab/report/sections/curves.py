"""The section of learning curves: loss and accuracy against the cost of training so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from inklings.lab.comparison.records import Records, ReportRecord
from inklings.lab.comparison.result import ArmResult, Comparison, RunResult
from inklings.lab.report.chart import (
    Axis,
    Control,
    Figure,
    Rows,
    arm_color,
    arm_dash,
    cost_axis,
    focus_opacity,
    hovered,
    layered,
    shared_axes,
    told_number,
    told_text,
)
from inklings.lab.report.learning_curve import TRAINED
from inklings.lab.report.section import Results, Section

CURVE = Control("curve", "Curve", ("smoothed", "raw"))
PART = Control("part", "Part of the text", ("validation", "training"))


FORMATS = {"loss": (".2~f", ".4f"), "accuracy": (".0~%", ".1%")}
"""Number formats of the axis, and of the tooltip."""


MARKED = 12
"""Most curves on which every evaluation has a dot; with more, the dots would hide the lines."""


def make_section(results: Results) -> Section | None:
    """Return the section of learning curves, or None where no run has one."""
    comparison, records = results.comparison, results.records
    arms = [arm.label for arm in comparison.arms]
    smoothed, raw, validation = (
        curve_rows(comparison, records, part) for part in ("smoothed", "raw", "validation")
    )
    if not validation:
        return None
    floors = floor_curve_rows(comparison, records)
    domain = focus_domain(validation + smoothed, [row["loss"] for row in floors])
    figures = validation_figures(arms, validation, floors, domain)
    if smoothed:
        figures.append(
            training_figure(
                arms,
                smoothed,
                raw,
                domain,
                window=steps_of(records, "window"),
                every=steps_of(records, "every"),
            )
        )
    return Section(
        "curves",
        "Learning curves",
        "How each run came to its figures, against what it cost by then.",
        tuple(figures),
    )


def recorded_runs(
    comparison: Comparison, records: Records
) -> list[tuple[ArmResult, RunResult, ReportRecord]]:
    """Return the runs of a comparison that have a record, with their arms."""
    return [
        (arm, run, records[arm.label, run.seed])
        for arm in comparison.arms
        for run in arm.runs
        if (arm.label, run.seed) in records
    ]


def curve_rows(comparison: Comparison, records: Records, part: str) -> Rows:
    """Return one row for each point of every curve.

    Of raw curves only the first seed's is returned, for several would hide each other. FLOPs are
    those of a token times the tokens; where a run does not record them, rows have none.

    Args:
        comparison: the comparison.
        records: of its runs.
        part: `smoothed`, `raw` or `validation`.
    """
    rows: Rows = []
    for arm, run, record in recorded_runs(comparison, records):
        columns = record.curve[part]
        if (part == "raw" and run is not arm.runs[0]) or len(columns["loss"]) < 2:
            continue
        scored = [
            name for name in ("accuracy", *TRAINED) if part == "validation" and name in columns
        ]
        names = ("tokens", "seconds", "loss", *scored)
        each = run.flops / run.tokens if run.flops and run.tokens else None
        for values in zip(*(columns[name] for name in names), strict=True):
            row = {"arm": arm.label, "seed": run.seed, **dict(zip(names, values, strict=True))}
            rows.append({**row, "flops": float(f"{row['tokens'] * each:.6g}")} if each else row)
    return rows


def floor_curve_rows(comparison: Comparison, records: Records) -> Rows:
    """Return validation figures of arms with one evaluation only: a counted arm has no curve."""
    return [
        {
            "arm": arm.label,
            "loss": record.curve["validation"]["loss"][0],
            "accuracy": record.curve["validation"]["accuracy"][0],
        }
        for arm, _, record in recorded_runs(comparison, records)
        if len(record.curve["validation"]["loss"]) == 1
    ]


def steps_of(records: Records, name: str) -> str:
    """Format a number of steps: `50`, or `20 to 50` where runs have different lengths."""
    sizes = sorted(
        {record.curve[name] for record in records.values() if record.curve["smoothed"]["loss"]}
    )
    return "1" if not sizes else str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def against(axes: Sequence[Axis]) -> Control:
    """Return the choice of what curves are drawn against."""
    return Control("against", "Against", tuple(axis.name for axis in axes))


def validation_figures(
    arms: Sequence[str], rows: Rows, floors: Rows, domain: tuple[float, float]
) -> list[Figure]:
    """Draw loss and accuracy on the validation split during training.

    Args:
        arms: the arms, in the order of their colours.
        rows: of `arm, seed, tokens, seconds, loss, accuracy`, with `flops` where they are known.
        floors: rows of `arm, loss, accuracy` for counted arms.
        domain: the range of the loss.
    """
    hits = accuracy_domain(rows)
    within = [row for row in floors if domain[0] <= row["loss"] <= domain[1]]
    above = [row for row in floors if hits[0] <= row["accuracy"] <= hits[1]]
    return [
        _validation(arms, rows, within, "loss", domain, "validation", "nats per token"),
        _validation(arms, rows, above, "accuracy", hits, "accuracy", "of the next token"),
    ]


def _validation(
    arms: Sequence[str],
    rows: Rows,
    floors: Rows,
    column: str,
    domain: tuple[float, float],
    name: str,
    unit: str,
) -> Figure:
    floor = (
        alt.Chart(alt.NamedData(name=f"{name}_floors"))
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.5, clip=True)
        .encode(
            y=_y(column, domain),
            color=arm_color(arms),
            opacity=focus_opacity(),
            tooltip=["arm:N", alt.Tooltip(f"{column}:Q", format=FORMATS[column][1])],
        )
    )
    axes = shared_axes(rows)
    marked = len({(row["arm"], row["seed"]) for row in rows}) <= MARKED
    learned = f"train_{column}"
    both = all(row.get(learned) is not None for row in rows)
    parts = PART.options if both else PART.options[:1]
    of_training = focus_domain(_as_losses(rows, learned)) if both else domain
    if column == "accuracy" and both:
        of_training = (max(0.0, -of_training[1]), min(1.0, -of_training[0]))

    def chart(axis: Axis, part: str) -> Any:
        shown, bounds = (column, domain) if part == parts[0] else (learned, of_training)
        base = alt.Chart(alt.NamedData(name="validation")).encode(
            x=cost_axis(axis), y=_y(column, bounds, shown), color=arm_color(arms), detail="seed:N"
        )
        lines = base.mark_line(strokeWidth=1.8 if marked else 1.2, clip=True).encode(
            strokeDash=arm_dash(arms), opacity=focus_opacity(0.9 if marked else 0.7)
        )
        inside = f"datum.{shown} >= {bounds[0]} && datum.{shown} <= {bounds[1]}"
        dots = base.transform_filter(inside).mark_circle(size=26)
        told = {
            "arm": told_text("arm"),
            "seed": told_text("seed"),
            axis.title: told_number(axis.column, ",.4~f"),
            "loss": told_number("loss", FORMATS["loss"][1]),
            "accuracy": told_number("accuracy", FORMATS["accuracy"][1]),
        }
        if both:
            told[f"{column} on training text"] = told_number(learned, FORMATS[column][1])
        return layered(
            *([floor] if floors and part == parts[0] else []),
            lines,
            *([dots.encode(opacity=focus_opacity(0.9))] if marked else []),
            hovered(base, told, visible=inside),
            height=300,
        )

    caption = "The whole validation split, scored as training goes on"
    caption += ", or as large a part of the training text" if both else ""
    return Figure(
        name,
        column.capitalize() if both else f"Validation {column}",
        unit,
        f"{caption}{'; dotted: counted in one pass' if floors else ''}.",
        {
            axis.name + (f" {part}" if both else ""): chart(axis, part)
            for axis in axes
            for part in parts
        },
        (against(axes), *([PART] if both else [])),
        data={"validation": rows, **({f"{name}_floors": floors} if floors else {})},
    )


def _as_losses(rows: Rows, column: str) -> Rows:
    """Return the rows with a column as their loss: what is better is lower."""
    sign = -1 if column.endswith("accuracy") else 1
    return [{"tokens": row["tokens"], "loss": sign * row[column]} for row in rows]


def training_figure(
    arms: Sequence[str],
    smoothed: Rows,
    raw: Rows,
    domain: tuple[float, float],
    *,
    window: str,
    every: str,
) -> Figure:
    """Draw training loss: means over windows of steps, or these over the single steps.

    Args:
        arms: the arms, in the order of their colours.
        smoothed: rows of `arm, seed, tokens, seconds, loss`.
        raw: rows of the same columns.
        domain: the range of the loss.
        window: how many steps a window holds, in words.
        every: how many steps a raw point stands for, in words.
    """
    many = len({(row["arm"], row["seed"]) for row in smoothed}) > MARKED

    def chart(axis: Axis, curve: str) -> Any:
        def lines(name: str, width: float, opacity: float) -> Any:
            return (
                alt.Chart(alt.NamedData(name=name))
                .mark_line(strokeWidth=width, clip=True)
                .encode(
                    x=cost_axis(axis),
                    y=_y("loss", domain),
                    color=arm_color(arms),
                    detail="seed:N",
                    strokeOpacity=focus_opacity(opacity),
                    strokeDash=arm_dash(arms),
                )
            )

        near = hovered(
            alt.Chart(alt.NamedData(name=curve)).encode(
                x=cost_axis(axis), y=_y("loss", domain), color=arm_color(arms)
            ),
            {
                "arm": told_text("arm"),
                "seed": told_text("seed"),
                axis.title: told_number(axis.column, ",.4~f"),
                "loss": told_number("loss", ".4f"),
            },
            visible=f"datum.loss >= {domain[0]} && datum.loss <= {domain[1]}",
        )

        if curve == "raw":
            return layered(lines("raw", 0.8, 0.55), near, height=300)
        smooth = lines("smoothed", 1.2 if many else 1.8, 0.7 if many else 0.9)
        return layered(smooth, near, height=300)

    axes = shared_axes(smoothed, raw)
    windows = (
        "too few steps for means over windows"
        if window == "1"
        else f"means over windows of {window} steps"
    )
    each = "single steps" if every == "1" else f"the mean of every {every} steps"
    return Figure(
        "training",
        "Training loss",
        "nats per token",
        f"Smoothed: {windows}. Raw: {each}, of the first seed.",
        {f"{axis.name} {curve}": chart(axis, curve) for axis in axes for curve in CURVE.options},
        (against(axes), CURVE),
        wide=True,
        data={"smoothed": smoothed, "raw": raw},
    )


def _y(column: str, domain: tuple[float, float], shown: str | None = None) -> Any:
    scale = alt.Scale(domain=list(domain), nice=False)
    return alt.Y(
        f"{shown or column}:Q",
        title=None,
        scale=scale,
        axis=alt.Axis(tickCount=6, format=FORMATS[column][0]),
    )


def focus_domain(rows: Rows, floors: Sequence[float] = ()) -> tuple[float, float]:
    """Return where the curves differ.

    From the lowest loss up to where the worst arm stood a tenth of the way in.

    The first steps fall from ln V within moments; drawn whole they would press all that follows
    into a line.
    """
    if not rows:
        return (0.0, 1.0)
    length = max(row["tokens"] for row in rows)
    settled = [row["loss"] for row in rows if row["tokens"] >= 0.1 * length] or [
        row["loss"] for row in rows
    ]
    low, high = min(settled), max(settled)
    high = max([high, *(floor for floor in floors if floor < high + 0.5 * (high - low))])
    low = min([low, *floors])
    pad = 0.04 * (high - low) or 0.1
    return (round(low - pad, 4), round(high + pad, 4))


def accuracy_domain(rows: Rows) -> tuple[float, float]:
    """Return the range of the accuracy that is drawn.

    It goes from the worst arm a tenth of the way in up to the best.
    """
    low, high = focus_domain(_as_losses(rows, "accuracy"))
    return (max(0.0, -high), min(1.0, -low))
