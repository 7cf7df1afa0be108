"""What each of several processes holds and sends in a step, by DDP and by FSDP2.

This follows what `inklings/world.py` has torch do, and the tests count the bytes of real processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sum", "gather", "scatter"]
WAYS = {"sum": 2, "gather": 1, "scatter": 1}
"""How often a process sends its part of what is exchanged: a sum is scattered, then gathered."""


@dataclass(frozen=True)
class StepBytes:
    """Bytes of the parts of a training step in one process that has all of the model."""

    weights: int
    units: int
    """Of those weights, what is in units (`Architecture.units`)."""
    largest_unit: int
    optimizer: int
    """What it keeps between steps."""
    matrices: int
    """Of those weights, what Muon makes orthogonal; 0 without Muon."""
    parts: int
    """In how many pieces a process computes its rows."""
    activations: int
    """Forecast for one piece."""


@dataclass(frozen=True)
class Exchange:
    """Something that all processes bring together in every step."""

    what: str
    kind: Kind
    size: int
    """Bytes of all of it."""

    def sent(self, processes: int) -> float:
        """Return the bytes that each process sends, in a ring."""
        return WAYS[self.kind] * self.size * (processes - 1) / processes


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one process has and does by one strategy; bytes and seconds."""

    strategy: str
    refused: str | None = None
    """Why the strategy cannot train this model; then the rest is 0."""
    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    exchanged: int = 0
    """Room for what is sent, and for whole weights and gradients where they are cut up."""
    activations: int = 0
    memory: int = 0
    """All of these."""
    fits: bool = False
    sent: int = 0
    """By each process, in a step."""
    sending_seconds: float = 0.0
    """At the full speed of the interconnect, as if nothing were computed meanwhile."""


def exchanges(sizes: StepBytes, *, sharded: bool) -> list[Exchange]:
    """Return what is exchanged in a step; single numbers are left out."""
    orthogonal = [Exchange("Muon's matrices", "sum", sizes.matrices)] if sizes.matrices else []
    if not sharded:
        return [Exchange("gradients", "sum", sizes.weights), *orthogonal]
    momentum = [Exchange("momentum", "gather", sizes.matrices)] if sizes.matrices else []
    return [
        # for each piece; units are dropped after the way forward, and come again for the way back
        Exchange("weights", "gather", sizes.parts * (sizes.weights + sizes.units)),
        Exchange("gradients", "scatter", sizes.parts * sizes.weights),
        *momentum,
        *orthogonal,
    ]


def holding_of(
    sizes: StepBytes, processes: int, *, sharded: bool, memory: float, interconnect: float
) -> Holding:
    """Compute what one of several processes holds and sends.

    Args:
        sizes: of the whole model.
        processes: how many.
        sharded: whether weights are cut up among them.
        memory: bytes that a process has.
        interconnect: bytes a second that it sends.
    """
    kept = processes if sharded else 1
    weights, optimizer = sizes.weights // kept, sizes.optimizer // kept
    # DDP packs gradients into buffers of their size. FSDP2 has whole weights, their gradients and a
    # buffer of these of what is in no unit, and of one unit, while the next one comes
    common = sizes.weights - sizes.units
    several = sizes.weights if processes > 1 else 0
    exchanged = 3 * common + 4 * sizes.largest_unit if sharded else several
    held = 2 * weights + optimizer + exchanged + sizes.activations
    sent = sum(one.sent(processes) for one in exchanges(sizes, sharded=sharded))
    return Holding(
        strategy="fsdp" if sharded else "ddp",
        weights=weights,
        gradients=weights,
        optimizer=optimizer,
        exchanged=exchanged,
        activations=sizes.activations,
        memory=held,
        fits=held <= memory,
        sent=round(sent),
        sending_seconds=sent / interconnect,
    )
