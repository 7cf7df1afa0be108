"""Whether an exported model predicts what the run does, on held-out text of the run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from inklings.interop.exports.target import Reader
from inklings.models.contract import SequenceModel
from inklings.models.opening import opened
from inklings.text.store import TokenSplit

TOKENS = 8192
"""Tokens of held-out text that both models read."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was compared, and how far the two models were apart."""

    source: str
    split: str
    rows: int
    tokens: int
    row_length: int
    """Tokens of the longest row."""
    largest_difference: float
    """The most that a logit of the one differs from that of the other."""
    largest_logit: float
    """The size of the largest logit, which rounding grows with."""
    same_choice: float
    """Share of the positions at which both find the same token the most likely."""
    loss: float
    """Nats per token of the run's model on these rows."""
    loss_there: float
    """The same of the exported model."""
    tolerance: float | None
    """How far a logit may be off, as a share of one plus the largest; None where any is stated."""

    @property
    def allowed(self) -> float | None:
        """Most that a logit may differ; None where any difference is stated."""
        return None if self.tolerance is None else self.tolerance * (1.0 + self.largest_logit)

    @property
    def holds(self) -> bool:
        """Whether the exported model is the run's; never where a number is NaN."""
        if self.allowed is None:
            return math.isfinite(self.largest_difference)
        return self.largest_difference <= self.allowed

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "allowed": self.allowed}

    def __str__(self) -> str:
        allowed = "" if self.allowed is None else f"allowed: {self.allowed:.1e}; "
        return (
            f"logits differ by {self.largest_difference:.1e} at most ({allowed}"
            f"their size: up to {self.largest_logit:.1f}) on {self.tokens:,} tokens of the"
            f" {self.split} text of {self.source}, in rows of {self.row_length:,}; the most likely"
            f" token is the same at {self.same_choice:.2%} of them"
        )


def compare_logits(
    model: SequenceModel,
    reader: Reader,
    split: TokenSplit,
    *,
    row_length: int,
    named: str,
    tolerance: float | None,
) -> Agreement:
    """Let both models read the beginning of a split, each row as one text.

    Args:
        model: the run's.
        reader: the exported one.
        split: held-out text, of two tokens or more.
        row_length: tokens of a row.
        named: the source of the text.
        tolerance: how far a logit may be off, as a share of one plus the largest; None for any.
    """
    differences, sizes, losses, same, count = [], [], [], 0, 0
    for row in _rows(split, row_length):
        with torch.no_grad():
            one, other = model(row).logits, reader.logits(opened(row, model.config))
        differences.append(float((one - other).abs().max()))
        sizes.append(float(one.abs().max()))
        losses.append([len(row[0]) - 1, _nats(one, row), _nats(other, row)])
        same += int((one.argmax(-1) == other.argmax(-1)).sum())
        count += row.numel()
    targets, nats, nats_there = np.sum(losses, axis=0)
    return Agreement(
        source=named,
        split="validation",
        rows=len(losses),
        tokens=count,
        row_length=min(row_length, count),
        largest_difference=float(np.max(differences)),  # NaN if one is
        largest_logit=float(np.max(sizes)),
        same_choice=same / count,
        loss=float(nats / targets),
        loss_there=float(nats_there / targets),
        tolerance=tolerance,
    )


def _rows(split: TokenSplit, length: int) -> Iterator[Int[Tensor, "1 T"]]:
    """Yield consecutive rows; the last is left out where it is no more than a token."""
    end = min(len(split.tokens), max(TOKENS, length))
    for start in range(0, end - 1, length):
        tokens = split.read(start, min(start + length, end)).astype(np.int64)
        if len(tokens) > 1:
            yield torch.from_numpy(tokens)[None]


def _nats(logits: Float[Tensor, "1 T V"], row: Int[Tensor, "1 T"]) -> float:
    return float(F.cross_entropy(logits[0, :-1], row[0, 1:], reduction="sum"))
