"""The section of optimisation: the learning rate and the norm of the gradient."""

from __future__ import annotations

from dataclasses import replace

from inklings.lab.report.chart import Figure, Rows
from inklings.lab.report.of_runs.run_chart import Curves, draw_curves, draw_steps, step_rows
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section

RATE = Curves(
    name="learning_rate",
    title="Learning rate",
    unit="rate",
    caption="Warm-up, and how it falls.",
    series=("learning rate",),
    format=".1~e",
    exact=".3~e",
)
NORM = Curves(
    name="gradient_norm",
    title="Gradient norm",
    unit="norm before clipping",
    caption="Peaks and steps upward are where a run begins to shake.",
    series=("gradient norm",),
    format=".2~g",
)


def make_section(shown: RunsShown) -> Section | None:
    """Return the section of optimisation, or None where no run made steps."""
    drawn = tuple(figure for figure in (_rate(shown), _norm(shown)) if figure is not None)
    lead = "How large the steps were, and how steep the ground."
    return Section("steps", "Optimisation", lead, drawn) if drawn else None


def _rate(shown: RunsShown) -> Figure | None:
    rates: Rows = []
    for run in shown.runs:
        rates += step_rows(run, "learning_rate", "learning rate", 1)[1]
    if not any(row["value"] for row in rates):
        return None
    return draw_curves(replace(RATE, lines=rates), shown)


def _norm(shown: RunsShown) -> Figure | None:
    norms = [step.get("gradient_norm") for run in shown.runs for step in run.steps]
    log = all(norm > 0 for norm in norms if norm is not None)
    return draw_steps(replace(NORM, log=log), ("gradient_norm",), shown, shown.runs)
