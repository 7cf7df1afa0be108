"""What Python callers give, made settings: names, objects, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from inklings.config import DataConfig, RunConfig, TrainingConfig, rates_in, with_training
from inklings.errors import ConfigError
from inklings.interface.run import Run, refuse_unknown
from inklings.models.contract import model_fields
from inklings.models.registry import load_class
from inklings.runs.arms import Arm, parse_arm, parse_named_arm
from inklings.training.budgets.budget import parse_budget

TextLike: TypeAlias = str | Path | DataConfig
"""A text: its source as `inklings train --data` takes it, or all of its settings."""
ArmLike: TypeAlias = str | Path | Run | RunConfig | Arm
"""A contestant: an ARM as the command line takes it, a run, settings, or an arm."""

_DATA = {field.name for field in fields(DataConfig)} - {"source"}
_TRAINING = {field.name for field in fields(TrainingConfig)}


def config_of(
    arm: str | Path | RunConfig,
    *,
    base: RunConfig,
    data: TextLike | None,
    budget: str | None,
    settings: Mapping[str, Any],
) -> tuple[RunConfig, frozenset[str]]:
    """Return the settings of a run, and the peak rates that were given.

    Keywords win over the arm, as flags do.

    Args:
        arm: what is trained.
        base: settings below it.
        data: the text; None keeps that of the arm.
        budget: None keeps that of the arm.
        settings: fields of `DataConfig` and `TrainingConfig` by name.

    Raises:
        InputError: the arm is a run or cannot be read, or a setting cannot be used.
    """
    if isinstance(arm, RunConfig):
        config, rates = arm, frozenset[str]()
    else:
        chosen = parse_arm(str(arm), base=base)
        if chosen.config is None:
            raise ConfigError(
                f"{arm} is a run that is already trained: inklings.load({str(arm)!r}) opens it,"
                f" inklings.resume({str(arm)!r}) goes on with it, and initial={str(arm)!r} begins a"
                " new one with its weights."
            )
        config, rates = chosen.config, chosen.rates
    return with_settings(config, rates, data=data, budget=budget, settings=settings)


def with_settings(
    config: RunConfig,
    rates: frozenset[str],
    *,
    data: TextLike | None,
    budget: str | None,
    settings: Mapping[str, Any],
) -> tuple[RunConfig, frozenset[str]]:
    """Lay keywords over settings; see `config_of`.

    Args:
        config: the settings below.
        rates: the peak rates that they were given.
        data: the text; None keeps it.
        budget: None keeps it.
        settings: fields of `DataConfig` and `TrainingConfig` by name.

    Raises:
        ConfigError: a keyword is no setting, or its value is out of range.
    """
    refuse_model_fields(config, settings)
    refuse_unknown("setting", dict(settings), _DATA | _TRAINING)
    if budget is not None:
        parse_budget(budget)
    settings = {**settings, **_vocabulary(settings)}
    training = {name: value for name, value in settings.items() if name in _TRAINING}
    if budget is not None:
        training["budget"] = budget
    made = replace(
        config,
        data=replace(
            text_of(data, config.data),
            **{name: value for name, value in settings.items() if name in _DATA},
        ),
        training=with_training(config.training, training, below=rates),
    )
    return made, rates_in(training, below=rates)


def _vocabulary(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the path of the vocabulary that is taken, where it is given as a path or a run."""
    given = settings.get("tokenizer")
    if isinstance(given, Run):
        given = given.path
    return {"tokenizer": str(given)} if isinstance(given, Path) else {}


def refuse_model_fields(config: RunConfig, settings: Mapping[str, Any]) -> None:
    """Say where fields of the model are given, if one is among the keywords."""
    if settings.keys() <= _DATA | _TRAINING:
        return
    known = model_fields(load_class(config.architecture).Config)
    for name in settings.keys() - _DATA - _TRAINING:
        if name in known:
            raise ConfigError(
                f"{name} is a field of the model; give it with the name:"
                f" '{config.architecture}:{name}={settings[name]}'."
            )


def text_of(data: TextLike | None, below: DataConfig) -> DataConfig:
    """Return the settings of a text: a source takes the place of that below it."""
    if data is None:
        return below
    return data if isinstance(data, DataConfig) else replace(below, source=str(data))


def arms_of(
    arms: Iterable[ArmLike] | Mapping[str, ArmLike], base: RunConfig, rates: frozenset[str]
) -> list[Arm]:
    """Return contestants, whatever they were given as.

    Args:
        arms: ARMs, runs, settings or arms; a mapping says what each is called.
        base: settings below them.
        rates: the peak rates that `base` was given.

    Raises:
        InputError: one cannot be read.
    """
    if isinstance(arms, str | Path):
        raise ConfigError(f"arms is {str(arms)!r}; it must be a list: ['gpt', 'mlp'].")
    if isinstance(arms, Mapping):
        made = arms_of(arms.values(), base, rates)
        return [replace(arm, label=name) for name, arm in zip(arms, made, strict=True)]
    found = []
    for arm in arms:
        if isinstance(arm, Arm):
            found.append(arm)
        elif isinstance(arm, RunConfig):
            found.append(Arm(arm.architecture, config=arm))
        elif isinstance(arm, Run):
            found.append(Arm(arm.path.name, run=arm.path))
        else:
            found.append(
                parse_named_arm(str(arm), lambda text: parse_arm(text, base=base, rates=rates))
            )
    return found
