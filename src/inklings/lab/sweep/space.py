"""The space of a sweep: `FIELD=LOW..HIGH[:log|:STEP]` for numbers, `FIELD=a|b|c` for choices.

A FIELD is one of the architecture's (`model.n_layer`, or `n_layer`) or of training
(`training.batch_size`); `lr` is short for `training.learning_rate`. Every point is checked against
the field's type before anything is trained.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from inklings.config import (
    RunConfig,
    TrainingConfig,
    with_training,
)
from inklings.errors import ConfigError, nearest, unknown_name
from inklings.fields import allowed_names, field_hints, parse_value
from inklings.models.contract import model_hints
from inklings.models.objectives import objective_of
from inklings.models.registry import load_class
from inklings.optimizers import OPTIMIZERS, PEAK_RATES

GRAMMAR = "FIELD=LOW..HIGH, FIELD=LOW..HIGH:log, FIELD=LOW..HIGH:STEP or FIELD=a|b|c"
DECADE = 10.0
"""The default space reaches this many times below and above the settings' own learning rates."""

_SHORT = {"lr": "training.learning_rate", "training.lr": "training.learning_rate"}
_NOT_SEARCHED = (
    "budget",
    "seed",
    "evaluations",
    "patience",
    "samples",
    "keep_checkpoints",
    "device",
    "threads",
    "compile",
)
"""Fields that equal trials must share, or that say nothing of the generator."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One field of a space, and the values it may take."""

    field: str
    """Its name: `model.NAME` or `training.NAME`."""
    kind: Literal["int", "float", "choice"]
    low: int | float = 0
    high: int | float = 0
    log: bool = False
    step: int | float | None = None
    choices: tuple[Any, ...] = ()
    """The choices in the order in which they were written."""

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"{self.field}={'|'.join(say(choice) for choice in self.choices)}"
        scale = ":log" if self.log else f":{self.step}" if self.step is not None else ""
        return f"{self.field}={self.low}..{self.high}{scale}"


def say(choice: Any) -> str:
    """Return a value as one writes it in a space."""
    if isinstance(choice, bool) or choice is None:
        return str(choice).lower()
    return "/".join(map(say, choice)) if isinstance(choice, tuple) else str(choice)


