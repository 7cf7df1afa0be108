"""The flag by which trackers of experiments are told of the work."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated

import tyro

LogTo = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(
        name="log-to",
        metavar="TRACKER",
        help=(
            "Tell a tracker of experiments of every figure as it comes: tensorboard, trackio,"
            " mlflow or wandb; may be given again. What it writes is in a folder `trackers`, beside"
            " the run or among many runs."
        ),
    ),
]
"""The trackers that are told of the work."""


def warn_of_trackers(log_to: Sequence[str]) -> None:
    """Warn where trackers were named, and no run is made that they could be told of."""
    if log_to:
        warnings.warn(f"--log-to {' '.join(log_to)} is ignored: no run is made here.", stacklevel=2)
