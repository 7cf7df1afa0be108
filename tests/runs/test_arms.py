from __future__ import annotations

from pathlib import Path

import pytest

from inklings.config import RunConfig, TrainingConfig
from inklings.errors import ArchitectureError, ConfigError, RunError
from inklings.runs.arms import Arm, parse_arm, parse_named_arm

BASE = RunConfig(architecture="gpt", model={"n_layer": 2}, training=TrainingConfig(batch_size=7))


def test_a_name() -> None:
    arm = parse_arm("mlp", base=BASE)
    assert arm.label == "mlp" and arm.run is None and arm.config is not None
    assert (arm.config.architecture, arm.config.model, arm.config.training.batch_size) == (
        "mlp",
        {},
        7,
    )
    same = parse_arm("gpt", base=BASE).config
    assert same is not None and same.model == {"n_layer": 2}


def test_fields_of_the_model_and_of_training() -> None:
    arm = parse_arm(
        "gpt:n_embd=64,tied_head=true,training.optimizer=adamw,training.betas=0.8/0.9,training.sequence_length=none",
        base=BASE,
    )
    assert arm.config is not None
    assert arm.config.model == {"n_layer": 2, "n_embd": 64, "tied_head": True}
    training = arm.config.training
    assert (training.optimizer, training.betas, training.sequence_length) == (
        "adamw",
        (0.8, 0.9),
        None,
    )
    assert (
        arm.label == "gpt:n_embd=64,tied_head=true,training.optimizer=adamw,training.betas=0.8/0.9,"
        "training.sequence_length=none"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpt:n_laier=2", "Did you mean 'n_layer'"),
        ("gpt:n_layer", "n_layer"),
        ("gpt:n_layer=two", "n_layer"),
        ("gpt:n_layer=0", "at least 1"),
        ("gpt:n_layer=2,", "field=value"),
        ("gpt:vocab_size=9", "vocab_size"),
        ("gpt:training.optimiser=sgd", "Did you mean 'optimizer'"),
        ("gpt:training.optimizer=sdg", "Did you mean 'sgd'"),
        ("gpt:training.batch_size=0", "at least 1"),
        ("gpt:learning_rate=0.1", r"training\.learning_rate"),
        ("absent.toml", r"absent\.toml"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises((ConfigError, ArchitectureError), match=message):
        parse_arm(text, base=BASE)


def test_an_unknown_name_gives_the_nearest_and_the_grammar() -> None:
    with pytest.raises(ArchitectureError, match=r"Did you mean 'gpt'.*FILE\.toml"):
        parse_arm("gtp", base=BASE)
    with pytest.raises(ArchitectureError, match="Did you mean 'gpt'"):
        parse_arm("gtp:n_layer=2", base=BASE)
    with pytest.raises(ArchitectureError, match="no run"):
        parse_arm("runs/absent", base=BASE)


def test_a_file_wins_over_the_base_and_replaces_another_architectures_fields(
    tmp_path: Path,
) -> None:
    path = tmp_path / "wide.toml"
    path.write_text(
        '# wide\narchitecture = "mlp"\n[model]\nn_hidden = 9\n[training]\nlearning-rate = 0.5\n'
    )
    arm = parse_arm(str(path), base=BASE)
    assert arm.label == "wide" and arm.config is not None
    assert (arm.config.architecture, arm.config.model) == ("mlp", {"n_hidden": 9})
    assert (arm.config.training.learning_rate, arm.config.training.batch_size) == (0.5, 7)
    path.write_text("[model]\nn_embd = 8\n")
    kept = parse_arm(str(path), base=BASE).config
    assert kept is not None and kept.model == {"n_layer": 2, "n_embd": 8}
    path.write_text("[trainig]\nlearning_rate = 0.5\n")
    with pytest.raises(ConfigError, match="Did you mean 'training'"):
        parse_arm(str(path), base=BASE)


def test_a_run_is_taken_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        parse_arm(str(tmp_path), base=BASE)
    (tmp_path / "config.json").write_text("{}")
    arm = parse_arm(str(tmp_path), base=BASE)
    assert (arm.label, arm.config, arm.run) == (tmp_path.name, None, tmp_path)


def test_a_class_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from inklings.models.mlp import MLP\nclass Mine(MLP):\n    pass\n")
    arm = parse_arm(f"{path}:Mine:n_hidden=5", base=BASE)
    assert arm.label == "mine.py:Mine:n_hidden=5" and arm.config is not None
    assert (arm.config.architecture, arm.config.model) == (f"{path}:Mine", {"n_hidden": 5})
    assert parse_arm(f"{path}:Mine", base=BASE).label == "mine.py:Mine"
    with pytest.raises(ArchitectureError, match="Mine"):
        parse_arm(f"{path}:Main", base=BASE)
    with pytest.raises(ArchitectureError, match="names no class"):
        parse_arm(str(path), base=BASE)


def test_an_arm_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    def parse(text: str) -> Arm:
        return parse_arm(text, base=RunConfig())

    named = parse_named_arm("our best=gpt:n_layer=1", parse)
    assert named.label == "our best"
    assert named.config == parse("gpt:n_layer=1").config
    for plain in ("gpt", "gpt:n_layer=1", "recurrent:cell=lstm"):
        assert parse_named_arm(plain, parse) == parse(plain)
    with pytest.raises(ConfigError, match="name before = is empty"):
        parse_named_arm("=gpt", parse)
    with pytest.raises(ArchitectureError, match="Did you mean 'gpt'"):
        parse_named_arm("mine=gptt", parse)


def test_what_exists_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.toml").write_text('architecture = "mlp"\n')
    found = parse_named_arm("a=b.toml", lambda text: parse_arm(text, base=RunConfig()))
    assert found.label == "a=b"
