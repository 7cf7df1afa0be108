"""The section of learning: loss and accuracy on what is learned and on what is held out."""

from __future__ import annotations

from inklings.lab.report.chart import Figure, Rows
from inklings.lab.report.of_runs.run_chart import Curves, draw_curves, evaluation_rows, step_rows
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section
from inklings.lab.report.sections.curves import focus_domain

TRAINING, VALIDATION, SCORED = "training", "validation", "training, scored"


def make_section(shown: RunsShown) -> Section | None:
    """Return the section of learning, or None where no run has a likelihood."""
    figures = [figure for figure in (_loss(shown), _accuracy(shown)) if figure is not None]
    lead = "The loss of the batches as they came, and both parts of the text as they were scored."
    return Section("learning", "Learning", lead, tuple(figures)) if figures else None


def _loss(shown: RunsShown) -> Figure | None:
    lines: Rows = []
    raw: Rows = []
    windows = set()
    for run in shown.runs:
        if not run.predicts:
            continue
        smoothed, single, window = step_rows(run, "loss", TRAINING, shown.window)
        lines += smoothed + evaluation_rows(run, "loss", VALIDATION)
        lines += evaluation_rows(run, "train_loss", SCORED)
        raw += single
        windows |= {window} if window else set()
    if not lines:
        return None
    means = " to ".join(
        f"{size:,}" for size in sorted({min(windows), max(windows)} if windows else {})
    )
    caption = f"Smoothed: means over windows of {means} steps. " if windows else ""
    if windows == {1}:
        caption = "A window is one step: smoothed is raw. "
    caption += "Dots: the whole validation split, and as large a part of the training text."
    falls = [{"tokens": row["tokens"], "loss": row["value"]} for row in lines]
    return draw_curves(
        Curves(
            name="loss",
            title="Loss",
            unit=" or ".join(dict.fromkeys(run.unit for run in shown.runs if run.predicts)),
            caption=caption,
            series=(TRAINING, VALIDATION, SCORED),
            lines=lines,
            raw=raw,
            domain=focus_domain(falls),
            wide=True,
        ),
        shown,
    )


def _accuracy(shown: RunsShown) -> Figure | None:
    lines: Rows = []
    for run in shown.runs:
        lines += evaluation_rows(run, "accuracy", VALIDATION)
        lines += evaluation_rows(run, "train_accuracy", SCORED)
    if not lines:
        return None
    return draw_curves(
        Curves(
            name="accuracy",
            title="Accuracy",
            unit="share of next tokens",
            caption="How often the likeliest token is the one that comes.",
            series=(TRAINING, VALIDATION, SCORED),
            lines=lines,
            format=".0~%",
            exact=".2%",
            wide=True,
        ),
        shown,
    )
