"""Which weights a run is served with, while it is trained too, and what is said of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from inklings.cli.main import main
from inklings.errors import ConfigError, RunError
from inklings.models.contract import Architecture
from inklings.runs import checkpoints
from inklings.runs.checkpoints import TrainerState, checkpoint_path, checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import locked
from inklings.serving.api.routes.models import _card
from inklings.serving.process import current_weights
from inklings.serving.process.current_weights import format_progress, load_current
from inklings.serving.process.model_loader import ServedModel, Spec
from tests.commands import TINY, words

if TYPE_CHECKING:
    from inklings.serving.process.process_pool import Served

ARM = "gpt:n_layer=1,n_head=2,n_embd=8,context_length=16"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, of which the second was evaluated best."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text(words(100))
    settings = ["--tokenizer", "byte", "--budget", "4-steps", "--training.batch-size", "4"]
    where = ["--data", str(folder / "words.txt"), "--run", str(folder / "run")]
    assert main(["train", ARM, *where, *TINY, *settings]) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunDirectory:
    """A copy of it, extended to a hundred steps."""
    shutil.copytree(trained, tmp_path / "run")
    opened = RunDirectory.open(tmp_path / "run")
    return opened.extended(budget="100-steps", steps=100, from_step=4)


def write(run: RunDirectory, step: int, *, keep: int = 2) -> None:
    """Write a checkpoint as training does; all its weights are the step's number."""
    model = run.build_model()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, float(step))
    architecture = run.config.architecture
    checkpoints.write_checkpoint(
        run.path, TrainerState(step=step), model.state_dict(), {}, architecture=architecture
    )
    checkpoints.prune_checkpoints(run.path, keep=keep, best_step=None)


def value_of(model: Architecture) -> float:
    """The number that all its weights are."""
    values = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert (values == values[0]).all(), "weights of one checkpoint alone"
    return float(values[0])


def spec(run: RunDirectory) -> Spec:
    return Spec(
        name="it", run=str(run.path), rows=2, precision="float32", workers=1, trust_code=False
    )


def test_a_run_that_is_trained_is_served_with_its_newest_checkpoint(run: RunDirectory) -> None:
    write(run, 7)
    best = ServedModel(spec(run)).card()
    assert (best.weights, best.step, format_progress(best, run.path)) == ("best", 4, None)
    with locked(run.path):
        served = ServedModel(spec(run))
        card = served.card()
        assert (card.weights, card.step, card.steps) == ("newest", 7, 100)
        assert value_of(served.model) == 7 and not served.model.training
        assert format_progress(card, run.path) == "step 7 of 100, still training"
    assert format_progress(card, run.path) == "step 7 of 100", "training ended meanwhile"


def test_a_run_that_was_never_evaluated_is_served_with_what_there_is(run: RunDirectory) -> None:
    write(run, 7)
    (run.path / "model.safetensors").unlink()
    current = load_current(run)
    assert (current.weights, current.step, value_of(current.model)) == ("newest", 7, 7)
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(RunError, match="has not been evaluated yet"):
        load_current(run)


def test_the_list_of_models_says_which_step_is_served(run: RunDirectory) -> None:
    write(run, 7)
    with locked(run.path):
        card = ServedModel(spec(run)).card()
        served = cast("Served", SimpleNamespace(card=card, run=run))
        assert _card(served)["progress"] == "step 7 of 100, still training"


def test_a_memory_is_left_to_the_best_weights(run: RunDirectory) -> None:
    with locked(run.path):
        served = ServedModel(spec(run))
    with pytest.raises(ConfigError, match="belongs to the best weights"):
        served.memory_search("a", 1)


def interfering(
    monkeypatch: pytest.MonkeyPatch, does: Callable[[int], None], *, times: int
) -> list[int]:
    """Have something happen just before weights are read; returns how often they were read."""
    reads: list[int] = []
    read = checkpoints.read_model

    def interfered(*given: Any, **named: Any) -> int:
        reads.append(1)
        if len(reads) <= times:
            does(len(reads))
        return read(*given, **named)

    monkeypatch.setattr(checkpoints, "read_model", interfered)
    return reads


def test_a_checkpoint_that_goes_while_it_is_read_is_followed_by_the_next(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = interfering(monkeypatch, lambda time: write(run, 10 + time, keep=1), times=3)
    with locked(run.path):
        current = load_current(run)
    assert len(reads) == 4 and current.step == value_of(current.model) == 13
    assert checkpoint_steps(run.path) == [13]


def test_weights_that_never_stay_are_given_up(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = current_weights.ATTEMPTS
    reads = interfering(monkeypatch, lambda time: write(run, 10 + time, keep=1), times=times)
    with locked(run.path), pytest.raises(RunError, match="faster than they can be loaded"):
        load_current(run)
    assert len(reads) == times


def test_damage_is_said_at_once_and_not_waited_for(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, 7)
    weights = checkpoint_path(run.path, 7) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    reads = interfering(monkeypatch, lambda time: None, times=0)
    with locked(run.path), pytest.raises(RunError, match="damaged"):
        load_current(run)
    assert len(reads) == 1


def test_weights_that_are_replaced_all_the_time_are_read_whole(run: RunDirectory) -> None:
    enough = threading.Event()

    def train() -> None:
        step = 5
        while not enough.is_set():
            write(run, step, keep=2)
            step += 1

    trainer = threading.Thread(target=train)
    with locked(run.path):
        write(run, 4)
        trainer.start()
        try:
            loaded = [load_current(run) for _ in range(15)]
        finally:
            enough.set()
            trainer.join()
    assert all(value_of(current.model) == current.step for current in loaded)
    steps = [current.step for current in loaded]
    assert steps == sorted(steps) and steps[-1] > steps[0], "a later look sees later weights"
