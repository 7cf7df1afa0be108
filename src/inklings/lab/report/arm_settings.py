"""The settings of a comparison for a reader: what all arms share, and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to one level: `training.batch_size` and so on."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def settings_of(comparison: Comparison, records: Records) -> dict[str, dict[str, Any]]:
    """Return the settings of each arm: resolved, as its first run had them, or as asked for."""
    found = {}
    for arm, plan in zip(comparison.arms, comparison.plan.arms, strict=True):
        record = next(
            (records[arm.label, run.seed] for run in arm.runs if (arm.label, run.seed) in records),
            None,
        )
        config = plan.config if record is None else record.settings
        if config is not None:
            found[arm.label] = {
                name: value for name, value in flat(config).items() if name != "training.seed"
            }
    return found


def shared_settings(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the settings that have one value in all arms."""
    own = _own_names(settings)
    first: Mapping[str, Any] = next(iter(settings.values()), {})
    return {name: say_value(value) for name, value in first.items() if name not in own}


def own_settings(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return, for each arm, the settings that differ between arms, and those of its model."""
    own = _own_names(settings)
    return {
        label: {name: say_value(config[name]) for name in config if name in own}
        for label, config in settings.items()
    }


def _own_names(settings: Mapping[str, Mapping[str, Any]]) -> set[str]:
    names = {name for config in settings.values() for name in config}
    return {
        name
        for name in names
        if name.startswith("model.")
        or len({repr(config.get(name)) for config in settings.values()}) > 1
    }


def say_value(value: Any) -> str:
    """Return a value as one would write it in a run file."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(say_value, value))
    return str(value)
