"""Joining the processes that torchrun started, and ending them together.

What one process finds wrong, the process 0 tells, and all end.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store

from inklings.errors import LostProcessError, WorldError
from inklings.runs.interruption import Interruption
from inklings.text.side_thread import aside
from inklings.training.agreeing import check_alike
from inklings.words import format_failure, launch_store, words_within
from inklings.world import ALONE, PATIENCE, World

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells every process that it starts."""


@contextlib.contextmanager
def joined(*, sharded: bool = False) -> Iterator[World]:
    """Join the processes that torchrun started, within the block; without torchrun be alone.

    With `sharded`, weights and the optimiser's state are cut up among them: by torchrun also where
    there is one, whose part is the whole, to try FSDP2 on one card.

    Raises:
        WorldError: they cannot find each other, or lack what they need for it.
        LostProcessError: another process ended, or was not heard of for `PATIENCE` seconds.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 and not (sharded and "RANK" in os.environ):
        yield ALONE
        return
    world = _join(size, sharded=sharded)
    with ending_together(world):
        check_alike(world, {"the strategy": "fsdp" if sharded else "ddp"})
        yield world
        world.wait()
    dist.destroy_process_group()


@contextlib.contextmanager
def ending_together(world: World) -> Iterator[None]:
    """Tell the others why this process ends within the block, and this one why another did.

    Raises:
        LostProcessError: another process ended, or was not heard of for `PATIENCE` seconds.
    """
    try:
        yield
    except KeyboardInterrupt:
        for told in world.words.failures():  # torchrun ends all once one has failed
            raise told from None
        raise
    except Exception as error:
        with Interruption():  # the same
            lost = _lost(world, error)
            if lost is not None:
                lost.told_here = world.words.tells_of_lost()
                raise lost from error
            world.words.say_failure(format_failure(error))
        raise


def _join(size: int, *, sharded: bool) -> World:
    missing = [name for name in NEEDED if name not in os.environ]
    if missing:
        raise WorldError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set: a process is to find"
            " others and does not know where. Start them with torchrun, or unset WORLD_SIZE."
        )
    if not (dist.is_available() and dist.is_gloo_available()):
        raise WorldError(
            f"this build of torch ({torch.__version__}) has no gloo, by which processes talk to"
            " each other. Install another build, or train in one process."
        )
    rank, local_rank = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    backend = "gloo"
    if torch.cuda.is_available():
        backend = _use_own_gpu(local_rank)
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        # torch waits for the others without looking for a signal
        store = aside(lambda: _meet(backend, rank, size))
    except RuntimeError as error:
        if "EADDRINUSE" in str(error) or "in use" in str(error):
            raise WorldError(
                f"{where}, where the {size} processes are to meet, is in use by another program."
                " Give torchrun another --master-port, or --standalone on one host."
            ) from error
        raise WorldError(
            f"process {rank} of {size} on {socket.gethostname()} found no connection to the others"
            f" by {where} within {PATIENCE:.0f} s: {_first_line(error)}. Where a host has several"
            " networks, name the one to use in GLOO_SOCKET_IFNAME."
        ) from error
    return World(rank, size, local_rank, sharded, words_within(store, rank, size))


def _meet(backend: str, rank: int, size: int) -> Store:
    """Make the group of processes, for which all have to be there; return where they leave word."""
    store = launch_store(PATIENCE)
    dist.init_process_group(
        backend,
        store=PrefixStore("group", store),
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=PATIENCE),
    )
    return store


def _use_own_gpu(local_rank: int) -> str:
    """Make `cuda` mean a GPU of this process's own; return the backends."""
    here, there = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if here > there or not dist.is_nccl_available():
        # a run on the CPU may have as many processes as it likes
        return "gloo"
    torch.cuda.set_device(local_rank)
    return "cpu:gloo,cuda:nccl"


def _lost(world: World, error: Exception) -> LostProcessError | None:
    """Return what an error of an exchange says to people; None where it is of another kind."""
    text = str(error)
    if not (isinstance(error, dist.DistError) or "gloo" in text or "NCCL" in text):
        return None
    for told in world.words.failures():
        return told
    if "imed out" in text:
        return LostProcessError(
            f"process {world.rank} of {world.size} waited {PATIENCE:.0f} s for the others, and one"
            " did not answer: it hangs, or is very slow. All end; the same command goes on from"
            " the last checkpoint."
        )
    return LostProcessError(
        f"one of the {world.size} processes ended without a word: killed, perhaps because its"
        " machine ran out of memory; torchrun names it. All end; the same command goes on from the"
        " last checkpoint."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
