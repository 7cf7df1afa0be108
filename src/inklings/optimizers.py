"""What moves the weights, by name: which settings each optimiser looks at, and its peak rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inklings.registry import Registry

PEAK_RATES = {"learning_rate": 0.01, "matrix_learning_rate": 0.03}
"""The settings that are peak rates, and their values where none is given."""


@dataclass(frozen=True, kw_only=True)
class PeakRate:
    """A setting of training that is the peak rate of a part of the weights."""

    setting: str
    whose: str
    """The optimiser's name for people: `Muon`."""
    default: float
    """The rate where none is given. One that is given moves the others, in the ratio of the
    defaults.
    """


@dataclass(frozen=True, kw_only=True)
class OptimizerKind:
    """Everything that the rest of the code asks about an optimiser."""

    name: str
    about: str
    """A clause for the help of `--training.optimizer`."""
    rates: tuple[PeakRate, ...]
    """Its peak rates; the first one is shown in the training log."""
    uses: tuple[str, ...]
    """The settings beside its rates that not every optimiser looks at."""
    state_bytes: int
    """Most bytes that it keeps for a parameter."""
    make: Callable[[Any], Sequence[Any]]
    """Makes torch's optimisers from a `ParameterGroups`; they share its parameters."""


OPTIMIZERS: Registry[OptimizerKind] = Registry(
    "optimizer",
    {
        "muon": "inklings.training.optimizers.muon:MUON",
        "adamw": "inklings.training.optimizers.adamw:ADAMW",
        "sgd": "inklings.training.optimizers.sgd:SGD",
    },
)
"""Every optimiser by its name."""


def peak_rates(optimizer: str) -> dict[str, float]:
    """Return the default of every peak rate, those that the optimiser ignores included."""
    return {**PEAK_RATES, **{rate.setting: rate.default for rate in OPTIMIZERS[optimizer].rates}}


def moved_rates(
    rates: Mapping[str, float],
    given: Mapping[str, float],
    *,
    optimizer: str,
    below: frozenset[str] = frozenset(),
) -> dict[str, float]:
    """Return all peak rates after none, one or several were given.

    A rate that is given alone moves the others in their ratio, unless another was given alone in
    the layer below (a file under flags, say): then both are given. A rate that the optimiser does
    not use moves nothing.

    Args:
        rates: all rates of the layer below.
        given: those that this layer gives.
        optimizer: the one that will use them.
        below: those that the latest layer with rates gave.
    """
    made = {**rates, **given}
    if len(given) != 1:
        return made
    (name,) = given
    if name in {rate.setting for rate in OPTIMIZERS[optimizer].rates}:
        for other in rates.keys() - {name} - (below if len(below) == 1 else set()):
            # 0.00015, and no 0.000150...01
            made[other] = float(f"{rates[other] * (given[name] / rates[name]):.12g}")
    return made
