"""Agreeing on what several processes are about to train.

Whatever they would disagree about later is compared at the start: settings, code, text, and whether
the run can be shared at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import socket
from collections.abc import Mapping
from pathlib import Path

import torch

import inklings
from inklings.config import RunConfig, TrainingConfig
from inklings.device import bfloat16_is_fast
from inklings.errors import WorldError
from inklings.models.contract import Architecture
from inklings.runs.directory import CONFIG, RunDirectory
from inklings.runs.user_code import named_code
from inklings.training.objectives.base import objective_type
from inklings.world import World

SHOWN = 40
"""Most characters that are shown of what differs."""


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
