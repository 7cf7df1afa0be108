"""The learning-rate range test, the batch-size finder, and the plan of a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inklings.config import RunConfig
from inklings.errors import ConfigError, OutOfMemoryError
from inklings.events import Event
from inklings.text.store import TokenStore
from inklings.training import find_batch_size as finder
from inklings.training.find_batch_size import find_batch_size, is_out_of_memory, memory_errors
from inklings.training.find_lr import find_lr
from inklings.training.plan import plan_run

ConfigOf = Callable[..., RunConfig]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_the_range_test_turns_between_too_small_and_too_large(
    optimizer: str, config_of: ConfigOf, store: TokenStore
) -> None:
    found = find_lr(config_of(optimizer=optimizer, clip=0.0), store=store, steps=80)
    assert found.learning_rates == sorted(found.learning_rates)
    assert len(found.learning_rates) == len(found.losses)
    assert found.suggestion == pytest.approx(found.turning_point / 10)
    assert min(found.losses) < found.losses[0] - 0.1
    assert 1e-4 < found.suggestion < 3
    assert (found.matrix_suggestion is None) == (optimizer != "muon")


def test_the_range_test_writes_nothing_and_does_not_apply_to_counting(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    events: list[Event] = []
    find_lr(config_of(), store=store, steps=5, on_event=events.append)
    assert list(tmp_path.iterdir()) == []
    assert [event["step"] for event in events if event["event"] == "find_lr"] == [1, 2, 3, 4, 5]
    with pytest.raises(ConfigError, match="no learning rate"):
        find_lr(config_of("ngram"), store=store)


def test_the_forecast_grows_with_the_memory_and_ends_at_the_epoch(
    config_of: ConfigOf, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("gpt")
    sizes = []
    for free in (2**19, 2**20, 2**40):
        monkeypatch.setattr(finder, "free_bytes", lambda free=free: free)
        sizes.append(find_batch_size(config, store=store))
    assert 0 < sizes[0] < sizes[1] < sizes[2] == store.split("train").n_targets // 16
    monkeypatch.setattr(finder, "free_bytes", lambda: 1000)
    with pytest.raises(OutOfMemoryError, match="not even"):
        find_batch_size(config, store=store)


def test_where_nothing_can_be_forecast_sizes_are_tried(
    config_of: ConfigOf, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: object, number: int, rate: float, *, measure: bool) -> None:
        if self._training.batch_size > 11:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(finder, "free_bytes", lambda: None)
    monkeypatch.setattr("inklings.training.objectives.likelihood.LikelihoodObjective.step", step)
    assert find_batch_size(config_of(), store=store) == 11


def test_errors_of_memory_are_told_from_others() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"
            " bytes."
        )
    )
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_running_out_names_what_would_fit(
    config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "find_batch_size", lambda config: 10)
    with (
        pytest.raises(
            OutOfMemoryError,
            match=r"batch_size 64 .*--training\.batch-size 10; .*--training\.accumulate 8\.",
        ),
        memory_errors(config_of(batch_size=64)),
    ):
        raise MemoryError
    with (
        pytest.raises(OutOfMemoryError, match=r"in 2 parts"),
        memory_errors(config_of(batch_size=64, accumulate=2)),
    ):
        raise MemoryError
    with pytest.raises(ZeroDivisionError), memory_errors(config_of()):
        raise ZeroDivisionError


STARVED = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import OutOfMemoryError
from inklings.text.store import prepare
from inklings.training.train import train
training = TrainingConfig(
    budget="1-steps", batch_size=4096, sequence_length=256, threads=1, precision="float32",
    compile="off", samples=0,
)
data = DataConfig(source=sys.argv[1], layout="lines")
config = RunConfig(architecture="mlp", model={"n_hidden": 512}, data=data, training=training)
prepare(config.data)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)
try:
    train(config, sys.argv[2])
except OutOfMemoryError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_a_step_that_really_does_not_fit(text: Path, tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", STARVED, str(text), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "batch_size 4096 did not fit into memory" in made.stdout, made.stderr
    assert "--training.accumulate" in made.stdout


def test_a_plan_says_what_would_be_done(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_run(config_of("gpt", budget="1280-tokens"), store=store)
    assert (plan.steps, plan.tokens) == (20, 1280)
    assert plan.epochs == pytest.approx(1280 / store.split("train").n_targets)
    assert (
        plan.parameters > 0
        and plan.flops > 0
        and plan.memory is not None
        and plan.memory > 4 * 4 * plan.parameters
        and plan.seconds is not None
        and plan.seconds > 0
    )
    assert plan.config.training.sequence_length == 16
    assert any("as asked" in reason for reason in plan.reasons)
    counting = plan_run(config_of("ngram"), store=store)
    assert counting.steps == 1 and counting.epochs == 1
    assert list(tmp_path.iterdir()) == [] or [path.name for path in tmp_path.iterdir()] == ["home"]


def test_budgets_become_steps(config_of: ConfigOf, store: TokenStore) -> None:
    flops = plan_run(config_of("mlp", budget="10-steps"), store=store).flops
    assert plan_run(config_of("mlp", budget=f"{flops}-flops"), store=store).steps == 10
    minutes = plan_run(config_of("mlp", budget="0.02-min"), store=store)
    assert minutes.seconds == pytest.approx(1.2, rel=0.5)
    assert (
        replace(minutes.config, training=replace(minutes.config.training, budget="10-steps"))
        == plan_run(config_of("mlp", budget="10-steps"), store=store).config
    )
