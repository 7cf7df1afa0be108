"""Checkpoints of which every process writes its own part: whole or absent, read by any number."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch import Tensor

import inklings.world
from inklings.config import RunConfig
from inklings.cut_tensors import whole
from inklings.device import Runtime
from inklings.errors import DiskError, LostProcessError
from inklings.events import Event, OnEvent, silent
from inklings.runs import checkpoints
from inklings.runs.checkpoints import (
    TrainerState,
    checkpoint_path,
    checkpoint_steps,
    read_model,
    read_objective,
    write_checkpoint,
)
from inklings.runs.directory import RunDirectory
from inklings.runs.tensors.checked_files import TensorFile
from inklings.runs.tensors.parts import open_tensors
from inklings.text.store import TokenStore
from inklings.training.joining import ending_together
from inklings.training.objectives.base import make_objective
from inklings.training.setup import fresh_model
from inklings.training.train import resume, train
from inklings.world import World
from tests.built import as_sequence_model
from tests.saved_tensors import read_tensors
from tests.training.conftest import small_config
from tests.training.test_shared_steps import losses, same_bits, settings, trained, until
from tests.worlds import in_world, left_of_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are copied as POSIX does")

ConfigOf = Callable[..., RunConfig]
SLOW = pytest.mark.slow


def saved(path: Path) -> dict[str, Tensor]:
    with open_tensors(path) as tensors:
        return {name: tensors.read(name, None) for name in tensors.facts}


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=SLOW)])
def test_parts_together_are_what_the_processes_hold_together(
    optimizer: str, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    """Bit for bit, the optimiser's state included."""
    config = settings(config_of, "gpt", optimizer=optimizer, order="windows")
    model = as_sequence_model(fresh_model(config, store))

    def work(world: World) -> list[dict[str, Tensor]]:
        split = store.split("train")
        objective = make_objective(model, split, config, Runtime(), world)
        for step in range(2):
            objective.step(step, 1.0, measure=False)
        held = [model.state_dict(keep_vars=True), objective.tensors()]
        write_checkpoint(tmp_path, TrainerState(step=2), *held, architecture="gpt", world=world)
        return [{name: whole(t.detach()) for name, t in tensors.items()} for tensors in held]

    first, second = in_world(2, work, sharded=True)
    path = checkpoint_path(tmp_path, 2)
    for kind, one, other in zip(("model", "optimizer"), first, second, strict=True):
        assert same_bits(one, other)
        assert same_bits(one, saved(path / f"{kind}.safetensors"))


