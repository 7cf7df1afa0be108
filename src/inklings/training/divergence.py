"""The error for a loss or gradient that is no longer finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from inklings.config import TrainingConfig
from inklings.errors import DivergedError
from inklings.models.contract import Architecture
from inklings.optimizers import OPTIMIZERS

_NAMED = 5


def diverged(
    model: Architecture,
    training: TrainingConfig,
    *,
    run: Path,
    step: int,
    loss: float,
    gradient_norm: float | None,
    last_losses: Sequence[float],
    rate: float,
    checkpoint: int,
) -> DivergedError:
    """Make the error for a step whose loss or gradient is not finite.

    It says what helps to find out why.

    Args:
        model: as it is now; on a CPU the step was not taken, so what is not finite in it was so
            before.
        training: the settings.
        run: its directory.
        step: the number of the step, from 1.
        loss: of that step.
        gradient_norm: of that step, if it is known.
        last_losses: of the steps before it.
        rate: share of the peak learning rate at that step.
        checkpoint: step of the last good checkpoint.
    """
    norm = "not measured" if gradient_norm is None else f"{gradient_norm:.4g}"
    first, *more = OPTIMIZERS[training.optimizer].rates
    others = "".join(f" ({m.whose} {getattr(training, m.setting) * rate:.3g})" for m in more)
    lines = [
        f"training left the finite numbers at step {step}: loss {loss:.4g}, gradient norm {norm}.",
        f"Losses before it: {', '.join(f'{value:.4g}' for value in last_losses) or 'none'}.",
        f"Learning rate {getattr(training, first.setting) * rate:.3g}{others},"
        f" {'clipped at ' + format(training.clip, 'g') if training.clip else 'not clipped'},"
        f" {training.precision}.",
    ]
    weights = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    gradients = [
        name
        for name, p in model.named_parameters()
        if p.grad is not None and not bool(torch.isfinite(p.grad).all())
    ]
    lines.append(
        f"Weights that are not finite: {_named(weights)}. Gradients that are not finite:"
        f" {_named(gradients)}."
    )
    lines.append(
        f"The last good checkpoint is that of step {checkpoint}, in {run}; nothing after it was"
        " kept."
    )
    lower = ["a learning rate three times smaller"]
    if not training.clip:
        lower.append("--training.clip 1")
    if training.precision != "float32":
        lower.append("--training.precision float32")
    if training.warmup < 0.05:
        lower.append("--training.warmup 0.1")
    what = (
        "the loss itself is not finite: the model's logits overflow"
        if not math.isfinite(loss)
        else "the loss is finite and its gradient is not"
    )
    again = (
        f" (or from this one's best weights: `inklings train ARM --from {run}`)"
        if (run / "model.safetensors").is_file()
        else ""
    )
    lines.append(f"Most likely, {what}. Try {', or '.join(lower)}, in a new run{again}.")
    return DivergedError("\n".join(lines))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) + more) or "none"
