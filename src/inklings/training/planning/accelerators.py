"""Accelerators by name, with the figures of their makers' data sheets: a line for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inklings.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Accelerator:
    """One card. Products are dense ones: data sheets also give twice that, for sparse matrices."""

    name: str
    memory: float
    """GB (10^9 bytes)."""
    bfloat16: float | None
    """TFLOP/s of products in bfloat16, added up in float32; None where it has no units for it."""
    float32: float
    """TFLOP/s of products in float32, which torch computes without TF32 unless it is told to."""
    bandwidth: float
    """GB/s of its memory."""
    interconnect: float
    """GB/s that it sends to the others of its host, in one direction: NVLink, else PCI Express."""

    def peak(self, precision: str) -> float:
        """Return FLOP/s of products in `float32` or `bfloat16`.

        Raises:
            ConfigError: it has no units for that.
        """
        if precision == "float32":
            return self.float32 * 1e12
        if self.bfloat16 is None:
            raise ConfigError(
                f"{self.name} has no units for bfloat16. Take --training.precision float32."
            )
        return self.bfloat16 * 1e12


# SXM modules where there are several kinds, and the A100 of 80 GB
# name, GB, TFLOP/s in bfloat16, in float32, GB/s of memory, GB/s to the others
ACCELERATORS = {
    card.name: card
    for card in (
        Accelerator("V100", 32, None, 15.7, 900, 150),
        Accelerator("A100-40", 40, 312, 19.5, 1555, 300),
        Accelerator("A100", 80, 312, 19.5, 2039, 300),
        Accelerator("H100", 80, 989, 67, 3350, 450),
        Accelerator("H200", 141, 989, 67, 4800, 450),
        Accelerator("B200", 180, 2250, 75, 8000, 900),
        Accelerator("L4", 24, 121, 30.3, 300, 32),
        Accelerator("RTX4090", 24, 165, 82.6, 1008, 32),
    )
}


def known_card(name: str) -> Accelerator | None:
    """Return the accelerator that a driver calls so (`NVIDIA H100 80GB HBM3`), if it is known.

    Cards for PCI Express are slower than modules of the same name, and are not in the table.
    """
    words = re.split(r"[\s-]+", name.replace("RTX ", "RTX"))
    if {"PCIe", "PCIE", "NVL"}.intersection(words):
        return None
    found = [card for card in ACCELERATORS.values() if card.name in words]
    return found[0] if found else None


@dataclass(frozen=True)
class Machine:
    """So many cards of one kind, in one host."""

    accelerator: Accelerator
    count: int = 1

    def __str__(self) -> str:
        return f"{self.count} x {self.accelerator.name}"


MOST = 99_999
"""Most accelerators of one machine."""


def parse_machine(text: str) -> Machine:
    """Read `H100`, `8xH100` or `8 x H100`, in any case.

    Raises:
        ConfigError: no such accelerator is known, or the number is none.
    """
    given = re.fullmatch(r"\s*(?:(-?\d{1,9})\s*[xX*]\s*)?(\S.*?)\s*", text)
    names = {name.lower(): name for name in ACCELERATORS}
    name = None if given is None else names.get(re.sub(r"[\s_]", "", given[2]).lower())
    count = 1 if given is None or given[1] is None else int(given[1])
    if name is None:
        wrong = text if given is None else given[2]
        raise ConfigError(f"{unknown_name('accelerator', wrong, ACCELERATORS)} Several: 8xH100.")
    if not 1 <= count <= MOST:
        raise ConfigError(f"{text!r}: a machine has 1 to {MOST:,} accelerators, as in 8xH100.")
    return Machine(ACCELERATORS[name], count)
