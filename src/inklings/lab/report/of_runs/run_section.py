"""The sections of the page of single runs: one record and one file each, in the page's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inklings.lab.report.of_runs.run_view import RunView
from inklings.lab.report.section import Section
from inklings.registry import Registry


@dataclass(frozen=True)
class RunsShown:
    """The runs of a page, and how their curves are smoothed."""

    runs: Sequence[RunView]
    window: int | None = None
    """Steps of a window of the smoothed curves; None chooses for each run."""

    @property
    def labels(self) -> list[str]:
        """The names of the runs."""
        return [run.label for run in self.runs]


MakeRunSection = Callable[[RunsShown], Section | None]
"""Makes a section, or None where no run has anything to show."""

RUN_SECTIONS: Registry[MakeRunSection] = Registry(
    "section of runs",
    {
        "cost": "inklings.lab.report.of_runs.price:make_section",
        "learning": "inklings.lab.report.of_runs.learning:make_section",
        "adversary": "inklings.lab.report.of_runs.adversary:make_section",
        "steps": "inklings.lab.report.of_runs.optimisation:make_section",
        "samples": "inklings.lab.report.of_runs.improvement:make_section",
        "audit": "inklings.lab.report.of_runs.checks:make_section",
        "layers": "inklings.lab.report.of_runs.layers:make_section",
        "settings": "inklings.lab.report.of_runs.run_settings:make_section",
    },
)


def make_run_sections(shown: RunsShown) -> list[Section]:
    """Make the sections of the page, without those that no run has data for."""
    sections = [make_section(shown) for make_section in RUN_SECTIONS]
    return [section for section in sections if section is not None]
