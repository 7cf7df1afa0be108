"""Processes that die, hang or cannot find each other: the others end, with the reason."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, TCPStore

import inklings.words
from inklings.cli import resume as resume_verb
from inklings.cli.main import main
from inklings.config import RunConfig
from inklings.errors import LostProcessError, OutOfMemoryError, WorldError
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore, prepare
from inklings.training import joining, loop
from inklings.training.agreeing import began_with, check_sees
from inklings.training.joining import ending_together, joined
from inklings.training.train import resume, train
from inklings.words import Words
from inklings.world import ALONE, World
from tests.worlds import in_world, left_of_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")

ConfigOf = Callable[..., RunConfig]


EXCHANGES = ("all_reduce", "all_gather", "barrier")
"""Calls of torch by which processes exchange."""
WRITTEN = ("all_gather",)
"""Those while a checkpoint is written, and not in every step."""


class Mortal:
    """Kills its process before or after a call: of those that write, and those that exchange."""

    def __init__(self, fatal: int, exchanges: tuple[str, ...] = EXCHANGES) -> None:
        self.calls, self.fatal = 0, fatal
        for owner, names in (
            (os, ("fsync", "rename", "replace", "unlink", "mkdir", "rmdir")),
            (dist, exchanges),
        ):
            for name in names:
                setattr(owner, name, self._guard(getattr(owner, name)))

    def _guard(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.calls += 1
            turn = self.calls == self.fatal  # a call may make others
            if turn and self.fatal % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*given, **named)
            finally:
                if turn:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call


def command(config: RunConfig, run: Path, store: TokenStore, world: World) -> str:
    """What `inklings train` does under torchrun: go on, where the same command began."""
    try:
        with ending_together(world):
            if world.told(world.leads and began_with(config, None, run)):
                return resume(run, store=store, world=world).stopped
            return train(config, run, store=store, world=world).stopped
    except LostProcessError as error:
        return str(error)


def weights(run: Path) -> dict[str, torch.Tensor]:
    model = RunDirectory.open(run).load_model("last")
    return dict(model.named_parameters())


def moments(
    config: RunConfig,
    store: TokenStore,
    folder: Path,
    count: int,
    *,
    exchanges: tuple[str, ...],
    sharded: bool,
) -> list[list[int]]:
    """For each process, numbers of calls spread evenly over all that it makes in a run."""

    def counted(world: World) -> int:
        mortal = Mortal(0, exchanges)
        command(config, folder / "counted", store, world)
        return mortal.calls

    return [
        sorted({1 + (2 * at + 1) * calls // (2 * count) for at in range(count)})
        for calls in in_world(2, counted, sharded=sharded)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed", "count", "sharded"),
    [(0, 10, False), (1, 10, False), (0, 20, True), (1, 20, True)],
)
def test_a_run_goes_on_whichever_process_was_killed_at_any_moment(
    killed: int, count: int, sharded: bool, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    """The other ends with the reason, and the same command ends the run.

    Where each process writes its part of a checkpoint, the moments are those of these writes.
    """
    config = config_of("mlp", budget="6-steps", evaluations=2)
    exchanges = WRITTEN if sharded else EXCHANGES

    def begun(run: Path) -> list[str]:
        return in_world(2, lambda world: command(config, run, store, world), sharded=sharded)

    whole = tmp_path / "whole"
    assert begun(whole) == ["budget"] * 2
    found = moments(config, store, tmp_path, count, exchanges=exchanges, sharded=sharded)
    for fatal in found[killed]:
        run = tmp_path / f"killed-{fatal}"

        def mortally(world: World, run: Path = run, fatal: int = fatal) -> str:
            if world.rank == killed:
                Mortal(fatal, exchanges)
            return command(config, run, store, world)

        left = left_of_world(2, mortally, sharded=sharded)
        assert left[killed] is None, "it was killed"
        assert left[1 - killed] == "budget" or "without a word" in str(left[1 - killed])
        assert begun(run) == ["budget"] * 2
        for name, tensor in weights(whole).items():
            assert torch.equal(tensor, weights(run)[name]), fatal
        assert RunDirectory.open(run).check() == []
        assert not list(run.rglob(".*.tmp"))


def test_why_a_process_ended_is_told_by_the_others(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    def work(world: World) -> str:
        def fail(*given: Any) -> None:
            raise OutOfMemoryError("no room for a step.")

        if world.rank == 1:
            setattr(loop, "seed_step", fail)  # noqa: B010
        with pytest.raises((LostProcessError, OutOfMemoryError)) as ended, ending_together(world):
            train(config_of("mlp"), tmp_path / "run", store=store, world=world)
        return str(ended.value)

    first, second = left_of_world(2, work)
    assert first == "process 1 of 2 ended: no room for a step."
    assert second == "no room for a step."


def test_a_process_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 1.0)

    def work(world: World) -> str:
        if world.rank == 1:
            signal.raise_signal(signal.SIGSTOP)
        with pytest.raises(LostProcessError) as ended, ending_together(world):
            world.wait()
        return str(ended.value)

    first, second = left_of_world(2, work, patience=1.0)
    assert "waited 1 s for the others" in str(first) and second is None


def test_another_tells_where_process_0_is_the_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 1.0)
    monkeypatch.setattr(inklings.words, "GRACE", 0.5)

    def told(lost: int) -> list[bool | None]:
        def work(world: World) -> bool:
            if world.rank == lost:
                signal.raise_signal(signal.SIGSTOP)
            with pytest.raises(LostProcessError) as ended, ending_together(world):
                world.wait()
            return ended.value.told_here

        return left_of_world(3, work, patience=1.0)

    assert told(2) == [True, False, None]
    first, *rest = told(0)
    assert first is None and sorted(map(bool, rest)) == [False, True], "one, and only one"


def test_what_another_tells_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for told_here in (False, True):

        def lose(rest: list[str], told_here: bool = told_here) -> int:
            lost = LostProcessError("one did not answer.")
            lost.told_here = told_here
            raise lost

        monkeypatch.setattr(resume_verb, "main", lose)
        assert main(["resume", "runs/mine"]) == 1
        assert ("one did not answer." in capfd.readouterr().err) == told_here


def test_the_end_that_torchrun_sends_then_does_not_hide_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tells(words: Words) -> bool:
        signal.raise_signal(signal.SIGTERM)
        return True

    def interrupt(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Words, "tells_of_lost", tells)
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with pytest.raises(LostProcessError) as ended, ending_together(ALONE):
            raise RuntimeError("gloo: Connection closed by peer")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.told_here


def test_who_is_interrupted_because_another_failed_says_that() -> None:
    store = HashStore()
    here, there = (World(rank, 2, words=Words(rank, 2, store)) for rank in (0, 1))
    with pytest.raises(KeyboardInterrupt), ending_together(here):
        raise KeyboardInterrupt
    there.words.say_failure("the disk is full.")
    with (
        pytest.raises(LostProcessError, match="process 1 of 2 ended: the disk is full"),
        ending_together(here),
    ):
        raise KeyboardInterrupt


def test_what_process_0_says_of_itself_nobody_else_says() -> None:
    store = HashStore()
    here, there = (Words(rank, 2, store) for rank in (0, 1))
    here.say_failure("the run is there already.")
    assert not there.tells_of_lost()


def test_what_is_wrong_before_processes_have_met_is_told_by_process_0(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun's
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(kept.port), "WORLD_SIZE": "2"}
    for name, value in {**given, "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)

    def interrupted(rest: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(resume_verb, "main", interrupted)
    monkeypatch.setenv("RANK", "0")
    assert main(["resume", "runs/mine"]) == 1
    assert "interrupted" in capfd.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert main(["evaluate", "runs/mine"]) == 2
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    assert main(["resume", "runs/mine"]) == 1
    said = capfd.readouterr().err
    assert "process 1 of 2 ended: torchrun started 2 processes" in said
    assert "interrupted" not in said
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")  # nothing of the last time is read
    assert main(["resume", "runs/mine"]) == 1
    assert "interrupted" in capfd.readouterr().err


def test_a_folder_that_not_all_see_is_told(tmp_path: Path) -> None:
    (tmp_path / "0").touch()

    def work(world: World) -> str:
        with pytest.raises(WorldError) as refused:
            check_sees(world, tmp_path / str(world.rank))
        return str(refused.value)

    first, second = in_world(2, work)
    assert "process 1 on" in first and "does not see" in first and "process 1 on" in second


def test_processes_that_see_other_text_are_told_apart(
    config_of: ConfigOf, store: TokenStore, text: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text(text.read_text(encoding="utf-8").replace("elton", "altan"), encoding="utf-8")
    config = config_of("mlp")
    changed = prepare(replace(config.data, source=str(other)))

    def work(world: World) -> str:
        with pytest.raises(WorldError) as refused:
            given = changed if world.rank else store
            train(config, tmp_path / "run", store=given, world=world)
        return str(refused.value)

    assert ["differ in the text" in said for said in in_world(2, work)] == [True, True]
    assert not (tmp_path / "run").exists()


def launch(monkeypatch: pytest.MonkeyPatch, **given: str) -> str:
    """What is wrong with processes that were told so much."""
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WorldError) as refused, joined():
        pass
    return str(refused.value)


def test_what_torchrun_would_have_told_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = launch(monkeypatch, WORLD_SIZE="2", RANK="0")
    assert "MASTER_ADDR, MASTER_PORT is not set" in said and "torchrun" in said


def test_a_build_without_gloo_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_gloo_available", lambda: False)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    assert "no gloo" in launch(monkeypatch, WORLD_SIZE="2", RANK="0", **where)


def test_a_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 1.0)
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        said = launch(monkeypatch, WORLD_SIZE="2", RANK="0", **where)
    assert f"127.0.0.1:{port}" in said and "--master-port" in said


def test_processes_that_never_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    said = launch(monkeypatch, WORLD_SIZE="2", RANK="0", **where)
    assert "found no connection to the others" in said and "within 1 s" in said
