"""The section of seeds: how well each arm predicts held-out text, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from inklings.lab.comparison.result import run_value
from inklings.lab.report import table as ranking
from inklings.lab.report.chart import (
    Figure,
    Rows,
    arm_color,
    focus_opacity,
    layered,
)
from inklings.lab.report.section import Results, Section


def make_section(results: Results) -> Section | None:
    """Return the section of seeds, or None where no arm is ranked."""
    comparison = results.comparison
    rows = [row for row in ranking.rank(comparison) if row.value is not None]
    if not rows:
        return None
    unit = comparison.unit
    means = [
        {
            "arm": row.arm.label,
            "value": row.value,
            "low": row.value if row.low is None else row.low,
            "high": row.value if row.high is None else row.high,
        }
        for row in rows
    ]
    many = any(len(row.arm.done) > 1 for row in rows)
    single = any(len(row.arm.done) == 1 for row in rows)
    seeds: Rows = [
        {"arm": row.arm.label, "seed": run.seed, "value": run_value(run, unit)}
        for row in rows
        for run in row.arm.done
        if many
    ]
    interval = (
        "the 95% interval of the mean over seeds"
        if many
        else "the 95% interval from resampling the text"
    )
    interval += " (of a single run: from resampling the text)" if many and single else ""
    arms = [arm.label for arm in comparison.arms]
    figure = loss_figure(arms, means, seeds, unit=unit, split=comparison.split, interval=interval)
    if many:
        return Section(
            "seeds", "Seeds", "A difference counts only where the seeds agree on it.", (figure,)
        )
    return Section("seeds", "Single runs", "Another seed may change the order.", (figure,))


def loss_figure(
    arms: Sequence[str], means: Rows, seeds: Rows, *, unit: str, split: str, interval: str
) -> Figure:
    """Draw mean and interval of every arm, and each seed as a dot.

    Args:
        arms: the arms, in the order of their colours.
        means: rows of `arm, value, low, high`.
        seeds: rows of `arm, seed, value`.
        unit: of the losses.
        split: the held-out split.
        interval: what the interval is of, in words.
    """
    order = [row["arm"] for row in means]
    y = alt.Y(
        "arm:N",
        sort=order,
        title=None,
        axis=alt.Axis(labelFontSize=13, labelPadding=10, labelLimit=150),
    )
    scale = alt.Scale(zero=False, nice=True, padding=12)
    grid = alt.Axis(grid=True, domain=False, tickCount=6)
    rule = (
        alt.Chart(alt.NamedData(name="means"))
        .mark_rule(strokeWidth=2, strokeCap="round")
        .encode(
            y=y,
            x=alt.X("low:Q", scale=scale, title=f"{unit}, {split} split", axis=grid),
            x2="high:Q",
            color=arm_color(arms),
            opacity=focus_opacity(),
        )
    )
    mean = (
        alt.Chart(alt.NamedData(name="means"))
        .mark_tick(thickness=3, height=18)
        .encode(
            y=y,
            x="value:Q",
            color=arm_color(arms),
            opacity=focus_opacity(),
            tooltip=[
                alt.Tooltip("arm:N"),
                alt.Tooltip("value:Q", format=".4f", title=unit),
                alt.Tooltip("low:Q", format=".4f", title="from"),
                alt.Tooltip("high:Q", format=".4f", title="to"),
            ],
        )
    )
    dots = (
        alt.Chart(alt.NamedData(name="seeds"))
        .mark_circle(size=44)
        .encode(
            y=y,
            x="value:Q",
            color=arm_color(arms),
            opacity=focus_opacity(0.75),
            tooltip=["arm:N", "seed:N", alt.Tooltip("value:Q", format=".4f", title=unit)],
        )
    )
    layers = (rule, dots, mean) if seeds else (rule, mean)
    return Figure(
        "loss",
        "How well each arm predicts unseen text",
        f"{unit}, lower is better",
        f"{'Dots are seeds, the bar is their mean' if seeds else 'The bar is the loss'}; the line"
        f" is {interval}.",
        {"": layered(*layers, height=36 * len(means))},
        wide=True,
        legend=False,
        data={"means": means, "seeds": seeds},
    )
