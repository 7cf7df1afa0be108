"""From logits to the next token: penalties, temperature, top-k, top-p and min-p.

Every row has a random generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from inklings.errors import DivergedError
from inklings.values import check, check_types

READ_AT = 0.8
"""Temperature of texts that people read, where no other is asked for: below 1 there are fewer
slips.
"""
NOT_FINITE = "the model's logits are not finite: its weights have diverged or are damaged."


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How the next token is drawn.

    The flags of `inklings generate` are made of these fields, and a request to the server is read
    into them by name.

    Repetition, presence and frequency penalties, temperature, top-k, top-p and min-p apply in this
    order, each to what the one before left.
    """

    repetition_penalty: float = 1.0
    """Above 1, tokens that occurred become less likely: logits above 0 are divided by this, others
    multiplied (Keskar et al. 2019).
    """
    presence_penalty: float = 0.0
    """From -2 to 2: subtracted from the logits of tokens that were drawn in this text, the prompt
    aside (OpenAI's definition).
    """
    frequency_penalty: float = 0.0
    """From -2 to 2: subtracted once for each time that a token was drawn in this text."""
    temperature: float = 1.0
    """Logits are divided by this; 0 always takes the likeliest token (the first of several)."""
    top_k: int | None = None
    """Only the K likeliest tokens remain (Fan et al. 2018)."""
    top_p: float | None = None
    """Only the fewest of the likeliest tokens that together have this probability remain, at least
    one (Holtzman et al. 2020).
    """
    min_p: float | None = None
    """Only tokens at least this share as likely as the likeliest remain (Nguyen et al. 2024)."""
    ban_boundary: bool = False
    """Never draw the end of a document, so that only a length or a stop string ends a text."""
    seed: int = 0
    """Seed of the draws; text r draws from a generator of its own, seeded by (seed, r)."""

    def __post_init__(self) -> None:
        check_types(self)
        check(
            self,
            "repetition_penalty",
            0 < self.repetition_penalty < math.inf,
            "more than 0 (1 is no penalty)",
        )
        for name in ("presence_penalty", "frequency_penalty"):
            check(self, name, -2 <= getattr(self, name) <= 2, "from -2 to 2 (0 is no penalty)")
        check(
            self,
            "temperature",
            0 <= self.temperature < math.inf,
            "0 or more (0 takes the most likely token)",
        )
        check(self, "top_k", self.top_k is None or self.top_k >= 1, "at least 1, or None")
        check(self, "top_p", self.top_p is None or 0 < self.top_p <= 1, "in (0, 1], or None")
        check(self, "min_p", self.min_p is None or 0 <= self.min_p <= 1, "in [0, 1], or None")
        check(self, "seed", self.seed >= 0, "0 or more")

    @property
    def counts_draws(self) -> bool:
        """Whether it matters how often each token was drawn."""
        return self.presence_penalty != 0 or self.frequency_penalty != 0


def row_generators(seed: int, rows: Sequence[int]) -> list[torch.Generator]:
    """Make a generator for each row number.

    They live on the CPU, so that a seed means the same draws on every device.
    """
    return [
        torch.Generator().manual_seed(int(np.random.SeedSequence([seed, row]).generate_state(1)[0]))
        for row in rows
    ]


