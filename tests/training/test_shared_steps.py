"""Runs of several processes: their text, losses and weights are those of one process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from inklings.config import RunConfig
from inklings.errors import WorldError
from inklings.events import Event
from inklings.models.from_noise import Noise
from inklings.models.textgan import TextGAN
from inklings.runs.checkpoints import checkpoint_path, checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.training.train import resume, train
from inklings.training.training_result import TrainingResult
from inklings.world import World
from tests.worlds import in_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are copied as POSIX does")

ConfigOf = Callable[..., RunConfig]
SMALL: dict[str, dict[str, Any]] = {
    "gpt": {"dropout": 0.0},
    "recurrent": {"dropout": 0.0},
    "varda": {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8,context_length=16",
        "memory_size": 32,
        "segment": 8,
    },
}


def settings(config_of: ConfigOf, architecture: str, **training: Any) -> RunConfig:
    config = config_of(architecture, **training)
    return replace(config, model={**config.model, **SMALL.get(architecture, {})})


def trained(
    config: RunConfig, run: Path, store: TokenStore, size: int, *, sharded: bool = False
) -> list[TrainingResult]:
    return in_world(
        size, lambda world: train(config, run, store=store, world=world), sharded=sharded
    )


def losses(run: Path) -> list[float]:
    events = RunDirectory.open(run).metrics()
    return [event["loss"] for event in events if event["event"] in ("step", "evaluation")]


def tensors(run: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(checkpoint_path(run, checkpoint_steps(run)[-1]) / name)


def until(step: int) -> Callable[[Event], None]:
    """Interrupts the process that is told of a step."""

    def stop(event: Event) -> None:
        if event["event"] == "step" and event["step"] == step:
            signal.raise_signal(signal.SIGTERM)

    return stop


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("architecture", "parts"),
    [
        ("gpt", 1),
        ("recurrent", 1),
        pytest.param("mlp", 1, marks=SLOW),
        pytest.param("varda", 1, marks=SLOW),
        pytest.param("gpt", 2, marks=SLOW),
        pytest.param("varda", 2, marks=SLOW),
    ],
)
def test_two_processes_are_one_that_computes_the_batch_in_parts(
    architecture: str, parts: int, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    """The same weights, bit for bit: what two numbers add up to does not depend on their order."""
    config = settings(config_of, architecture, batch_size=8, accumulate=parts, samples=3)
    results = trained(config, tmp_path / "two", store, 2)
    one = replace(config, training=replace(config.training, accumulate=2 * parts))
    if parts > 1:  # in one process, parts of both halves are added in another order
        one = config
    train(one, tmp_path / "one", store=store)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert [result.final_validation_loss for result in results] == [
        results[0].final_validation_loss
    ] * 2
    for name in ("model.safetensors", "optimizer.safetensors"):
        if parts == 1:
            assert same_bits(tensors(tmp_path / "two", name), tensors(tmp_path / "one", name))
    samples = RunDirectory.open(tmp_path / "two").samples()
    assert [len(texts) for texts in samples.values()] == [3] * len(samples)
    if parts == 1:
        assert samples == RunDirectory.open(tmp_path / "one").samples()


GAN = {"n_embd": 8, "n_head": 2, "n_hidden": 12, "n_critic_hidden": 10, "critic_steps": 2}


@pytest.mark.parametrize("loss", ["relativistic", pytest.param("wgan_gp", marks=SLOW)])
def test_two_processes_share_the_texts_of_a_gan(
    loss: str,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real texts, noise and places on lines between them are those of one process."""
    config = config_of("textgan", batch_size=16, sequence_length=None, evaluations=2)
    config = replace(config, model={**GAN, "context_length": 12, "loss": loss})
    made: list[int] = []
    real: Callable[[TextGAN, Noise], torch.Tensor] = TextGAN.make

    def counted(model: TextGAN, noise: Noise) -> torch.Tensor:
        made.append(0 if model.training else noise.size)
        return real(model, noise)

    def work(world: World) -> int:
        monkeypatch.setattr(TextGAN, "make", counted)
        train(config, tmp_path / "two", store=store, world=world)
        return sum(made)

    held_out = len(store.split("validation").offsets) - 1
    assert in_world(2, work) == [2 * -(-held_out // 2), 2 * (held_out // 2)]
    train(config, tmp_path / "one", store=store)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    for name in ("critic_gap", "penalty", "generator_loss", "entropy", "critic_gradient_norm"):
        two, one = ([event.get(name) for event in steps(tmp_path / run)] for run in ("two", "one"))
        assert np.allclose(np.array(two, float), np.array(one, float), atol=1e-3), name


def steps(run: Path) -> list[dict[str, Any]]:
    return [dict(event) for event in RunDirectory.open(run).metrics() if event["event"] == "step"]


@SLOW
def test_four_processes_are_one_but_for_rounding(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = settings(config_of, "gpt", batch_size=8)
    trained(config, tmp_path / "four", store, 4)
    train(config, tmp_path / "one", store=store)
    assert losses(tmp_path / "four") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


@SLOW
def test_two_runs_of_the_same_processes_are_the_same_bits(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    """With dropout, of which every process has its own."""
    config = config_of("gpt")
    for name in ("once", "twice"):
        trained(config, tmp_path / name, store, 4)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert same_bits(tensors(tmp_path / "once", name), tensors(tmp_path / "twice", name))
    assert losses(tmp_path / "once") == losses(tmp_path / "twice")


@pytest.mark.parametrize(
    "architecture",
    [pytest.param("gpt", marks=SLOW), "recurrent", pytest.param("varda", marks=SLOW)],
)
def test_a_run_goes_on_with_another_number_of_processes(
    architecture: str, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    """Two, then one, then four: what is carried from batch to batch goes along."""
    config = settings(config_of, architecture, batch_size=8)
    run = tmp_path / "run"

    def begin(world: World) -> str:
        return train(config, run, store=store, world=world, on_event=until(3)).stopped

    assert in_world(2, begin) == ["interrupted"] * 2
    assert checkpoint_steps(run)[-1] == 3
    assert resume(run, store=store, on_event=until(7)).stopped == "interrupted"
    results = in_world(4, lambda world: resume(run, store=store, world=world).stopped)
    assert results == ["budget"] * 4
    train(config, tmp_path / "whole", store=store)
    assert losses(run) == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def refusals(config: RunConfig, store: TokenStore, run: Path) -> list[str]:
    """What each of two processes is told that cannot train a run together."""

    def work(world: World) -> str:
        with pytest.raises(WorldError) as refused:
            train(config, run, store=store, world=world)
        return str(refused.value)

    return in_world(2, work)


@pytest.mark.parametrize(
    ("architecture", "training", "saying"),
    [
        (
            "mlp",
            {"batch_size": 9},
            "batch-size 10, or as many processes as fit: 1, 3, 9",
        ),
        (
            "mlp",
            {"batch_size": 6, "accumulate": 2},
            "2 parts each. Take --training.batch-size 8,",
        ),
        ("tree_wavenet", {}, "batch norm"),
        ("ngram", {}, "it counts the text once"),
        ("textgan", {"batch_size": 8, "sequence_length": None}, "--training.batch-size of 16"),
    ],
)
def test_what_cannot_be_shared_says_why(
    architecture: str,
    training: dict[str, Any],
    saying: str,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    config = config_of(architecture, **training)
    first, second = refusals(config, store, tmp_path / "run")
    assert first == second and saying in first
    assert not (tmp_path / "run").exists()


def test_processes_that_differ_are_told_apart(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    def work(world: World) -> str:
        with pytest.raises(WorldError) as refused:
            config = config_of("mlp", seed=world.rank)
            train(config, tmp_path / "run", store=store, world=world)
        return str(refused.value)

    first, second = in_world(2, work)
    assert first == second and "process 1 on" in first
    assert "differ in the setting training.seed (1 and 0)" in first
    assert not (tmp_path / "run").exists()


def test_one_process_has_fsdp_too(config_of: ConfigOf, store: TokenStore, tmp_path: Path) -> None:
    config = settings(config_of, "gpt", budget="6-steps")
    train(config, tmp_path / "alone", store=store)
    run = tmp_path / "cut"
    in_world(1, lambda world: train(config, run, store=store, world=world), sharded=True)
    assert losses(run) == pytest.approx(losses(tmp_path / "alone"), abs=1e-6)
    result = resume(run, budget="8-steps")
    assert result.steps == 8
