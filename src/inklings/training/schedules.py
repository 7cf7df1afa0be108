"""Learning-rate schedules: the share of the peak rate at each step, a pure function of the step."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "step", "linear", "cosine", "wsd"]


def rate_at(
    step: int,
    steps: int,
    *,
    schedule: Schedule,
    warmup: float = 0.0,
    decay_from: float = 0.5,
    final_rate: float = 0.0,
) -> float:
    """Return the learning rate of a step as a share of the peak.

    What falls would reach `final_rate` at step `steps`, so the last step that is made still moves.
    The warm-up ends at the peak, and its first step is not zero.

    Args:
        step: its number, from 0.
        steps: of the whole run.
        schedule: `constant`; `step` (a tenth from `decay_from` on); `linear` and `cosine` (fall
            from the end of the warm-up); `wsd` (warm-up, stable, decay: constant until
            `decay_from`, then linear).
        warmup: share of the steps (or their number, from 1 on) in which the rate rises linearly.
        decay_from: share of the steps after which `step` and `wsd` fall.
        final_rate: share of the peak at the end of the run.
    """
    warmup_steps = warm_steps(warmup, steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    decay_start = decay_from * steps
    if schedule == "step":
        return 1.0 if step < decay_start else 0.1
    begin = max(float(warmup_steps), decay_start) if schedule == "wsd" else float(warmup_steps)
    if step <= begin:
        return 1.0
    progress = (step - begin) / (steps - begin)
    shape = 0.5 * (1 + math.cos(math.pi * progress)) if schedule == "cosine" else 1 - progress
    return final_rate + (1 - final_rate) * shape


def warm_steps(warmup: float, steps: int) -> int:
    """Return the number of steps in which the rate rises."""
    return int(warmup) if warmup >= 1 else math.ceil(warmup * steps)
