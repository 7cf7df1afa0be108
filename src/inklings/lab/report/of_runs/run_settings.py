"""The section of settings: what sets the runs apart, and what they share."""

from __future__ import annotations

from dataclasses import asdict

from inklings.lab.report.arm_settings import flat, own_settings, say_value, shared_settings
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section
from inklings.lab.report.sections.settings import SettingTables, machine_facts


def make_section(shown: RunsShown) -> Section:
    """Return the section of settings, which every page has."""
    settings = {run.label: flat(asdict(run.directory.config)) for run in shown.runs}
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
