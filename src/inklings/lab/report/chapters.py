"""Which figures a comparison has, by chapters of its report.

What its data do not hold is left out.
"""

from __future__ import annotations

from collections.abc import Callable

from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison, run_value
from inklings.lab.report import table as ranking
from inklings.lab.report.chart import Chapter, Figure, Rows, around
from inklings.lab.report.sections.budget_charts import pareto_figure, points_figure
from inklings.lab.report.sections.budget_rows import (
    amount_rows,
    floor_rows,
    pareto_rows,
    point_rows,
)
from inklings.lab.report.sections.curve_charts import (
    focus_domain,
    training_figure,
    validation_figures,
)
from inklings.lab.report.sections.curve_rows import (
    curve_rows,
    floor_curve_rows,
    position_rows,
    steps_of,
)
from inklings.lab.report.sections.scores import loss_figure, position_figure
from inklings.lab.report.sections.search import search_figure
from inklings.lab.report.sections.sizes import scaling_figure


def make_chapters(comparison: Comparison, records: Records) -> list[Chapter]:
    """The chapters of figures, in the order of the page."""
    makers: list[Callable[[Comparison, Records], Chapter | None]] = [
        _curves,
        _budgets,
        _cost,
        _scaling,
        _seeds,
        _positions,
    ]
    return [chapter for maker in makers if (chapter := maker(comparison, records)) is not None]


def _curves(comparison: Comparison, records: Records) -> Chapter | None:
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
    return Chapter(
        "curves",
        "Learning curves",
        "How each run came to its figures, against what it cost by then.",
        tuple(figures),
    )


def _budgets(comparison: Comparison, records: Records) -> Chapter | None:
    points, means = point_rows(comparison)
    if not points:
        return None
    low, high = around([row["value"] for row in points], 0.5)
    figure = points_figure(
        [arm.label for arm in comparison.arms],
        points,
        means,
        floor_rows(comparison, (low, high)),
        amount_rows(comparison),
        unit=comparison.unit,
        split=comparison.split,
    )
    lead = (
        "Each run was branched off and decayed at several points of its budget; only such points"
        " are compared. They serve every budget: an arm's figure at an amount lies between its two"
        " nearest points, over the logarithm of the amount."
    )
    return Chapter("budgets", "Equal budgets", lead, (figure,))


def _cost(comparison: Comparison, records: Records) -> Chapter | None:
    dots, means = pareto_rows(comparison)
    if not means:
        return None
    several = any(run.points for arm in comparison.arms for run in arm.runs)
    arms = [arm.label for arm in comparison.arms]
    floors = floor_rows(comparison, around([row["value"] for row in means], 0.5))
    figure = pareto_figure(
        arms, dots, means, floors, unit=comparison.unit, split=comparison.split, several=several
    )
    return Chapter(
        "cost",
        "What it costs",
        "Which arm one would choose for what one is ready to pay.",
        (figure,),
    )


def _scaling(comparison: Comparison, records: Records) -> Chapter | None:
    if comparison.scaling is None:
        return None
    said = [
        extrapolation.sentence for extrapolation in comparison.scaling.extrapolations
    ] + comparison.scaling.notes
    return Chapter(
        "scaling",
        "Size and compute",
        " ".join(said),
        (scaling_figure(comparison.scaling, unit=comparison.unit),),
    )


def _seeds(comparison: Comparison, records: Records) -> Chapter | None:
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
        return Chapter(
            "seeds", "Seeds", "A difference counts only where the seeds agree on it.", (figure,)
        )
    return Chapter("seeds", "Single runs", "Another seed may change the order.", (figure,))


def _positions(comparison: Comparison, records: Records) -> Chapter | None:
    rows = position_rows(comparison, records)
    if len({row["position"] for row in rows}) <= 2:
        return None
    domain = around([row["loss"] for row in rows])
    figure = position_figure([arm.label for arm in comparison.arms], rows, domain, comparison.split)
    return Chapter(
        "positions",
        "Context",
        "The further into a document, the more there is to go by.",
        (figure,),
    )


def search_chapter(comparison: Comparison) -> Chapter | None:
    """The searches for a learning rate of all arms.

    None where their rates were taken as they are.
    """
    searches = [(arm.label, arm.search) for arm in comparison.arms if arm.search is not None]
    done = [
        trial.loss for _, search in searches for trial in search.trials if trial.loss is not None
    ]
    if not done:
        return None
    domain = around(done, 0.12)
    trials: Rows = []
    beyond: dict[float, int] = {}
    for label, search in searches:
        for trial in sorted(search.trials, key=lambda trial: trial.factor):
            last = trial.losses[-1] if trial.losses and trial.status != "failed" else None
            drawn = last
            if last is None or last > domain[1]:
                # one below the other, so that those of several arms do not hide each other
                drawn = domain[1] - 0.06 * (domain[1] - domain[0]) * (
                    0.5 + beyond.get(trial.factor, 0)
                )
                beyond[trial.factor] = beyond.get(trial.factor, 0) + 1
            trials.append(
                {
                    "arm": label,
                    "factor": trial.factor,
                    "status": trial.status,
                    "loss": last,
                    "drawn": drawn,
                    "chosen": trial.factor == search.factor,
                    "why": trial.message or "",
                }
            )
    figure: Figure = search_figure([arm.label for arm in comparison.arms], trials, domain)
    lead = (
        "The learning rate of each arm was searched for at the same budget, with a seed that no"
        " ranked run has."
    )
    return Chapter("search", "A fair chance", lead, (figure,))