def parse_space(texts: Sequence[str], config: RunConfig) -> list[Dimension]:
    """Read a space for the settings' architecture.

    Without any text, both learning rates, a decade each way.

    Raises:
        ConfigError: a text is not of the grammar, names no field or one twice, or has values that
            the field cannot take.
    """
    if not texts:
        return default_space(config)
    hints = _fields(config)
    dimensions = [_dimension(text, hints, config.architecture) for text in texts]
    names = [dimension.field for dimension in dimensions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--space names {twice} twice. Give each field once.")
    return dimensions


def default_space(config: RunConfig) -> list[Dimension]:
    """Return the default space: the optimiser's learning rates, a decade below and above.

    Raises:
        ConfigError: the architecture does not learn by gradient from one loss.
    """
    training = config.training
    if objective_of(load_class(config.architecture)).without_rate:
        raise ConfigError(
            f"{config.architecture} has no learning rate among the settings of training, which a"
            f" sweep would search by default. Say what to search: --space {GRAMMAR}."
        )
    return [
        Dimension(
            field=f"training.{setting}",
            kind="float",
            low=_round(rate / DECADE),
            high=_round(rate * DECADE),
            log=True,
        )
        for setting in (rate.setting for rate in OPTIMIZERS[training.optimizer].rates)
        for rate in [getattr(training, setting)]
    ]


def apply(
    config: RunConfig, values: dict[str, Any], *, rates: frozenset[str] = frozenset()
) -> RunConfig:
    """Return the settings with the values of a point.

    One peak rate moves both, unless `rates` says that the other one was given.

    Args:
        config: the settings.
        values: by field.
        rates: the peak rates that were given beside the space.

    Raises:
        ConfigError: they contradict each other.
    """
    model = dict(config.model)
    training: dict[str, Any] = {}
    for field, value in values.items():
        section, _, name = field.partition(".")
        (model if section == "model" else training)[name] = value
    return replace(
        config, model=model, training=with_training(config.training, training, below=rates)
    )


def moves_with(space: Sequence[Dimension], config: RunConfig, rates: frozenset[str]) -> str | None:
    """Return the peak rate that is not searched and yet differs between points.

    The other one moves it. None where there is none.

    Args:
        space: its dimensions.
        config: the settings.
        rates: the peak rates that were given beside the space.
    """
    searched = {dimension.field.removeprefix("training.") for dimension in space} & set(PEAK_RATES)
    tried = [name for d in space if d.field == "training.optimizer" for name in d.choices]
    kinds = [OPTIMIZERS[name] for name in (config.training.optimizer, *tried)]
    looked_at = [{rate.setting for rate in kind.rates} for kind in kinds]
    others = sorted(name for some in looked_at if searched <= some for name in some - searched)
    return (
        None if len(searched) != 1 or not others or rates == {*others} else f"training.{others[0]}"
    )


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _fields(config: RunConfig) -> dict[str, Any]:
    """Return every field that may be searched, with its type."""
    training = field_hints(TrainingConfig, "training.")
    model = model_hints(load_class(config.architecture).Config)
    return {
        **{f"model.{name}": hint for name, hint in model.items()},
        **{
            name: hint
            for name, hint in training.items()
            if name.removeprefix("training.") not in _NOT_SEARCHED
        },
    }


def _dimension(text: str, hints: dict[str, Any], architecture: str) -> Dimension:
    given, equals, values = text.partition("=")
    if not equals or not values:
        raise ConfigError(f"--space {text!r} is not of the form {GRAMMAR}.")
    field = _field(given.strip().replace("-", "_"), hints, architecture)
    hint = _plain(hints[field])
    where = f"--space {text}"
    low, dots, rest = values.partition("..")
    if dots:
        return _range(field, hint, low, rest, where)
    choices = tuple(parse_value(hints[field], choice, where=where) for choice in values.split("|"))
    if len(choices) < 2:
        raise ConfigError(
            f"{where}: one value is no choice. Fix it with --{field.replace('_', '-')} {values}, or"
            f" write {GRAMMAR}."
        )
    if len({say(choice) for choice in choices}) < len(choices):
        raise ConfigError(f"{where}: a choice is written twice.")
    return Dimension(field=field, kind="choice", choices=choices)


def _field(name: str, hints: dict[str, Any], architecture: str) -> str:
    full = _SHORT.get(name, name if "." in name else f"model.{name}")
    if full in hints:
        return full
    section, _, inner = full.partition(".")
    if section == "training" and inner in _NOT_SEARCHED:
        raise ConfigError(
            f"training.{inner} is not searched: it is the same for all trials. Set it with"
            f" --training.{inner.replace('_', '-')}."
        )
    inside = [field.partition(".")[2] for field in hints if field.startswith(f"{section}.")]
    if not inside:
        raise ConfigError(
            f"--space {name!r} is no field: it begins with model. or"
            f" training.{nearest(name, hints)}"
        )
    elsewhere = next((field for field in hints if field.partition(".")[2] == inner), None)
    also = f" (Did you mean {elsewhere!r}?)" if elsewhere else ""
    kind = f"field of {architecture}" if section == "model" else "training setting"
    raise ConfigError(f"--space: {unknown_name(kind, inner, inside)}{also}")


def _plain(hint: Any) -> Any:
    """Return `int` for `int | None`: a range is of numbers."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [argument for argument in typing.get_args(hint) if argument is not type(None)]
        return inner[0] if len(inner) == 1 else hint
    return hint


def _range(field: str, hint: Any, low_text: str, rest: str, where: str) -> Dimension:
    if hint not in (int, float):
        names = ", ".join(allowed_names(hint))
        allowed = f" Allowed: {names}." if names else ""
        raise ConfigError(
            f"{where}: {field} is no number, so it has no range. List its values:"
            f" {field}=a|b|c.{allowed}"
        )
    high_text, colon, scale = rest.partition(":")
    low, high = (parse_value(hint, text.strip(), where=where) for text in (low_text, high_text))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"{where}: the range from {low:g} to {high:g} is empty. The first number must be the"
            " smaller one."
        )
    kind: Literal["int", "float"] = "int" if hint is int else "float"
    if not colon:
        return Dimension(field=field, kind=kind, low=low, high=high)
    if scale == "log":
        if low <= 0:
            raise ConfigError(
                f"{where}: a logarithmic range must begin above 0, and this one begins at {low:g}."
            )
        return Dimension(field=field, kind=kind, low=low, high=high, log=True)
    try:
        step = hint(scale)
    except ValueError:
        whole = " whole" if hint is int else ""
        raise ConfigError(
            f"{where}: {scale!r} is neither log nor a step, which must be a{whole} number."
        ) from None
    steps = (high - low) / step if step > 0 else math.nan
    if not (
        math.isfinite(steps) and steps > 0.5 and abs(steps - round(steps)) < 1e-9 * max(1.0, steps)
    ):
        raise ConfigError(
            f"{where}: a step of {step:g} does not lead from {low:g} to {high:g}. It must be"
            f" positive and divide {high - low:g}."
        )
    return Dimension(field=field, kind=kind, low=low, high=high, step=step)
