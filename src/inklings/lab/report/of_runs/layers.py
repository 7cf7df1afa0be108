"""The section of layers: what a model is made of, with shapes and parameters."""

from __future__ import annotations

from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section


def make_section(shown: RunsShown) -> Section | None:
    """Return the tables of layers, or None where no model has any."""
    found = [(run.label, run.layers) for run in shown.runs if run.layers is not None]
    if not found:
        return None
    table = found[0][1]
    lead = (
        f"What each layer holds, and the shape that it hands on for {table.batch_size} texts of"
        f" {table.length} tokens. Like layers of consecutive blocks share a row."
    )
    return Section("layers", "Layers", lead, template="layers", content=found, under_legend=False)
