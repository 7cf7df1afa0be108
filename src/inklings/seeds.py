"""Seeds of torch's generators, set without the price of `torch.manual_seed`.

That one also tells devices which are not there, and formats the stack of its caller each time, in
case they appear: a model that is audited is seeded thousands of times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def seed_all(seed: int) -> None:
    """Seed torch's generators of the CPU and of the devices that are there.

    Args:
        seed: any whole number of 64 bits.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Begin torch's draws at a seed within the block.

    Afterwards those on the CPU go on as if it had not been.
    """
    with torch.random.fork_rng(devices=[]):
        seed_all(seed)
        yield
