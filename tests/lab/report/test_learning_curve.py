"""Learning curves: smoothing is the mean over windows of steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.events import LoggedEvent
from inklings.lab.report.learning_curve import (
    RAW_POINTS,
    WINDOWS,
    learning_curve,
    smooth,
    window_ends,
    window_size,
)

losses = st.lists(st.floats(0, 10), min_size=1, max_size=200)


@given(losses, st.integers(1, 50))
def test_each_smoothed_value_is_the_mean_of_its_window(values: list[float], window: int) -> None:
    smoothed = smooth(np.array(values), window)
    assert len(smoothed) == -(-len(values) // window)
    for i, mean in enumerate(smoothed):
        assert mean == pytest.approx(np.mean(values[i * window : (i + 1) * window]))


@given(losses, st.integers(1, 50))
def test_a_window_is_drawn_where_it_ends(values: list[float], window: int) -> None:
    steps = np.arange(1, len(values) + 1, dtype=float)
    ends = window_ends(steps, window)
    assert ends.tolist() == [
        min((i + 1) * window, len(values)) for i in range(len(smooth(np.array(values), window)))
    ]


def test_smoothing_is_what_makemore_does() -> None:
    values = np.random.default_rng(0).normal(size=6000)
    np.testing.assert_allclose(smooth(values, 1000), values.reshape(-1, 1000).mean(1))


def test_nothing_smoothed_is_nothing() -> None:
    assert smooth(np.zeros(0), 10).tolist() == []
    assert window_ends(np.zeros(0), 10).tolist() == []


@given(st.integers(0, 1_000_000))
def test_windows_are_few_and_round(steps: int) -> None:
    size = window_size(steps)
    assert size * WINDOWS >= steps
    assert str(size).strip("0") in ("1", "2", "5")
    assert size == 1 or steps / size > WINDOWS / 2.6, "no coarser than it must be"


def events(steps: int, every: int = 1) -> list[LoggedEvent]:
    lines: list[LoggedEvent] = [
        {
            "event": "step",
            "step": step,
            "tokens": step * 64,
            "seconds": step * 0.5,
            "loss": 1 / step,
            "learning_rate": 0.1,
            "gradient_norm": None,
        }
        for step in range(every, steps + 1, every)
    ]
    lines.append(
        {
            "event": "evaluation",
            "step": steps,
            "tokens": steps * 64,
            "seconds": steps * 0.5,
            "loss": 1.5,
            "unit": "nats per token",
            "accuracy": 0.25,
            "best": True,
        }
    )
    return lines


def test_a_curve_has_raw_smoothed_and_validation_values() -> None:
    curve = learning_curve(events(120))
    assert curve["every"] == 1
    assert curve["window"] == window_size(120)
    assert curve["raw"]["step"] == list(range(1, 121))
    assert curve["smoothed"]["loss"][0] == pytest.approx(
        np.mean([1 / step for step in range(1, curve["window"] + 1)]), rel=1e-5
    )
    assert curve["smoothed"]["tokens"][-1] == 120 * 64
    assert curve["validation"] == {
        "step": [120],
        "tokens": [7680],
        "seconds": [60],
        "loss": [1.5],
        "accuracy": [0.25],
    }


def test_a_window_counts_steps_where_a_line_stands_for_several() -> None:
    curve = learning_curve(events(3000, every=10))
    assert curve["every"] == 10
    assert curve["window"] == 10 * window_size(300)


def test_a_long_raw_curve_is_thinned_evenly_ends_kept() -> None:
    steps = learning_curve(events(5000))["raw"]["step"]
    assert len(steps) == RAW_POINTS
    assert (steps[0], steps[-1]) == (1, 5000)
    assert np.ptp(np.diff(steps)) <= 1


def test_a_counted_run_has_one_evaluation_and_no_steps() -> None:
    curve = learning_curve(events(1, every=2))
    assert curve["raw"]["loss"] == curve["smoothed"]["loss"] == []
    assert len(curve["validation"]["loss"]) == 1
