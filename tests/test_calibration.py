"""The verdict is calibrated.

It seldom claims what is not there, by one seed's luck or by one text's, and finds what is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from inklings.evaluation.likelihood.units import UnitSums
from inklings.lab.comparison.result import ArmResult, RunResult
from inklings.lab.verdict.differences import ResamplingUnits

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from simulation import Spread, measure, simulate  # no package: its folder comes first

NAMES = Spread(seeds=(0.0041, 0.0046, 0.0037), documents=0.0017, text=0.0014, units=60)
"""As measured on the names with 8 seeds, with fewer documents."""


def most(simulations: int, level: float = 0.05) -> float:
    """How many claims there may be in simulations that are each wrong with chance `level`.

    Three standard errors more than expected.
    """
    return float(simulations * level + 3 * np.sqrt(simulations * level * (1 - level)))


@pytest.mark.parametrize("freedom", [None, 4.0])
@pytest.mark.parametrize(
    ("arms", "seeds", "simulations"),
    [
        (2, 3, 400),
        pytest.param(2, 5, 400, marks=pytest.mark.slow),
        pytest.param(2, 6, 400, marks=pytest.mark.slow),
        (2, 8, 400),
        pytest.param(5, 3, 150, marks=pytest.mark.slow),
        (5, 8, 150),
    ],
)
def test_where_nothing_differs_hardly_anything_is_claimed(
    freedom: float | None, arms: int, seeds: int, simulations: int
) -> None:
    assert simulate(
        NAMES, arms=arms, seeds=seeds, simulations=simulations, freedom=freedom
    ).claimed <= most(simulations)


def test_arms_that_are_equal_on_the_very_text_are_told_apart_no_more_often() -> None:
    found = simulate(NAMES, arms=2, seeds=5, simulations=400, same_text=True)
    assert found.claimed <= most(400)
    assert found.of_seeds <= most(400)  # over seeds alone, this is the question that is answered


def test_what_a_text_does_for_an_arm_is_not_taken_for_the_arm() -> None:
    lopsided = Spread(seeds=(0.004,), documents=0.001, text=0.003, units=60)
    found = simulate(lopsided, arms=2, seeds=8, simulations=300)
    assert found.of_seeds > 2 * most(300)
    assert found.claimed <= most(300)


def test_what_is_there_is_found_and_more_often_with_more_seeds() -> None:
    shares = [
        simulate(NAMES, arms=2, seeds=seeds, simulations=120, lead=3.0).found / 120
        for seeds in (3, 5, 8)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert shares[-1] > 0.9
    leads = [
        simulate(NAMES, arms=2, seeds=5, simulations=120, lead=lead).found
        for lead in (0.0, 1.0, 2.0, 4.0)
    ]
    assert leads == sorted(leads)


def test_simulations_repeat() -> None:
    first, again, other = (
        simulate(NAMES, arms=3, seeds=3, simulations=60, lead=3.0, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("text", [0.0, 0.004])
def test_the_spread_of_runs_is_measured(text: float) -> None:
    n_seeds, n_units, widths, documents = 60, 400, (0.01, 0.02, 0.015), 0.003
    rng = np.random.default_rng(0)
    size = rng.integers(5, 40, n_units)
    arms, sums = [], {}
    for number, width in enumerate(widths):
        of_text = text * np.sqrt(n_units) * rng.normal(size=n_units)
        runs = []
        for seed in range(n_seeds):
            noise = np.sqrt(width**2 - documents**2) * rng.normal() + documents * np.sqrt(
                n_units
            ) * rng.normal(size=n_units)
            # An error for each document that averages, by targets, to the stated standard
            # deviation.
            nats = 2.0 * size + (of_text + noise) * size.mean()
            key = f"{number} {seed}"
            sums[key] = ResamplingUnits("documents", UnitSums(nats, size, size, size))
            runs.append(
                RunResult(seed=seed, status="done", run=key, loss=float(nats.sum() / size.sum()))
            )
        arms.append(ArmResult(label=f"arm {number}", architecture="x", kind="trained", runs=runs))
    found = measure(arms, lambda run: sums[run.run])
    assert found.seeds == pytest.approx(widths, rel=0.25)
    assert found.documents == pytest.approx(documents, rel=0.05)
    assert found.text == pytest.approx(text, rel=0.1, abs=0.0003)
    assert found.units == n_units
