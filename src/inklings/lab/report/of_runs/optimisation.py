"""The section of optimisation: the learning rate and the norm of the gradient."""

from __future__ import annotations

from inklings.lab.report.chart import Rows
from inklings.lab.report.of_runs.run_chart import Curves, draw_curves, step_rows
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section


def make_section(shown: RunsShown) -> Section | None:
    """Return the section of optimisation, or None where no run made steps."""
    rates: Rows = []
    norms: Rows = []
    single: Rows = []
    for run in shown.runs:
        rates += step_rows(run, "learning_rate", "learning rate", 1)[1]
        smoothed, raw, _ = step_rows(run, "gradient_norm", "gradient norm", shown.window)
        norms, single = norms + smoothed, single + raw
    figures = []
    if any(row["value"] for row in rates):
        curves = Curves(
            name="learning_rate",
            title="Learning rate",
            unit="rate",
            caption="Warm-up, and how it falls.",
            series=("learning rate",),
            lines=rates,
            raw=[],
            format=".1~e",
            exact=".3~e",
        )
        figures.append(draw_curves(curves, shown))
    if norms:
        curves = Curves(
            name="gradient_norm",
            title="Gradient norm",
            unit="norm before clipping",
            caption="Peaks and steps upward are where a run begins to shake.",
            series=("gradient norm",),
            lines=norms,
            raw=single,
            log=all(row["value"] > 0 for row in norms + single),
            format=".2~g",
        )
        figures.append(draw_curves(curves, shown))
    lead = "How large the steps were, and how steep the ground."
    return Section("steps", "Optimisation", lead, tuple(figures)) if figures else None
