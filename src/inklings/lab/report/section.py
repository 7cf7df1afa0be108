"""The sections of a report: one record and one file each, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.records import Records, read_record
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.chart import Figure
from inklings.registry import Registry


@dataclass(frozen=True)
class Results:
    """What a report is made from: a comparison, the records of its runs, and its folder."""

    out: Path
    comparison: Comparison
    records: Records


@dataclass(frozen=True)
class Section:
    """A part of the page under one heading."""

    name: str
    """Anchor of the section."""
    title: str
    """Its name in the outline, and its heading where that is not given."""
    lead: str = ""
    """The sentence below the heading."""
    figures: tuple[Figure, ...] = ()
    template: str = "figures"
    """What draws it, in `templates/sections/`; `figures` draws one figure after the other."""
    content: Any = None
    """What its template shows beside the figures."""
    heading: str | None = None
    under_legend: bool = True
    """Whether the legend, which brings out an arm in all figures, stands above it."""


MakeSection = Callable[[Results], Section | None]
"""Makes a section, or None where there is nothing to show."""

SECTIONS: Registry[MakeSection] = Registry(
    "section",
    {
        "ranking": "inklings.lab.report.sections.ranking:make_section",
        "curves": "inklings.lab.report.sections.curves:make_section",
        "budgets": "inklings.lab.report.sections.budgets:make_section",
        "cost": "inklings.lab.report.sections.cost:make_section",
        "sizes": "inklings.lab.report.sections.sizes:make_section",
        "seeds": "inklings.lab.report.sections.seeds:make_section",
        "positions": "inklings.lab.report.sections.positions:make_section",
        "samples": "inklings.lab.report.sections.samples:make_section",
        "search": "inklings.lab.report.sections.search:make_section",
        "probes": "inklings.lab.report.sections.probes:make_section",
        "written": "inklings.lab.report.sections.written:make_section",
        "audit": "inklings.lab.report.sections.audit:make_section",
        "memory": "inklings.lab.report.sections.memory:make_section",
        "text": "inklings.lab.report.sections.text:make_section",
        "settings": "inklings.lab.report.sections.settings:make_section",
    },
)


def read_results(out: Path) -> Results:
    """Read a comparison's folder.

    Raises:
        RunError: there is no comparison in `out`, or one of its files is damaged.
    """
    comparison = read_comparison(out)
    records = {
        (arm.label, run.seed): read_record(out / run.results)
        for arm in comparison.arms
        for run in arm.runs
        if run.results is not None
    }
    return Results(out, comparison, records)


def make_sections(results: Results) -> list[Section]:
    """Make the sections of the page, without those that the comparison has no data for."""
    sections = [make_section(results) for make_section in SECTIONS]
    return [section for section in sections if section is not None]
