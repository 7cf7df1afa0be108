from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inklings import train
from inklings.cli.main import main
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.lab.sweep.space import default_space, parse_space
from inklings.models.registry import build
from inklings.runs.arms import parse_arm
from inklings.runs.checkpoints import checkpoint_path, read_objective
from inklings.runs.directory import RunDirectory
from inklings.training.find_lr import find_lr
from inklings.training.ignored import ignored_settings
from inklings.training.train import resume
from inklings.values import from_mapping
from tests.recipes.pages import add

SMALL = RunConfig(
    architecture="recurrent",
    model={"n_embd": 2, "n_hidden": 2},
    training=TrainingConfig(
        budget="6-steps", batch_size=2, sequence_length=8, evaluations=1, samples=0, threads=1
    ),
)


@pytest.fixture
def lion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    with pytest.raises(ConfigError, match="unknown optimizer 'lion'"):
        TrainingConfig(optimizer="lion")
    assert add("optimiser.md", monkeypatch) == ["lion"]
    text = tmp_path / "text.txt"
    text.write_text("an\nel\noo\nirt\nna\nle\n" * 20, encoding="utf-8")
    arm = parse_arm(
        "recurrent:n_embd=2,n_hidden=2,training.optimizer=lion",
        base=replace(SMALL, data=DataConfig(source=str(text), tokenizer="byte")),
    )
    assert arm.config is not None
    return arm.config


def test_it_has_its_own_rate_and_its_name_is_checked(lion: RunConfig) -> None:
    assert lion.training.learning_rate == TrainingConfig(optimizer="lion").learning_rate == 0.001
    assert TrainingConfig(optimizer="lion", learning_rate=0.2).learning_rate == 0.2
    for wrong in ("loin", "lions"):
        with pytest.raises(ConfigError, match="Did you mean 'lion'"):
            TrainingConfig(optimizer=wrong)
        with pytest.raises(ConfigError, match=r"x: optimizer: .*Did you mean 'lion'"):
            from_mapping(TrainingConfig, {"optimizer": wrong}, where="x")
        with pytest.raises(ConfigError, match="Did you mean 'lion'"):
            parse_space([f"training.optimizer=adamw|{wrong}"], lion)


def test_a_run_learns_with_it_and_goes_on_to_the_same_bits(tmp_path: Path, lion: RunConfig) -> None:
    train(lion, tmp_path / "whole")
    half = replace(lion, training=replace(lion.training, budget="3-steps", schedule="constant"))
    whole = replace(lion, training=replace(half.training, budget="6-steps"))
    train(whole, tmp_path / "once")
    train(half, tmp_path / "twice")
    resume(tmp_path / "twice", budget="6-steps")
    once, twice = (RunDirectory.open(tmp_path / name) for name in ("once", "twice"))
    state = read_objective(checkpoint_path(once.path, 6))
    again = read_objective(checkpoint_path(twice.path, 6))
    assert [name for name in state if name.endswith("/momentum")]
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_the_finders_and_the_sweep_know_it(lion: RunConfig) -> None:
    found = find_lr(lion, steps=40)
    assert set(found.suggestions) == {"learning_rate"} and found.matrix_suggestion is None
    assert [dimension.field for dimension in default_space(lion)] == ["training.learning_rate"]


def test_settings_that_it_does_not_look_at_are_named(lion: RunConfig) -> None:
    model = build("recurrent", {}, vocab_size=5, boundary_token=0)
    given = replace(lion.training, momentum=0.5, betas=(0.8, 0.9), matrix_learning_rate=0.5)
    notes = " ".join(ignored_settings(given, model))
    assert "training.momentum is not looked at: optimizer is 'lion'" in notes
    assert "training.matrix_learning_rate is not looked at" in notes
    assert "training.betas" not in notes
    assert ignored_settings(lion.training, model) == []


def test_it_stands_in_the_help_and_takes_flags(
    tmp_path: Path, lion: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "recurrent", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "{muon,adamw,sgd,lion}" in shown
    assert "the sign of a momentum, for all weights" in shown
    flags = f"--data {lion.data.source} --tokenizer byte --budget 2-steps --training.samples 0"
    size = "--model.n-embd 2 --model.n-hidden 2 --training.threads 1 --training.optimizer lion"
    run = tmp_path / "flags"
    assert main(["train", "recurrent", *flags.split(), *size.split(), "--run", str(run)]) == 0
    assert RunDirectory.open(run).config.training.learning_rate == 0.001
