"""The chapters of a report: which figures a comparison has, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.chart import Chapter
from inklings.registry import Registry

MakeChapter = Callable[[Comparison, Records], Chapter | None]
"""Makes a chapter, or None where there is nothing to show."""

SECTIONS: Registry[MakeChapter] = Registry(
    "section",
    {
        "curves": "inklings.lab.report.sections.curves:make_chapter",
        "budgets": "inklings.lab.report.sections.budgets:make_chapter",
        "cost": "inklings.lab.report.sections.cost:make_chapter",
        "sizes": "inklings.lab.report.sections.sizes:make_chapter",
        "seeds": "inklings.lab.report.sections.seeds:make_chapter",
        "positions": "inklings.lab.report.sections.positions:make_chapter",
    },
)


def make_chapters(comparison: Comparison, records: Records) -> list[Chapter]:
    """Return the chapters of figures, without those that the comparison has no data for."""
    chapters = [make_chapter(comparison, records) for make_chapter in SECTIONS]
    return [chapter for chapter in chapters if chapter is not None]
