"""The learning-rate range test.

Raise the rate step by step and see where the loss turns (Smith 2017).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from inklings.config import RunConfig
from inklings.device import threads_of
from inklings.errors import ConfigError, InklingsError
from inklings.events import OnEvent, silent
from inklings.models.objectives import objective_of
from inklings.models.registry import load_class
from inklings.optimizers import OPTIMIZERS
from inklings.text.store import TokenStore
from inklings.training.loop import seed_step
from inklings.training.objectives.base import make_objective
from inklings.training.setup import set_up

LOWEST = 1e-5
HIGHEST = 10.0
STEPS = 300
SMOOTHING = 0.9
"""Weight of the past in the running mean of the loss, corrected for its start."""
GIVE_UP = 1.5
"""The test ends when the smoothed loss is this many times its minimum."""


@dataclass(frozen=True)
class LearningRates:
    """The curve of a range test, and the rates that it suggests."""

    learning_rates: list[float]
    """Learning rates of AdamW or SGD, rising by a constant factor."""
    losses: list[float]
    """Smoothed, in nats per token."""
    turning_point: float
    """The rate at which the smoothed loss was lowest."""
    suggestion: float
    """A tenth of the turning point, for `learning_rate`."""
    matrix_suggestion: float | None
    """For `matrix_learning_rate`, which rose in proportion; None where the optimiser does not use
    it.
    """
    suggestions: dict[str, float]
    """For every peak rate that the optimiser uses."""


def find_lr(
    config: RunConfig,
    *,
    store: TokenStore | None = None,
    initial: Path | None = None,
    extend_vocabulary: bool = False,
    trust_code: bool = False,
    steps: int = STEPS,
    on_event: OnEvent = silent,
) -> LearningRates:
    """Train a copy of the model for some hundred steps at rising rates; nothing is written.

    Both rates rise together, in the proportion that the settings have. Past the turning point steps
    overshoot; a tenth of it leaves room for the rest of the run, where the loss is less smooth than
    at its start.

    Args:
        config: settings of the run.
        store: the prepared text; None prepares `config.data`.
        initial: the run whose best weights, tokenizer and model settings are the beginning.
        extend_vocabulary: add new characters of the training part to that run's tokenizer.
        trust_code: run the Python code of `initial` even if another user or machine made it.
        steps: how many steps the test makes.
        on_event: called with every event as it happens.

    Raises:
        InputError: as in `train`, or the architecture has no learning rate.
        InklingsError: the loss never fell.
    """
    refused = objective_of(load_class(config.architecture)).without_rate
    if refused:
        raise ConfigError(f"{config.architecture} {refused}")
    setup = set_up(
        config,
        store=store,
        initial=initial,
        extend_vocabulary=extend_vocabulary,
        on_event=on_event,
        trust_code=trust_code,
    )
    training = setup.record.config.training
    model = copy.deepcopy(setup.model).train()
    rates: list[float] = []
    losses: list[float] = []
    with threads_of(setup.runtime), torch.random.fork_rng(devices=[]):
        objective = make_objective(
            model, setup.store.split("train"), setup.record.config, setup.runtime
        )
        mean = 0.0
        for step in range(steps):
            rate = LOWEST * (HIGHEST / LOWEST) ** (step / max(1, steps - 1))
            seed_step(training.seed, step)
            made = objective.step(step, rate / training.learning_rate, measure=False)
            assert made.loss is not None
            loss = float(made.loss)
            if not (made.moved and math.isfinite(loss)):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            rates.append(rate)
            losses.append(mean / (1 - SMOOTHING ** (step + 1)))
            on_event(
                {
                    "event": "find_lr",
                    "step": step + 1,
                    "steps": steps,
                    "learning_rate": rate,
                    "loss": losses[-1],
                }
            )
            if losses[-1] > GIVE_UP * min(losses):
                break
    lowest = min(range(len(losses)), key=losses.__getitem__, default=0)
    if lowest == 0:
        raise InklingsError(
            f"the loss never fell at rates from {LOWEST:g}: there is nothing to suggest. Look at"
            " the text (`inklings prepare`)."
        )
    suggestion = rates[lowest] / 10
    suggestions = {
        rate.setting: suggestion * (getattr(training, rate.setting) / training.learning_rate)
        for rate in OPTIMIZERS[training.optimizer].rates
    }
    return LearningRates(
        learning_rates=rates,
        losses=losses,
        turning_point=rates[lowest],
        suggestion=suggestion,
        matrix_suggestion=suggestions.get("matrix_learning_rate"),
        suggestions=suggestions,
    )
