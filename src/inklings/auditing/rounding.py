"""Rounding is told from a fault: computed in double precision, it is gone.

Where a model rounds (activations of eight bits), two ways to compute one number that differ in the
last digit may differ by a whole step in the end. That is no fault of the model. In double precision
hardly any number lies so near to where it is rounded that the last digit decides. A fault that is
closed in double precision alone is told by its size: a change of all weights in their last digits
does not move the logits as far.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch

from inklings.auditing.findings import Finding
from inklings.auditing.probes import logits_of, random_tokens, span
from inklings.auditing.snapshot import untouched
from inklings.models.contract import SequenceModel

LAST_DIGITS = 1e-6
"""By which share weights are changed, to see how far rounding in float32 may go."""
MORE_DIGITS = 1e-5
"""The same where a fault is gone in double precision: few numbers lie so near to where they are
rounded that less would move one.
"""
ROWS, TRIES = 32, 4
WIDE = 10.0
"""Rounding is seldom met at its worst: what is gone in double precision may be so many times what
was met.
"""


@contextlib.contextmanager
def in_double(model: SequenceModel) -> Iterator[SequenceModel]:
    """Compute in double precision within the block, with everything that the model makes anew."""
    before = torch.get_default_dtype()
    with untouched(model):
        model.double()
        torch.set_default_dtype(torch.float64)
        try:
            yield model
        finally:
            torch.set_default_dtype(before)


def rounding_of(model: SequenceModel, digits: float = LAST_DIGITS) -> float:
    """Return how far a logit moves where every weight changes in its last digits."""
    tokens = random_tokens(model, ROWS, span(model))
    expected = logits_of(model, tokens)
    largest = 0.0
    for attempt in range(TRIES):
        generator = torch.Generator().manual_seed(attempt)
        with untouched(model), torch.no_grad():
            for weight in model.parameters():
                noise = torch.randn(weight.shape, generator=generator).to(weight)
                weight.mul_(1 + digits * noise)
            largest = max(largest, float((logits_of(model, tokens) - expected).abs().max()))
    return largest


def beyond_rounding(
    check: Callable[[SequenceModel], Finding],
) -> Callable[[SequenceModel], Finding]:
    """Return the check with what rounding alone explains not counted as a failure."""

    def judged(model: SequenceModel) -> Finding:
        found = check(model)
        weights = [weight for weight in model.parameters() if weight.is_floating_point()]
        if found.holds or not weights or any(w.dtype == torch.float64 for w in weights):
            return found
        effect = found.evidence.get("effect")
        try:
            with in_double(model):
                again = check(model)
            exact = again.holds
        except Exception:  # a user's code may insist on float32
            exact = False
        if effect is None or not (exact or effect > 0):
            return found
        rounding = rounding_of(model, MORE_DIGITS if exact else LAST_DIGITS)
        if effect > (WIDE if exact else 1.0) * rounding:
            return found
        return dataclasses.replace(
            found if not exact else again,
            status="pass",
            summary=(
                f"what differs, by up to {effect:.2g}, is rounding: a change of all weights in"
                f" their last digits moves a logit by {rounding:.2g}"
                + (", and in double precision nothing differs" if exact else "")
            ),
            evidence={**found.evidence, "rounding": rounding},
        )

    return judged
