"""What arms share is said once, what sets them apart for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from inklings.lab.comparison.records import read_record
from inklings.lab.report.arm_settings import (
    flat,
    own_settings,
    say_value,
    settings_of,
    shared_settings,
)

SETTINGS = {
    "a": {
        "architecture": "gpt",
        "model.n_layer": 2,
        "training.batch_size": 32,
        "training.learning_rate": 0.01,
    },
    "b": {
        "architecture": "mlp",
        "model.n_layer": 2,
        "training.batch_size": 32,
        "training.learning_rate": 0.02,
    },
}


def test_shared_and_own_settings_are_all_there_and_none_is_twice() -> None:
    shared, own = shared_settings(SETTINGS), own_settings(SETTINGS)
    assert shared == {"training.batch_size": "32"}
    assert own["b"] == {
        "architecture": "mlp",
        "model.n_layer": "2",
        "training.learning_rate": "0.02",
    }
    for label, settings in SETTINGS.items():
        assert {**shared, **own[label]} == {
            name: say_value(value) for name, value in settings.items()
        }


def test_resolved_settings_are_shown_where_a_run_has_them_and_else_those_asked_for(
    tmp_path: Path, write_fake_comparison: Callable[..., Any]
) -> None:
    comparison = write_fake_comparison(tmp_path, failed={"broken": "no"})
    records = {
        (arm.label, run.seed): read_record(tmp_path / run.results)
        for arm in comparison.arms
        for run in arm.runs
        if run.results
    }
    settings = settings_of(comparison, records)
    assert settings["gpt"]["model.n_embd"] == 119
    assert settings["broken"]["training.batch_size"] == 32
    assert "model.n_embd" not in settings["broken"]


def test_values_are_said_as_in_a_run_file() -> None:
    assert [say_value(v) for v in (None, True, [0.9, 0.95], 3e-4, "adamw")] == [
        "none",
        "true",
        "0.9, 0.95",
        "0.0003",
        "adamw",
    ]
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