def test_each_process_writes_its_part_and_the_weights_of_the_run_are_one_file(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = settings(config_of, "gpt", evaluations=1, optimizer="adamw")
    trained(config, tmp_path / "run", store, 2, sharded=True)
    path = checkpoint_path(tmp_path / "run", 12)
    names = {
        f"{kind}{rest}"
        for kind in ("model", "optimizer")
        for rest in (
            ".safetensors.index.json",
            "-00001-of-00002.safetensors",
            "-00002-of-00002.safetensors",
        )
    }
    assert {file.name for file in path.iterdir()} == {"progress.json", *names}
    for kind in ("model", "optimizer"):
        held = [
            sum(tensor.numel() for tensor in read_tensors(file)[0].values())
            for file in path.glob(f"{kind}-*")
        ]
        assert len(held) == 2 and max(held) < 0.6 * sum(held)
    published = read_tensors(tmp_path / "run" / "model.safetensors")[0]
    assert same_bits(published, saved(path / "model.safetensors"))
    run = RunDirectory.open(tmp_path / "run")
    assert same_bits(run.load_model("best").state_dict(), run.load_model("last").state_dict())


@pytest.mark.parametrize(
    ("architecture", "worlds"),
    [
        ("gpt", [(2, True), (1, False)]),
        pytest.param("gpt", [(4, True), (2, True), (1, False), (2, False), (4, True)], marks=SLOW),
        pytest.param("mlp", [(4, True), (2, False), (3, True), (1, False)], marks=SLOW),
    ],
)
def test_any_number_of_processes_goes_on_by_either_strategy(
    architecture: str,
    worlds: list[tuple[int, bool]],
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    """To the losses of one process that trains it all; an odd number holds unequal parts."""
    config = settings(config_of, architecture, batch_size=12, evaluations=2)
    run = tmp_path / "run"
    for number, (size, sharded) in enumerate(worlds):
        last = number == len(worlds) - 1
        listener = silent if last else until(2 * number + 2)

        def go_on(world: World, begun: int = number, listener: OnEvent = listener) -> str:
            if begun:
                return resume(run, store=store, world=world, on_event=listener).stopped
            return train(config, run, store=store, world=world, on_event=listener).stopped

        said = in_world(size, go_on, sharded=sharded)
        assert said == ["budget" if last else "interrupted"] * size
        assert RunDirectory.open(run).check() == []
    train(config, tmp_path / "one", store=store)
    assert losses(run) == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


@pytest.fixture(scope="module")
def begun(text: Path, store: TokenStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that hold a part each, stopped between two evaluations."""
    run = tmp_path_factory.mktemp("begun") / "run"
    config = small_config(text, "mlp", budget="6-steps", evaluations=2)
    in_world(
        2,
        lambda world: train(config, run, store=store, world=world, on_event=until(4)).steps,
        sharded=True,
    )
    assert checkpoint_steps(run) == [3, 4]
    return run


@pytest.mark.parametrize(
    "name",
    [
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        pytest.param("model-00001-of-00002.safetensors", marks=SLOW),
        pytest.param("optimizer-00002-of-00002.safetensors", marks=SLOW),
        pytest.param("optimizer.safetensors.index.json", marks=SLOW),
    ],
)
@pytest.mark.parametrize("missing", [True, False])
def test_a_checkpoint_with_a_damaged_part_is_passed_over(
    name: str, missing: bool, begun: Path, store: TokenStore, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    path = checkpoint_path(run, 4) / name
    damaged = bytearray(path.read_bytes())
    path.unlink()
    if not missing:
        damaged[-20] ^= 1
        path.write_bytes(damaged)
    (problem,) = RunDirectory.open(run).check()
    assert ("is missing" if missing else "is damaged") in problem
    events: list[Event] = []
    assert resume(run, store=store, on_event=events.append).steps == 6
    assert events[0]["event"] == "note" and "goes on from step 3" in events[0]["text"]
    assert RunDirectory.open(run).check() == []


def test_a_process_reads_only_its_part(begun: Path, store: TokenStore) -> None:
    path = checkpoint_path(begun, 4)

    def work(world: World) -> int:
        directory = RunDirectory.open(begun)
        model, config = directory.build_model(), directory.record.config
        split = store.split("train")
        objective = make_objective(model, split, config, directory.runtime, world)
        read: list[int] = []
        real = TensorFile.read

        def counted(file: TensorFile, name: str, rows: slice | None = None) -> Tensor:
            found = real(file, name, rows)
            read.append(found.numel())
            return found

        setattr(TensorFile, "read", counted)  # noqa: B010
        read_model(path / "model.safetensors", model, architecture="mlp")
        objective.load(read_objective(path, objective.cut_as))
        return sum(read)

    names = ("model.safetensors", "optimizer.safetensors")
    whole = sum(tensor.numel() for name in names for tensor in saved(path / name).values())
    assert max(in_world(2, work, sharded=True)) < 0.7 * whole


@pytest.mark.parametrize("full", [pytest.param(0, marks=SLOW), 1])
def test_a_full_disk_of_one_process_ends_all_and_leaves_the_old_checkpoint(
    full: int, begun: Path, store: TokenStore, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}

    def work(world: World) -> str:
        def fail(*given: Any, **named: Any) -> Any:
            raise DiskError("the disk is full: could not write it.", "Free some space")

        if world.rank == full:
            setattr(checkpoints, "write_part", fail)  # noqa: B010
        with pytest.raises((DiskError, LostProcessError)) as ended, ending_together(world):
            resume(run, store=store, world=world)
        return str(ended.value)

    said = left_of_world(2, work, sharded=True)
    own, other = said[full], said[1 - full]
    assert own is not None and "inklings resume" in own
    assert other is not None and f"process {full} of 2 ended: the disk is full" in other
    assert "the same command goes on" in other
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == before
    assert not list(run.rglob(".*"))
    assert resume(run, store=store).steps == 6


def test_a_process_that_writes_for_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a process that is not heard of is: they hear of each other meanwhile."""
    monkeypatch.setattr(inklings.world, "LOOK", 0.1)

    def work(world: World) -> list[int]:
        heard, enough = [0], threading.Event()
        real = dist.all_reduce

        def counted(*given: Any, **named: Any) -> Any:
            heard[0] += 1
            if heard[0] > 15:
                enough.set()
            return real(*given, **named)

        setattr(dist, "all_reduce", counted)  # noqa: B010

        def write() -> int:
            assert world.rank == 0 or enough.wait(60)
            return world.rank

        return world.together(write)

    assert left_of_world(2, work, patience=1.0) == [[0, 1]] * 2


def test_what_fails_in_one_process_ends_all() -> None:
    def work(world: World) -> str:
        def fail() -> None:
            if world.rank == 1:
                raise ValueError("no such thing")

        with pytest.raises((ValueError, LostProcessError)) as ended:
            world.together(fail)
        return str(ended.value)

    said = in_world(2, work)
    assert said[0].startswith("process 1 of 2 ended: ValueError: no such thing")
    assert said[1] == "no such thing"
