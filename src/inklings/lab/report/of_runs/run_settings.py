"""The section of settings: what sets the runs apart, and what they share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from inklings.lab.report.arm_settings import flat, own_settings, say_value, shared_settings
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section
from inklings.lab.report.sections.settings import SettingTables, machine_facts
from inklings.runs.directory import RunDirectory


def make_section(shown: RunsShown) -> Section:
    """Return the section of settings, which every page has."""
    settings = {run.label: _settings(run.directory) for run in shown.runs}
    if len(settings) > 1:
        own, shared = own_settings(settings), shared_settings(settings)
    else:
        own = {}
        shared = {name: say_value(value) for name, value in next(iter(settings.values())).items()}
    environment = shown.runs[0].directory.environment
    tables = SettingTables(None, own, shared, machine_facts(environment))
    return Section(
        "settings", "Settings", template="run_settings", content=tables, under_legend=False
    )


def _settings(run: RunDirectory) -> dict[str, Any]:
    """Return the settings of a run by their dotted names, with the layout that its text has."""
    settings = flat(asdict(run.config))
    return settings if run.record.layout is None else {**settings, "data.layout": run.record.layout}
