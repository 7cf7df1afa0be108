"""Several processes that train together, without torchrun: copies of this one, which is quick."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

from inklings.words import words_within
from inklings.world import World

T = TypeVar("T")
SECONDS = 120
"""Longest that a world may take."""


def in_world(size: int, work: Callable[[World], T], *, sharded: bool = False) -> list[T]:
    """What a function returns in each of so many processes, by rank."""

    def together(world: World) -> T:
        result = work(world)
        dist.barrier()  # none leaves while others still listen to it
        return result

    found = left_of_world(size, together, sharded=sharded)
    assert None not in found, "a process was killed"
    return [value for value in found if value is not None]


def left_of_world(
    size: int,
    work: Callable[[World], T],
    *,
    patience: float = SECONDS,
    sharded: bool = False,
) -> list[T | None]:
    """What a function returns in each of so many processes, some of which die; None for those.

    Args:
        size: how many.
        work: the function.
        patience: seconds that each waits for the others.
        sharded: whether weights are cut up among them.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        processes = [
            context.Process(target=_live, args=(Path(folder), rank, size, work, patience, sharded))
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(SECONDS if patience == SECONDS else 3 * patience)
        for process in processes:
            process.kill()
            process.join()
        failed = [path.read_text(encoding="utf-8") for path in Path(folder).glob("failed-*")]
        assert not failed, "\n".join(failed)
        said = [Path(folder) / f"said-{rank}" for rank in range(size)]
        return [pickle.loads(path.read_bytes()) if path.exists() else None for path in said]


def _live(
    folder: Path,
    rank: int,
    size: int,
    work: Callable[[World], T],
    patience: float,
    sharded: bool,
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        store = FileStore(str(folder / "store"), size)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=patience)
        )
        found = work(World(rank, size, rank, sharded, words_within(store, rank, size)))
        (folder / f"said-{rank}").write_bytes(pickle.dumps(found))
    except BaseException:
        (folder / f"failed-{rank}").write_text(traceback.format_exc(), encoding="utf-8")
    os._exit(0)