def next_token_probabilities(
    logits: Float[Tensor, "B V"],
    sampling: SamplingConfig,
    *,
    seen: Bool[Tensor, "B V"] | None = None,
    counts: Integer[Tensor, "B V"] | None = None,
    banned: int | None = None,
) -> Float[Tensor, "B V"]:
    """Return the distribution that the next token is drawn from, in float32 or better.

    Args:
        logits: (B, V).
        sampling: the settings, the same for all rows.
        seen: the tokens that the repetition penalty applies to.
        counts: how often each token was drawn, for the other penalties.
        banned: a token that gets probability zero.

    Raises:
        DivergedError: a logit is NaN or plus infinity. Minus infinity is a token that cannot come.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if not bool((logits < math.inf).all()):
        raise DivergedError(NOT_FINITE)
    # A finite floor: where nothing but the banned token is possible, the others become equally
    # likely instead of NaN.
    limits = torch.finfo(logits.dtype)
    logits = logits.clamp(min=limits.min)
    if seen is not None and sampling.repetition_penalty != 1:
        penalty = representable(sampling.repetition_penalty, limits)
        logits = torch.where(
            seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits
        )
        logits = logits.clamp(limits.min, limits.max)
    if counts is not None and sampling.counts_draws:
        logits = (
            logits - (counts > 0) * sampling.presence_penalty - counts * sampling.frequency_penalty
        )
    if banned is not None:
        logits = logits.index_fill(1, torch.tensor([banned], device=logits.device), -math.inf)
    # The greatest logit becomes 0 before the division, so no temperature, however small, makes
    # infinities meet.
    logits = logits - logits.amax(dim=1, keepdim=True)
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter_(1, logits.argmax(dim=1, keepdim=True), 1.0)
    probabilities = torch.softmax(logits / representable(sampling.temperature, limits), dim=1)
    top_k = (
        sampling.top_k if sampling.top_k is not None and sampling.top_k < logits.shape[1] else None
    )
    top_p = (
        sampling.top_p if sampling.top_p != 1 else None
    )  # all of it: rounding is to drop nothing
    if top_k is not None or top_p is not None:
        probabilities = _keep_most_likely(probabilities, top_k, top_p)
    if sampling.min_p is not None:
        probabilities = probabilities.where(
            probabilities >= sampling.min_p * probabilities.amax(dim=1, keepdim=True), 0.0
        )
    return probabilities / probabilities.sum(dim=1, keepdim=True)


def representable(factor: float, limits: torch.finfo) -> float:
    """Return the nearest factor that is neither 0 nor infinite in the logits' type.

    With those, zeros would become NaN.
    """
    return min(max(factor, limits.tiny), limits.max)


def _keep_most_likely(
    probabilities: Float[Tensor, "B V"], top_k: int | None, top_p: float | None
) -> Float[Tensor, "B V"]:
    """Set to zero all but the top-k tokens, then all outside the nucleus of what remains.

    Of equally likely tokens the one with the smaller number comes first, so exactly k remain.
    """
    ordered, order = probabilities.sort(dim=1, descending=True, stable=True)
    if top_k is not None:
        ordered[:, top_k:] = 0.0
    if top_p is not None:
        # In double precision, so that the sums do not depend on who adds them up in what order; not
        # every device has it.
        exact = ordered.cpu().double()
        kept = exact.cumsum(dim=1) - exact < top_p * exact.sum(dim=1, keepdim=True)
        kept[:, 0] = True
        ordered = ordered.where(kept.to(ordered.device), 0.0)
    return torch.zeros_like(probabilities).scatter_(1, order, ordered)


def sample_next(
    logits: Float[Tensor, "B V"],
    sampling: SamplingConfig,
    generators: Sequence[torch.Generator],
    *,
    seen: Bool[Tensor, "B V"] | None = None,
    counts: Integer[Tensor, "B V"] | None = None,
    banned: int | None = None,
) -> Int[Tensor, " B"]:
    """Draw one token for each row, on the CPU.

    Each row takes exactly one number from its own generator, whatever the other rows do.

    Args:
        logits: (B, V).
        sampling: the settings, the same for all rows.
        generators: one for each row.
        seen: as for `next_token_probabilities`.
        counts: as for `next_token_probabilities`.
        banned: as for `next_token_probabilities`.
    """
    probabilities = next_token_probabilities(
        logits, sampling, seen=seen, counts=counts, banned=banned
    )
    if sampling.temperature == 0:
        return probabilities.argmax(dim=1).cpu()
    cumulative = probabilities.cpu().double().cumsum(dim=1)
    total = cumulative[:, -1:]
    uniform = torch.stack(
        [torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators]
    )
    # Strictly below the total: the first sum that exceeds the threshold then belongs to a token
    # that is possible.
    threshold = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(1)
