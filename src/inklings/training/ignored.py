"""Warnings for settings that the user gave and that will have no effect."""

from __future__ import annotations

import math
from dataclasses import fields

from inklings.config import TrainingConfig
from inklings.models.contract import Architecture
from inklings.optimizers import OPTIMIZERS, peak_rates

_USED_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "decay_from": ("schedule", ("step", "wsd")),
    "final_rate": ("schedule", ("linear", "cosine", "wsd")),
}
"""A setting, and the values of another one under which it is used."""

_DEFAULTS = {field.name: getattr(TrainingConfig(), field.name) for field in fields(TrainingConfig)}


def ignored_settings(training: TrainingConfig, model: Architecture) -> list[str]:
    """Make a sentence for each setting that was changed and has no effect.

    A setting that does less than its name says gets one too, for models that learn by gradient.
    """
    notes = []
    for name, (other, values) in {**_USED_BY, **_used_by_optimizers()}.items():
        if differs(training, name) and getattr(training, other) not in values:
            notes.append(
                f"training.{name} is not looked at: {other} is {getattr(training, other)!r}."
            )
    if training.patience >= training.evaluations:
        notes.append(
            f"training.patience of {training.patience} cannot end a run that is evaluated"
            f" {training.evaluations} times."
        )
    if training.accumulate > 1 and model.traits.batch_statistics:
        notes.append(
            "training.accumulate changes what is learned here: the batch statistics are those of"
            " each part, not of the whole batch."
        )
    if training.order == "streams" and not model.traits.carries_state:
        notes.append(
            "training.order 'streams' reads rows in order, but this architecture carries nothing"
            " from one to the next."
        )
    return notes


def _used_by_optimizers() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the settings that not all optimisers use, each with the optimisers that do."""
    settings = {
        kind.name: {*kind.uses, *(rate.setting for rate in kind.rates)} for kind in OPTIMIZERS
    }
    return {
        setting: ("optimizer", tuple(name for name, own in settings.items() if setting in own))
        for setting in dict.fromkeys(name for own in settings.values() for name in sorted(own))
    }


def differs(training: TrainingConfig, name: str) -> bool:
    """Return whether a setting is not its default; a rate that only moved with the first one is."""
    defaults = peak_rates(training.optimizer)
    if name not in defaults:
        return bool(getattr(training, name) != _DEFAULTS[name])
    usual = defaults[name]
    if name != "learning_rate":
        usual *= training.learning_rate / defaults["learning_rate"]
    return not math.isclose(getattr(training, name), usual, rel_tol=1e-9)
