"""The section of the text: its splits, and what is known about it."""

from __future__ import annotations

from inklings.lab.report.section import Results, Section


def make_section(results: Results) -> Section:
    """Return the section of the text, which every report has."""
    return Section(
        "text", "Text", template="text", content=results.comparison.text, under_legend=False
    )
