"""The section of the adversary: losses of generator and critic, their gap, and the divergence."""

from __future__ import annotations

from inklings.lab.report.chart import Figure, Rows
from inklings.lab.report.of_runs.run_chart import Curves, draw_curves, evaluation_rows, step_rows
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section


def make_section(shown: RunsShown) -> Section | None:
    """Return the section of the adversary, or None where no run has one."""
    losses = {"critic": "loss", "generator": "generator_loss"}
    figures = [
        _divergence(shown),
        _of_steps(
            shown,
            "losses",
            "Losses",
            "loss",
            losses,
            "What each of the two minimises. Neither says how good the texts are.",
        ),
        _of_steps(
            shown,
            "gap",
            "Critic gap",
            "score",
            {"gap": "critic_gap"},
            "How much higher the critic scores real texts than made ones: at 0 it cannot tell.",
        ),
        _of_steps(
            shown,
            "penalty",
            "Penalty",
            "weighted",
            {"penalty": "penalty"},
            "What keeps the critic's slope in bounds.",
        ),
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
            raw=[],
        ),
        shown,
    )


def _of_steps(
    shown: RunsShown, name: str, title: str, unit: str, series: dict[str, str], caption: str
) -> Figure | None:
    """Draw figures of the steps of runs that have a critic.

    Args:
        shown: the runs.
        name: of the figure.
        title: of the figure.
        unit: of the figure.
        series: what is drawn -> its name in the events.
        caption: below the figure.
    """
    lines: Rows = []
    raw: Rows = []
    for run in shown.runs:
        if not any("critic_gap" in step for step in run.steps):
            continue
        for called, key in series.items():
            smoothed, single, _ = step_rows(run, key, called, shown.window)
            lines, raw = lines + smoothed, raw + single
    if not lines:
        return None
    curves = Curves(
        name=name,
        title=title,
        unit=unit,
        caption=caption,
        series=tuple(series),
        lines=lines,
        raw=raw,
    )
    return draw_curves(curves, shown)
