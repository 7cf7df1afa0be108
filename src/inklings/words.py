"""The words that processes of one run leave for each other, outside of what they exchange.

They are kept in a store that outlives the process that left them: torchrun's, or that of process 0.
So a process learns why another ended although the two no longer talk to each other.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from inklings.errors import InklingsError, LostProcessError

GRACE = 2.0
"""Seconds that process 0 has to notice that another is lost, before one of the rest says so."""
LOOK = 1.0
"""Seconds between two looks while another process does what may take hours (preparing a text): a
signal is heeded in between.
"""


@dataclass(frozen=True, eq=False)
class Words:
    """What one process leaves for the others, and finds of theirs."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """How many processes there are."""
    store: Store | None = None
    """Where the words are kept; None in a world of one, which has nobody to tell."""

    def say_failure(self, reason: str) -> None:
        """Say why this process ends, for the one that prints."""
        if self.store is not None:
            with contextlib.suppress(RuntimeError):  # nobody is there to read it
                self.store.set(f"failed/{self.rank}", json.dumps(reason))

    def failures(self) -> Iterator[LostProcessError]:
        """Yield of each other process that said why it ended the error that tells it."""
        for rank in range(self.size):
            key = f"failed/{rank}"
            with contextlib.suppress(RuntimeError):
                if self.store is not None and rank != self.rank and self.store.check([key]):
                    yield self.ended(rank, json.loads(self.store.get(key)))

    def ended(self, rank: int, reason: str) -> LostProcessError:
        """Return the error that tells why another process ended."""
        return LostProcessError(f"process {rank} of {self.size} ended: {reason}")

    def tells_of_lost(self) -> bool:
        """Return whether this process tells people that another is lost; all that noticed ask.

        It is process 0; where that does not ask within `GRACE` seconds, the first of the others.
        """
        if self.store is None:
            return self.rank == 0
        try:
            if self.rank == 0:
                self.store.set("told", "")
                return True
            if self.store.check(["failed/0"]):  # which tells it by itself
                return False
            with contextlib.suppress(RuntimeError):  # it does not come
                self.store.wait(["told"], timedelta(seconds=GRACE))
                return False
            return self.store.add("told by another", 1) == 1
        except RuntimeError:  # what they met by is gone: each is alone
            return True

    def reach(self, place: str) -> None:
        """Say that this process came to a place."""
        assert self.store is not None
        self.store.set(f"{place}/{self.rank}", "")

    def wait_for(self, place: str, rank: int) -> None:
        """Wait until another process said that it came to a place, for as long as it takes."""
        assert self.store is not None
        while True:
            try:
                self.store.wait([f"{place}/{rank}"], timedelta(seconds=LOOK))
                return
            except dist.DistStoreError:  # not yet
                continue

    def meet(self, place: str) -> None:
        """Wait until every process came to a place."""
        self.reach(place)
        for rank in range(self.size):
            self.wait_for(place, rank)


NOBODY = Words()
"""The words of a single process, which has nobody to tell."""


def format_failure(error: BaseException) -> str:
    """Say why a process ends."""
    return str(error) if isinstance(error, InklingsError) else f"{type(error).__name__}: {error}"


def launch_store(patience: float) -> Store:
    """Return the store that torchrun keeps, or that the process 0 makes where there is none.

    Args:
        patience: seconds that it is waited for.
    """
    store: Store
    store, _, _ = next(iter(rendezvous("env://", timeout=timedelta(seconds=patience))))
    # torchrun keeps its store when it starts all again: nothing of the last time may be read
    store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    store.set_timeout(timedelta(seconds=patience))
    return store


def words_within(store: Store, rank: int, size: int) -> Words:
    """Return the words of a process in a store that serves other things too.

    Args:
        store: what the processes meet by.
        rank: number of the process.
        size: how many there are.
    """
    return Words(rank, size, PrefixStore("words", store))


def words_before_meeting() -> Words | None:
    """Return the words of the processes that torchrun started, which have not met, or not yet.

    None where there is no store of torchrun's.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    try:
        store = launch_store(GRACE)
    except (dist.DistError, RuntimeError):  # torchrun has gone
        return None
    return words_within(store, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
