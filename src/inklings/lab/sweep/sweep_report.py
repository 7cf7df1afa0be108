"""The report of a sweep: a table, one HTML file, and its figures as SVG, PDF, PNG and CSV.

It needs no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from inklings.config import RunConfig
from inklings.durable import write_bytes
from inklings.errors import RunError
from inklings.lab.report import chart as charts
from inklings.lab.report.arm_settings import flat, say_value
from inklings.lab.report.page import chart_script, write_figures
from inklings.lab.sweep.space import Dimension, parse_space
from inklings.lab.sweep.sweep_figures import sweep_figures
from inklings.lab.sweep.sweep_results import Sweep, read_sweep
from inklings.runs.user_code import named_code
from inklings.values import from_mapping

BEST_SHOWN = 10
"""Trials in the table; the figures and `sweep.json` have all."""
CAUTION = (
    "The best of many trials looks better than it is: it was chosen for this figure, on the"
    " validation split, with one seed. A comparison with seeds of its own, on the test split, says"
    " what it is worth."
)


def write_sweep_report(out: Path, *, trust_code: bool = False) -> Path:
    """Write `OUT/sweep.html` and `OUT/figures/` from `OUT/sweep.json`; return the report's path.

    Args:
        out: the folder of the sweep.
        trust_code: whether Python code may be executed that the settings of the sweep name.

    Raises:
        RunError: there is no sweep in `out`, it is damaged, or it names code and that is not
            trusted.
    """
    sweep = read_sweep(out)
    settings = sweep.identity.get("settings")
    if not isinstance(settings, dict):
        raise RunError(f"{out} is damaged: its sweep does not say with which settings it was made.")
    config = from_mapping(
        RunConfig,
        {name: value for name, value in settings.items() if name != "data"},
        where=str(out),
    )
    if (named := named_code(config)) and not trust_code:
        raise RunError(
            f"the settings of the sweep in {out} name Python code ({', '.join(named)}), which its"
            f" report would execute. If you trust it: `inklings report {out} --trust-code`."
        )
    with charts.unchecked():
        page = _drawn(out, sweep, settings, parse_space(sweep.space, config))
        write_bytes(out / "sweep.html", page.encode())
    return out / "sweep.html"


def _drawn(out: Path, sweep: Sweep, settings: dict[str, Any], space: list[Dimension]) -> str:
    """Write the figures, and return the page."""
    figures = sweep_figures(sweep, space)
    write_figures(out, figures)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("inklings.lab.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    searched = {text.partition("=")[0] for text in sweep.space}
    fields, rows = table(sweep)
    page: str = environment.get_template("sweep.html.jinja").render(
        sweep=sweep,
        title=f"{sweep.architecture} on {sweep.text['name']}: {len(sweep.trials)} trials",
        headline=headline(sweep),
        caution=CAUTION,
        facts=_facts(sweep),
        fields=fields[1:-1],
        rows=rows,
        figures=figures,
        failures=_failures(sweep),
        shared=[
            (name, say_value(value))
            for name, value in flat(settings).items()
            if name not in searched
        ],
        specs={
            figure.name: {key: charts.page_spec(chart) for key, chart in figure.charts.items()}
            for figure in figures
        },
        datasets={name: rows for figure in figures for name, rows in figure.data.items()},
        themes={scheme: charts.theme(scheme) for scheme in ("light", "dark")},
        script=chart_script(),
    )
    return page


def table(sweep: Sweep) -> tuple[list[str], list[list[str]]]:
    """Return the best trials: loss, the values of the fields, number."""
    fields = [text.partition("=")[0] for text in sweep.space]
    rows = [
        [
            f"{trial.losses[-1]:.4f}",
            *(_cell(trial.values[name]) for name in fields),
            str(trial.number),
        ]
        for trial in sweep.ranked[:BEST_SHOWN]
    ]
    return ["loss", *fields, "trial"], rows


def headline(sweep: Sweep) -> str:
    """Return the best point, in a sentence."""
    best = sweep.best
    if best is None:
        return "No trial was finished."
    values = ", ".join(f"{name} {_cell(value)}" for name, value in best.values.items())
    return f"{best.losses[-1]:.4f} {sweep.unit} with {values}."


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else say_value(value)


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    counts = {
        status: sum(trial.status == status for trial in sweep.trials)
        for status in ("done", "pruned", "failed")
    }
    environment = sweep.environment
    cores = f", {environment['cores']} cores" if environment.get("cores") else ""
    return [
        ("Text", str(sweep.text["source"])),
        ("Budget", f"{sweep.budget.replace('-', ' ')} for each trial"),
        (
            "Trials",
            f"{counts['done']} finished, {counts['pruned']} given up, {counts['failed']} failed",
        ),
        ("Chosen on", "validation split, at the end of the budget"),
        ("Seed", str(sweep.seed)),
        ("Machine", f"{environment.get('processor', 'not recorded')}{cores}"),
    ]


def _failures(sweep: Sweep) -> list[tuple[str, list[int]]]:
    """Return what went wrong, with the trials it went wrong in."""
    found: dict[str, list[int]] = {}
    for trial in sweep.trials:
        if trial.message is not None:
            found.setdefault(trial.message, []).append(trial.number)
    return list(found.items())
