"""Charts of how well each arm predicts held-out text: over its seeds, and along a document."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from inklings.lab.report.chart import Figure, Rows, arm_color, arm_dash, focus_opacity, layered


def loss_figure(
    arms: Sequence[str], means: Rows, seeds: Rows, *, unit: str, split: str, interval: str
) -> Figure:
    """Mean and interval of every arm, and each seed as a dot.

    Rows: `arm, value, low, high`; `arm, seed, value`.
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


def position_figure(
    arms: Sequence[str], rows: Rows, domain: tuple[float, float], split: str
) -> Figure:
    """Loss against the place in the document.

    Rows: `arm, position, first, last, loss`, seeds averaged.
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
