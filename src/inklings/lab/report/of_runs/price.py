"""The section of costs: what each run took, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.amounts import count, duration, short_count
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.of_runs.run_view import RunView
from inklings.lab.report.section import Section


@dataclass(frozen=True)
class PriceRow:
    """What a run cost, in words."""

    label: str
    result: str
    unit: str
    bits_per_byte: str
    best_step: str
    parameters: str
    steps: str
    tokens: str
    flops: str
    seconds: str
    speed: str
    machine: str


def make_section(shown: RunsShown) -> Section | None:
    """Return the table of costs, or None before the first evaluation."""
    rows = [price_row(run) for run in shown.runs if run.evaluations]
    if not rows:
        return None
    lead = "Time is that of the training steps alone."
    return Section("cost", "What it cost", lead, template="price", content=rows, under_legend=False)


def price_row(run: RunView) -> PriceRow:
    """Return what a run with an evaluation cost."""
    last, best = run.evaluations[-1], run.best
    assert best is not None, "it was evaluated"
    bits = best.get("bits_per_byte")
    seconds, tokens = last["seconds"], last["tokens"]
    runtime = run.directory.runtime
    threads = f", {runtime.threads} thread{'s' if runtime.threads != 1 else ''}"
    return PriceRow(
        run.label,
        f"{best['loss']:.4f}",
        run.unit,
        "-" if bits is None else f"{bits:.4f}",
        f"{best['step']:,}",
        count(run.parameters),
        f"{last['step']:,}",
        short_count(tokens),
        short_count(run.flops) or "-",
        duration(seconds),
        f"{tokens / seconds:,.0f}" if seconds > 0 else "-",
        f"{runtime.device}{threads if runtime.device == 'cpu' else ''}, {runtime.precision}",
    )
