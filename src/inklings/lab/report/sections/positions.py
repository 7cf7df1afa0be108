"""The section of positions: loss along a document."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.chart import (
    Figure,
    Rows,
    arm_color,
    arm_dash,
    around,
    focus_opacity,
    layered,
)
from inklings.lab.report.section import Results, Section
from inklings.lab.report.sections.curves import recorded_runs


def make_section(results: Results) -> Section | None:
    """Return the section of positions, or None where there are too few to draw."""
    comparison, records = results.comparison, results.records
    rows = position_rows(comparison, records)
    if len({row["position"] for row in rows}) <= 2:
        return None
    domain = around([row["loss"] for row in rows])
    figure = position_figure([arm.label for arm in comparison.arms], rows, domain, comparison.split)
    return Section(
        "positions",
        "Context",
        "The further into a document, the more there is to go by.",
        (figure,),
    )


def position_figure(
    arms: Sequence[str], rows: Rows, domain: tuple[float, float], split: str
) -> Figure:
    """Draw loss against the position in the document.

    Args:
        arms: the arms, in the order of their colours.
        rows: of `arm, position, first, last, loss`, averaged over seeds.
        domain: the range of the loss.
        split: the held-out split.
    """
    base = alt.Chart(alt.NamedData(name="positions")).encode(
        x=alt.X(
            "position:Q",
            scale=alt.Scale(type="log", base=2, nice=False),
            title="position in the document, tokens",
            axis=alt.Axis(format=",.0f", tickCount=8),
        ),
        y=alt.Y(
            "loss:Q",
            title=None,
            scale=alt.Scale(domain=list(domain), nice=False),
            axis=alt.Axis(tickCount=6, format=".2~f"),
        ),
        color=arm_color(arms),
        opacity=focus_opacity(0.9),
        tooltip=[
            "arm:N",
            alt.Tooltip("first:Q", title="from token"),
            alt.Tooltip("last:Q", title="to token"),
            alt.Tooltip("loss:Q", format=".4f"),
        ],
    )
    lines = base.mark_line(strokeWidth=1.8, clip=True).encode(strokeDash=arm_dash(arms))
    return Figure(
        "positions",
        "Loss by position",
        "nats per token",
        f"The {split} split, seeds averaged. Who uses a long context has a curve that still falls"
        " at the right.",
        {"": layered(lines, base.mark_circle(size=22), height=280)},
        wide=True,
        data={"positions": rows},
    )


def position_rows(comparison: Comparison, records: Records) -> Rows:
    """Return the loss in each range of positions, averaged over an arm's seeds.

    A range is drawn at its geometric middle.
    """
    found: dict[tuple[str, float, float], list[float]] = {}
    for arm, _, record in recorded_runs(comparison, records):
        for first, last, loss, _count in record.loss_by_position:
            found.setdefault((arm.label, first, last), []).append(loss)
    return [
        {
            "arm": arm,
            "first": first,
            "last": last,
            "position": round((first * last) ** 0.5, 2),
            "loss": round(sum(losses) / len(losses), 5),
        }
        for (arm, first, last), losses in found.items()
    ]
