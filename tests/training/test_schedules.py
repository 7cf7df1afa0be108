from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.training.schedules import Schedule, rate_at

KINDS = st.sampled_from(["constant", "step", "linear", "cosine", "wsd"])
SHARES = {"warmup": st.floats(0, 0.9), "decay_from": st.floats(0, 1), "final_rate": st.floats(0, 1)}


@given(steps=st.integers(1, 400), schedule=KINDS, **SHARES)
def test_rates_rise_to_the_peak_then_never_rise(
    steps: int, schedule: Schedule, warmup: float, decay_from: float, final_rate: float
) -> None:
    rates = [
        rate_at(
            step,
            steps,
            schedule=schedule,
            warmup=warmup,
            decay_from=decay_from,
            final_rate=final_rate,
        )
        for step in range(steps)
    ]
    assert all(0 < rate <= 1 for rate in rates[:1])
    assert all(0 <= rate <= 1 for rate in rates)
    warm = [rate for step, rate in enumerate(rates) if step < warmup * steps]
    rest = rates[len(warm) :]
    assert all(a < b for a, b in itertools.pairwise(warm))
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(rest))
    if schedule not in ("constant", "step"):
        assert all(rate >= final_rate - 1e-12 for rate in rest)


@given(steps=st.integers(2, 400), schedule=st.sampled_from(["linear", "cosine", "wsd"]), **SHARES)
def test_what_falls_would_end_at_the_final_rate(
    steps: int, schedule: Schedule, warmup: float, decay_from: float, final_rate: float
) -> None:
    if schedule == "wsd" and decay_from * steps >= steps:
        return
    end = rate_at(
        steps, steps, schedule=schedule, warmup=warmup, decay_from=decay_from, final_rate=final_rate
    )
    assert end == pytest.approx(final_rate, abs=1e-9)


@given(steps=st.integers(20, 400), schedule=KINDS, warmup=st.floats(0, 0.3))
def test_the_last_step_still_moves(steps: int, schedule: Schedule, warmup: float) -> None:
    assert rate_at(steps - 1, steps, schedule=schedule, warmup=warmup) > 0


def test_known_values() -> None:
    assert rate_at(74, 100, schedule="step", decay_from=0.75) == 1
    assert rate_at(75, 100, schedule="step", decay_from=0.75) == 0.1
    assert rate_at(50, 100, schedule="linear") == 0.5
    assert rate_at(50, 100, schedule="cosine", final_rate=0.2) == pytest.approx(0.6)
    assert rate_at(49, 100, schedule="wsd", decay_from=0.5) == 1
    assert rate_at(75, 100, schedule="wsd", decay_from=0.5) == 0.5
    assert [rate_at(step, 10, schedule="constant", warmup=0.3) for step in range(5)] == [
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]
    assert [rate_at(step, 99, schedule="constant", warmup=3.0) for step in range(5)] == [
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]
