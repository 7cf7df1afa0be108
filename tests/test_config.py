"""Settings: read, checked, and written back; a wrong key names the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import (
    DataConfig,
    RunConfig,
    TrainingConfig,
    load_run_config,
    read_toml,
    to_mapping,
)
from inklings.errors import ConfigError
from inklings.fields import parse_value
from inklings.values import from_mapping


@given(
    batch=st.integers(1, 1000),
    rate=st.floats(1e-6, 1.0),
    schedule=st.sampled_from(["constant", "step", "linear", "cosine", "wsd"]),
    split=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_what_is_written_reads_back_equal(
    batch: int, rate: float, schedule: str, split: tuple[float, float, float] | None
) -> None:
    config = RunConfig(
        architecture="mlp",
        model={"n_hidden": 3},
        data=DataConfig(split=split),
        training=from_mapping(
            TrainingConfig,
            {"batch_size": batch, "learning_rate": rate, "schedule": schedule},
            where="test",
        ),
    )
    assert from_mapping(RunConfig, to_mapping(config), where="test") == config


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        from_mapping(TrainingConfig, {"lerning_rate": 0.1}, where="run.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", "many"),
        ("batch_size", 1.5),
        ("batch_size", True),
        ("schedule", "sideways"),
        ("betas", [0.9]),
        ("batch_size", 0),
        ("warmup", 1.5),
    ],
)
def test_a_wrong_value_names_the_setting(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        from_mapping(TrainingConfig, {key: value}, where="run.toml")


def test_an_integer_serves_as_a_float_and_dashes_as_underscores() -> None:
    assert from_mapping(TrainingConfig, {"learning-rate": 1}, where="test").learning_rate == 1.0


def test_a_batch_is_accumulated_in_equal_parts() -> None:
    with pytest.raises(ConfigError, match="divisor"):
        TrainingConfig(batch_size=10, accumulate=3)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("architecture = [", "TOML"),
        ("arcitecture = 'gpt'", "architecture"),
        ("[data]\nsource = 3", "source"),
    ],
)
def test_a_broken_run_file_is_one_clear_error(tmp_path: Path, content: str, what: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=what):
        load_run_config(file)
    with pytest.raises(ConfigError, match="no run file"):
        load_run_config(tmp_path / "absent.toml")


def test_values_given_as_text_take_the_type_of_their_field() -> None:
    assert parse_value(int, "3", where="x") == 3
    assert parse_value(float, "1e-3", where="x") == 1e-3
    assert parse_value(bool, "true", where="x") is True
    assert parse_value(int | None, "none", where="x") is None
    assert parse_value(str, "gru", where="x") == "gru"
    for hint, text in ((int, "three"), (bool, "yes"), (float, "")):
        with pytest.raises(ConfigError, match="x"):
            parse_value(hint, text, where="x")


def test_a_text_that_is_given_for_a_run_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("#" * 1_000_000)
    assert read_toml(path) == {}
    path.write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match="more than 1,000,000 characters"):
        read_toml(path)
