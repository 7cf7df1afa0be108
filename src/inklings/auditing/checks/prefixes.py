"""The leak in nats: the loss of one parallel pass against that of each prefix alone.

A model that writes text has nothing but the prefix. If a parallel pass finds a text easier than
that, the difference is what it reads from the future. A broadcast from the end of the window shows
once more as a cliff: only the last position of the window has nothing to copy from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from inklings.auditing.check import Check, trained_first
from inklings.auditing.findings import Finding
from inklings.auditing.probes import LONGEST, random_tokens
from inklings.auditing.rounding import beyond_rounding
from inklings.auditing.subjects import Subject
from inklings.generation.inference import inference
from inklings.models.contract import SequenceModel
from inklings.models.objectives import has_likelihood
from inklings.text.store import TokenSplit

ALLOWED = 1e-3
"""Nats per token by which two ways to compute one loss may differ by rounding."""
ROWS = 16
POSITIONS = 32
"""Most prefixes that are computed, spread over the window."""
CLIFF_ROWS = 96


@dataclass(frozen=True)
class PrefixLosses:
    """Losses at some positions of windows of text, computed both ways.

    Nats per token, means over the rows.
    """

    positions: Int[np.ndarray, " P"]
    parallel: Float[np.ndarray, " P"]
    prefix: Float[np.ndarray, " P"]
    largest: float
    """Largest difference between the two at a single position of a single row."""

    @property
    def leak(self) -> float:
        """Nats per token that the parallel pass gains by seeing more than the prefix."""
        return float(self.prefix.mean() - self.parallel.mean())


def check_prefixes(
    model: SequenceModel, split: TokenSplit | None, *, trained: bool, seed: int = 0
) -> Finding:
    """Check that a parallel pass scores a text as its prefixes alone would.

    Args:
        model: the model; put into evaluation mode.
        split: held-out text; None takes random tokens.
        trained: whether the model is trained.
        seed: of the windows.
    """
    length = window_length(model)
    if split is not None and split.n_targets > length:
        windows, text = (
            text_windows(split, CLIFF_ROWS, length, seed).to(model.device),
            "held-out text costs",
        )
    else:
        windows, text = random_tokens(model, CLIFF_ROWS, length + 1, seed), "random tokens cost"
    losses = prefix_losses(model, windows[:ROWS])
    by_position = parallel_losses(model, windows).mean(0)
    inside = by_position[length // 2 : -1]
    cliff = float(by_position[-1] - inside.mean()) if len(inside) else 0.0
    evidence = {
        "parallel": float(losses.parallel.mean()),
        "prefix": float(losses.prefix.mean()),
        "leak": losses.leak,
        "largest": losses.largest,
        "effect": losses.largest,
        "cliff": cliff,
        "positions": losses.positions.tolist(),
        "parallel_by_position": losses.parallel.tolist(),
        "prefix_by_position": losses.prefix.tolist(),
    }
    cost = f"{text} {evidence['parallel']:.4f} nats per token in one pass"
    if losses.largest <= 10 * ALLOWED and abs(losses.leak) <= ALLOWED:
        return Finding(
            check="prefixes",
            status="pass",
            summary=f"{cost} and from prefixes alone (within {losses.largest:.0e})",
            evidence=evidence,
        )
    worth = (
        f"a leak of {losses.leak:.3f} nats per token, up to {losses.largest:.2f} at a single one"
        if trained
        else "what the leak is worth, only a trained run tells"
    )
    if trained and cliff > 0.1:
        worth += (
            f"; at the end of the window, with nothing ahead to read, the loss is {cliff:.2f} nats"
            " higher"
        )
    return Finding(
        check="prefixes",
        status="fail",
        summary=f"{cost}, {evidence['prefix']:.4f} from prefixes alone: {worth}",
        evidence=evidence,
    )


def window_length(model: SequenceModel) -> int:
    """Return the context length, or as much of it as is looked at."""
    return max(2, min(model.config.context_length, LONGEST))


def text_windows(split: TokenSplit, rows: int, length: int, seed: int = 0) -> Int[Tensor, "B T"]:
    """Return windows of `length` + 1 tokens from random places of a split.

    The last is only a target.

    Args:
        split: the text.
        rows: how many windows.
        length: of each, without the last token.
        seed: of the places.
    """
    places = np.random.default_rng(seed).integers(0, split.n_targets - length, rows)
    return torch.from_numpy(
        np.stack([split.read(int(at), int(at) + length + 1) for at in places]).astype(np.int64)
    )


def prefix_losses(model: SequenceModel, windows: Int[Tensor, "B T"]) -> PrefixLosses:
    """Compute losses at up to `POSITIONS` positions, from one pass and from each prefix alone."""
    length = windows.shape[1] - 1
    positions = np.unique(np.linspace(0, length - 1, min(POSITIONS, length)).astype(np.int64))
    parallel = parallel_losses(model, windows)[:, positions]
    prefix = torch.stack(
        [parallel_losses(model, windows[:, : at + 2])[:, -1] for at in positions.tolist()], dim=1
    )
    apart = (parallel - prefix).abs()
    largest = float(apart.max()) if bool(torch.isfinite(apart).all()) else float("inf")
    return PrefixLosses(positions, parallel.mean(0).numpy(), prefix.mean(0).numpy(), largest)


def parallel_losses(model: SequenceModel, windows: Int[Tensor, "B T"]) -> Float[Tensor, "B T1"]:
    """Return nats of every target of the windows, from one pass over all but the last token."""
    tokens, targets = windows[:, :-1], windows[:, 1:]
    starts = tokens == model.config.boundary_token
    starts[:, 0] = False
    with inference(model.modules()):
        logits = model(tokens, starts=starts if bool(starts.any()) else None).logits
    return F.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none").double().cpu()


def _run(subject: Subject) -> Finding:
    def check(model: SequenceModel) -> Finding:
        trained = model is subject.trained and subject.store is not None
        split = subject.text.split(subject.split) if trained else None
        return check_prefixes(model, split, trained=trained)

    if subject.trained is not None and not has_likelihood(subject.trained):
        return check_prefixes(subject.scrambled, None, trained=False)
    return trained_first(beyond_rounding(check))(subject)


PREFIXES: Check[Subject] = Check(
    name="prefixes",
    run=_run,
    bars_ranking=True,
    before_training=True,
    after_training=True,
)
