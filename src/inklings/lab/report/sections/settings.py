"""The section of settings: how the comparison is made again, and what sets its arms apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inklings.amounts import byte_size
from inklings.lab.report.arm_settings import own_settings, say_value, settings_of, shared_settings
from inklings.lab.report.section import Results, Section


@dataclass(frozen=True)
class SettingTables:
    """Settings as text: of each arm, of all trained arms, and of the machine."""

    command: str | None
    own: dict[str, dict[str, str]]
    shared: dict[str, str]
    machine: dict[str, str]


def make_section(results: Results) -> Section:
    """Return the section of settings, which every report has."""
    settings = settings_of(results.comparison, results.records)
    tables = SettingTables(
        results.comparison.command,
        own_settings(settings),
        shared_settings(settings),
        machine_facts(results.comparison.environment),
    )
    return Section("settings", "Settings", template="settings", content=tables, under_legend=False)


def machine_facts(environment: dict[str, Any]) -> dict[str, str]:
    """Describe versions and hardware; what was not installed is left out."""
    facts = {name: say_value(value) for name, value in environment.items() if value is not None}
    if environment.get("memory"):
        facts["memory"] = byte_size(environment["memory"])
    return facts
