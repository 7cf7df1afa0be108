"""The section of the adversary: losses of generator and critic, their gap, and the divergence."""

from __future__ import annotations

from inklings.lab.report.chart import Figure, Rows
from inklings.lab.report.of_runs.run_chart import Curves, draw_curves, draw_steps, evaluation_rows
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section

LOSSES = Curves(
    name="losses",
    title="Losses",
    unit="loss",
    caption="What each of the two minimises. Neither says how good the texts are.",
    series=("critic", "generator"),
)
GAP = Curves(
    name="gap",
    title="Critic gap",
    unit="score",
    caption="How much higher the critic scores real texts than made ones: at 0 it cannot tell.",
    series=("gap",),
)
PENALTY = Curves(
    name="penalty",
    title="Penalty",
    unit="weighted",
    caption="What keeps the critic's slope in bounds.",
    series=("penalty",),
)


def make_section(shown: RunsShown) -> Section | None:
    """Return the section of the adversary, or None where no run has one."""
    runs = [run for run in shown.runs if any("critic_gap" in step for step in run.steps)]
    figures = [
        _divergence(shown),
        draw_steps(LOSSES, ("loss", "generator_loss"), shown, runs),
        draw_steps(GAP, ("critic_gap",), shown, runs),
        draw_steps(PENALTY, ("penalty",), shown, runs),
    ]
    drawn = tuple(figure for figure in figures if figure is not None)
    lead = "How generator and critic hold each other, and how far what is made is from the text."
    return Section("adversary", "Generator and critic", lead, drawn) if drawn else None


def _divergence(shown: RunsShown) -> Figure | None:
    lines: Rows = []
    for run in shown.runs:
        if not run.predicts:
            lines += evaluation_rows(run, "loss", "divergence")
    if not lines:
        return None
    return draw_curves(
        Curves(
            name="divergence",
            title="Divergence from the validation split",
            unit="bits",
            caption="Mean Jensen-Shannon divergence of 1- to 4-grams; 0 is real text.",
            series=("divergence",),
            lines=lines,
        ),
        shown,
    )
