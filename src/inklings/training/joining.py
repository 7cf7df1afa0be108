"""Joining the processes that torchrun started, and agreeing on what they are about to train.

Whatever they would disagree about later is compared at the start: settings, code, text. What one
process finds wrong, the process 0 tells, and all end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

import inklings
from inklings.config import RunConfig, TrainingConfig
from inklings.device import bfloat16_is_fast
from inklings.errors import LostProcessError, WorldError
from inklings.models.contract import Architecture
from inklings.runs.directory import CONFIG, RunDirectory
from inklings.runs.interruption import Interruption
from inklings.runs.user_code import named_code
from inklings.text.side_thread import aside
from inklings.training.objectives.base import objective_type
from inklings.world import ALONE, GRACE, PATIENCE, World, format_failure

SHOWN = 40
"""Most characters that are shown of what differs."""
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
        for rank, reason in world.failures():  # torchrun ends all once one has failed
            raise world.ended(rank, reason) from None
        raise
    except Exception as error:
        with Interruption():  # the same
            lost = _lost(world, error)
            if lost is not None:
                lost.told_here = world.tells_of_lost()
                raise lost from error
            world.say_failure(format_failure(error))
        raise


def before_meeting() -> World | None:
    """Return the processes that torchrun started as those that leave word, before they have met.

    None where there is no store of torchrun's.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    try:
        store = _store(timedelta(seconds=GRACE))
    except (dist.DistError, RuntimeError):  # torchrun has gone
        return None
    words = PrefixStore("words", store)
    return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), store=words)


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
    return World(rank, size, local_rank, sharded, PrefixStore("words", store))


def _meet(backend: str, rank: int, size: int) -> Store:
    """Make the group of processes, for which all have to be there; return where they leave word."""
    patience = timedelta(seconds=PATIENCE)
    store = _store(patience)
    dist.init_process_group(
        backend, store=PrefixStore("group", store), rank=rank, world_size=size, timeout=patience
    )
    return store


def _store(patience: timedelta) -> Store:
    """Return the store that torchrun keeps, or that the process 0 makes where there is none."""
    store: Store
    store, _, _ = next(iter(rendezvous("env://", timeout=patience)))
    # torchrun keeps its store when it starts all again: nothing of the last time may be read
    store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    store.set_timeout(patience)
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
    for rank, reason in world.failures():
        return world.ended(rank, reason)
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


def check_alike(world: World, facts: Mapping[str, str]) -> None:
    """Make sure that something is the same in every process.

    Args:
        world: the processes.
        facts: what is compared, by the name that it has in the message.

    Raises:
        WorldError: a process has something else.
    """
    if world.size == 1:
        return
    everybody = world.gathered({**facts, "": socket.gethostname()})
    for rank, theirs in enumerate(everybody):
        first = everybody[0]
        other = [
            name for name in {**first, **theirs} if name and theirs.get(name) != first.get(name)
        ]
        if other:
            one, two = (str(facts.get(other[0]))[:SHOWN] for facts in (theirs, first))
            raise WorldError(
                f"process {rank} on {theirs['']} and process 0 on {first['']} differ in {other[0]}"
                f" ({one} and {two}). All processes of a run need the same versions, files and"
                " settings."
            )


def check_sees(world: World, path: Path) -> None:
    """Make sure that every process sees what the process 0 wrote.

    Raises:
        WorldError: one does not.
    """
    if world.size == 1:
        return
    world.wait()
    blind = [
        (rank, host)
        for rank, (sees, host) in enumerate(world.gathered((path.exists(), socket.gethostname())))
        if not sees
    ]
    if blind:
        rank, host = blind[0]
        raise WorldError(
            f"process {rank} on {host} does not see {path}, which process 0 wrote. The folder of a"
            " run has to be one that all hosts share."
        )


def check_same_code(world: World, config: RunConfig) -> None:
    """Make sure that settings and code are the same in every process, before anything is read.

    Raises:
        WorldError: a process has something else.
    """
    if world.size > 1:
        check_alike(world, _code_facts(config))


def _code_facts(config: RunConfig) -> dict[str, str]:
    ours = hashlib.sha256()
    root = Path(inklings.__file__).parent
    for path in sorted(root.rglob("*.py")):
        ours.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    theirs = hashlib.sha256()
    for name in named_code(config):
        path = Path(name.rpartition(":")[0])
        theirs.update(path.read_bytes() if path.is_file() else b"")
    return {
        "the version of torch": torch.__version__,
        "the code of Inklings": ours.hexdigest(),
        "the code of the architecture": theirs.hexdigest(),
        "whether bfloat16 is fast": str(bfloat16_is_fast("cpu")),
        "the number of GPUs": str(torch.cuda.device_count()),
        "the architecture": config.architecture,
        **{f"the setting model.{name}": repr(value) for name, value in config.model.items()},
        **{f"the setting data.{name}": repr(value) for name, value in vars(config.data).items()},
        **{
            f"the setting training.{name}": repr(value)
            for name, value in vars(config.training).items()
        },
    }


def as_given(config: RunConfig) -> RunConfig:
    """Return the settings with nothing left open that processes might choose differently.

    Each has the threads that torchrun gave it (one, unless OMP_NUM_THREADS says otherwise), and
    compiles where that was asked for.
    """
    training = config.training
    return dataclasses.replace(
        config,
        training=dataclasses.replace(
            training,
            threads=training.threads or torch.get_num_threads(),
            compile="on" if training.compile == "on" else "off",
        ),
    )


def check_shares(world: World, model: Architecture, training: TrainingConfig) -> None:
    """Make sure that a run can be shared among the processes.

    Args:
        world: the processes.
        model: what is trained.
        training: settled settings.

    Raises:
        WorldError: it cannot; the message says why, and what could.
    """
    if world.size == 1:
        return
    reason = objective_type(model).not_shared(model, training, world)
    if reason is not None:
        raise WorldError(
            f"{type(model).__name__} cannot be trained by {world.size} processes so: {reason}. One"
            " process can."
        )
    rows, parts = training.batch_size, training.accumulate
    if rows % (world.size * parts):
        least = world.size * parts
        fits = [str(n) for n in range(1, rows // parts + 1) if rows % (n * parts) == 0]
        pieces = f" in {parts} parts each" if parts > 1 else ""
        raise WorldError(
            f"{world.size} processes cannot share a batch of {rows} rows evenly{pieces}. Take"
            f" --training.batch-size {-(-rows // least) * least}, or as many processes as fit:"
            f" {', '.join(fits)}."
        )


def began_with(config: RunConfig, initial: Path | None, run: Path) -> bool:
    """Return whether a run is there that began with these settings: the same command made it.

    Args:
        config: the settings as given.
        initial: the run that was to be the beginning.
        run: the folder of the run.
    """
    if not (run / CONFIG).is_file():
        return False
    record = RunDirectory.open(run).record
    return record.given == config and record.initial == (None if initial is None else str(initial))
