"""The learning curve of a run as it is drawn, raw and smoothed, from the events of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from inklings.events import EvaluationEvent, LoggedEvent, StepEvent

RAW_POINTS = 400
"""Most single steps that a raw curve keeps: what a screen can show."""
TRAINED = ("train_loss", "train_accuracy")
"""Figures of an evaluation on a part of the training text."""
WINDOWS = 30
"""Number of windows of steps that the smoothed curve is cut into."""


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean over each window of that many values, in order.

    The last window may be shorter.

    The single losses of a run make a band, not a line; their mean over windows (makemore part 5
    takes 1000 steps) shows where the run is going.
    """
    starts = np.arange(0, len(values), window)
    counts = np.diff(np.append(starts, len(values)))
    return (
        np.add.reduceat(values.astype(np.float64), starts) / counts if len(values) else np.zeros(0)
    )


def window_ends(values: np.ndarray, window: int) -> np.ndarray:
    """Return the last value of each window of `smooth`.

    Where on the axis a window's mean is drawn.
    """
    last = np.minimum(np.arange(window - 1, len(values) + window - 1, window), len(values) - 1)
    return values[last] if len(values) else values


def window_size(values: int) -> int:
    """Return how many values a window holds, for at most `WINDOWS` windows.

    It is a round number (1, 2, 5, 10, 20, 50, ...).
    """
    size = 1
    for size in (factor * 10**exponent for exponent in range(12) for factor in (1, 2, 5)):
        if size * WINDOWS >= values:
            break
    return size


def learning_curve(events: Iterable[LoggedEvent]) -> dict[str, Any]:
    """Return the columns that are drawn, from the events of a run.

    Returns:
        `every`: how many steps a line of the metrics stands for; `window`: how many steps a window
            does; and three tables of columns `step`, `tokens`, `seconds`, `loss` in nats: `raw`
            (the lines, evenly thinned to `RAW_POINTS`), `smoothed` (means over windows) and
            `validation` (every evaluation, with `accuracy`, and `train_loss` and `train_accuracy`
            of a part of the training text where it was scored too). A counted model has one
            evaluation and no steps.
    """
    steps: list[StepEvent] = []
    evaluations: list[EvaluationEvent] = []
    for event in events:
        if event["event"] == "step":
            steps.append(event)
        elif event["event"] == "evaluation":
            evaluations.append(event)
    columns = {
        name: np.array([event[name] for event in steps], dtype=np.float64)
        for name in ("step", "tokens", "seconds", "loss")
    }
    scored = [name for name in TRAINED if all(e.get(name) is not None for e in evaluations)]
    every = int(columns["step"][0]) if steps else 1
    window = window_size(len(steps))
    thin = np.unique(
        np.linspace(0, len(steps) - 1, min(RAW_POINTS, len(steps))).round().astype(int)
    )
    return {
        "every": every,
        "window": window * every,
        "raw": {name: _listed(values[thin]) for name, values in columns.items()},
        "smoothed": {
            name: _listed(smooth(values, window) if name == "loss" else window_ends(values, window))
            for name, values in columns.items()
        },
        "validation": {
            name: _listed(np.array([event.get(name) for event in evaluations], dtype=np.float64))
            for name in ("step", "tokens", "seconds", "loss", "accuracy", *scored)
        },
    }


def _listed(values: np.ndarray) -> list[float]:
    """Return numbers of six digits: enough to draw, and short in a file."""
    return [float(f"{value:.6g}") for value in values]
