"""Which figures a comparison has, by chapters of its report, in the order of the page."""

from __future__ import annotations

from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.chart import Chapter
from inklings.lab.report.sections import budgets, cost, curves, positions, seeds, sizes

SECTIONS = (curves, budgets, cost, sizes, seeds, positions)
"""A section is a module whose `make_chapter` gives a chapter, or None where it has nothing."""


def make_chapters(comparison: Comparison, records: Records) -> list[Chapter]:
    """The chapters of figures, without those that the comparison has no data for."""
    chapters = [section.make_chapter(comparison, records) for section in SECTIONS]
    return [chapter for chapter in chapters if chapter is not None]
