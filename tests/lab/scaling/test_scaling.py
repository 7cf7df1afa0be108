"""Scaling.

Laws are recovered, intervals cover as often as they say, and nothing is claimed beyond what was
measured.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import ConfigError
from inklings.lab.scaling import scaling
from inklings.lab.scaling.power_law import PowerLaw, fit_power_law
from inklings.lab.scaling.result import Scaling, SizedRun
from inklings.lab.scaling.scaling import MARK, frontier, scale
from inklings.values import from_mapping

SIZES = (30_000, 96_000, 307_000, 983_000)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "RESAMPLES", 40)


def runs_of(
    arm: str,
    law: PowerLaw,
    *,
    seeds: int = 3,
    sizes: tuple[int, ...] = SIZES,
    noise: float = 0.003,
    seed: int = 0,
) -> list[SizedRun]:
    """Runs on a law, with budgets in proportion to the sizes.

    A run's points share most of its luck.
    """
    random = np.random.default_rng(seed)
    runs = []
    for size in sizes:
        for number in range(seeds):
            flops = [6.0 * size * 60 * size * share for share in (0.25, 0.5, 1.0)]
            luck = random.normal(0, noise) + random.normal(0, noise / 2, 3)
            points = [(f, law.at(f) * float(np.exp(e))) for f, e in zip(flops, luck, strict=True)]
            runs.append(SizedRun(arm=arm, size=size, seed=number, points=points))
    return runs


def a_law(floor: float, height: float, exponent: float) -> PowerLaw:
    """`height` above its floor at 1e12 FLOPs."""
    return PowerLaw(floor=floor, coefficient=height * 1e12**exponent, exponent=exponent, points=0)


STEEP, FLAT = a_law(1.0, 1.2, 0.16), a_law(1.5, 0.6, 0.12)


@given(
    floor=st.floats(0.2, 3),
    height=st.floats(0.2, 3),
    exponent=st.floats(0.08, 0.6),
    points=st.integers(5, 12),
    start=st.floats(8, 15),
    decades=st.floats(2.5, 4),
)
def test_a_law_is_recovered_from_points_on_it(
    floor: float, height: float, exponent: float, points: int, start: float, decades: float
) -> None:
    compute = np.logspace(start, start + decades, points)
    loss = floor + height * (compute / compute[0]) ** -exponent
    found = fit_power_law(compute.tolist(), loss.tolist())
    assert found.exponent == pytest.approx(exponent, rel=0.01)
    assert found.floor == pytest.approx(floor, rel=0.01, abs=0.01)
    beyond = 100 * compute[-1]
    assert found.at(beyond) == pytest.approx(
        floor + height * (beyond / compute[0]) ** -exponent, rel=1e-3
    )
    assert found.note is None


def test_an_outlier_moves_the_law_less_than_in_proportion() -> None:
    compute = np.logspace(12, 15, 8)
    loss = np.array([STEEP.at(c) for c in compute])
    apart = []
    for factor in (1.05, 1.5):
        moved = loss.copy()
        moved[3] *= factor
        apart.append(abs(fit_power_law(compute.tolist(), moved.tolist()).at(1e14) - STEEP.at(1e14)))
    assert apart[1] < 3 * apart[0]


def test_three_amounts_of_compute_cannot_tell_a_floor() -> None:
    compute = [1e12, 1e13, 1e14, 1e14]
    found = fit_power_law(compute, [STEEP.at(c) for c in compute])
    assert found.floor == 0
    assert found.note is not None
    assert "too few to tell the irreducible loss" in found.note
    exact = fit_power_law(compute, [5 * c**-0.1 for c in compute])
    assert (exact.coefficient, exact.exponent) == pytest.approx((5, 0.1))


def test_losses_that_do_not_fall_have_no_exponent() -> None:
    found = fit_power_law([1e12, 1e13, 1e14], [2.0, 2.0, 2.1])
    assert found.note is not None
    assert "do not tell the exponent" in found.note


@pytest.mark.parametrize(
    ("compute", "loss", "message"),
    [
        ([1e12, 1e13], [2.0], "2 amounts of compute and 1 losses"),
        ([1e12, 0.0], [2.0, 1.9], "not a positive finite number"),
        ([1e12, 1e13], [2.0, float("nan")], "not a positive finite number"),
        ([1e12, 1e12], [2.0, 1.9], "one amount of compute"),
    ],
)
def test_points_that_no_law_goes_through(
    compute: list[float], loss: list[float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_power_law(compute, loss)


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 30).map(float), st.integers(1, 30).map(float)),
        min_size=1,
        max_size=12,
    )
)
def test_the_frontier_is_what_nothing_beats(points: list[tuple[int, float, float]]) -> None:
    found = frontier(points)
    assert [point.flops for point in found] == sorted({point.flops for point in found})
    for best in found:
        assert (best.size, best.flops, best.loss) in points
        assert not any(flops <= best.flops and loss < best.loss for _, flops, loss in points)
    for _, flops, loss in points:
        assert any(best.flops <= flops and best.loss <= loss for best in found)


def test_the_best_size_grows_with_the_compute() -> None:
    points = [(1, 1.0, 5.0), (1, 4.0, 4.0), (2, 4.5, 4.2), (2, 8.0, 3.0), (1, 9.0, 3.9)]
    assert [(best.size, best.flops) for best in frontier(points)] == [(1, 1.0), (1, 4.0), (2, 8.0)]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 4])
def test_intervals_cover_the_truth_about_as_often_as_they_say(seeds: int) -> None:
    """At 95%, fewer than 16 hits of 20 would come by chance once in 300 times.

    Intervals of half the width give about 13.
    """
    hits = {"10": 0, "100": 0, "exponent": 0}
    widths = []
    for trial in range(20):
        found = scale(runs_of("a", STEEP, seeds=seeds, noise=0.004, seed=trial), seed=trial)
        for each in found.extrapolations:
            forecast = each.forecasts[0]
            assert forecast.low is not None
            assert forecast.high is not None
            hits[str(each.factor)] += forecast.low <= STEEP.at(each.flops) <= forecast.high
        law = found.arms[0].law
        assert law is not None
        assert law.exponent_interval is not None
        low, high = law.exponent_interval
        hits["exponent"] += low <= STEEP.exponent <= high
        widths.append(high - low)
    assert min(hits.values()) >= 16, hits
    assert np.median(widths) < 0.06, "an interval that says nothing covers everything"


@pytest.mark.slow
def test_the_probability_of_a_lead_is_one_where_it_is_plain_and_a_coin_where_there_is_none() -> (
    None
):
    plain = scale(runs_of("steep", STEEP) + runs_of("flat", FLAT, seed=1))
    assert plain.extrapolations[-1].forecasts[0].probability == 1.0
    assert "steep would lead with probability above 0.99" in plain.extrapolations[-1].sentence
    assert "no claim" not in plain.extrapolations[-1].sentence
    firsts = []
    for trial in range(5):
        even = scale(
            runs_of("a", STEEP, seed=2 * trial) + runs_of("b", STEEP, seed=2 * trial + 1)
        ).extrapolations[0]
        firsts += [
            forecast.probability or 0.0 for forecast in even.forecasts if forecast.arm == "a"
        ]
    assert 0.2 < np.mean(firsts) < 0.8


def test_every_sentence_says_that_it_is_an_extrapolation_and_claims_only_what_is_sure() -> None:
    found = scale(runs_of("a", STEEP) + runs_of("b", STEEP, seed=9) + runs_of("c", FLAT, seed=5))
    assert [each.factor for each in found.extrapolations] == [10, 100]
    for each in found.extrapolations:
        assert each.sentence.startswith(MARK)
        best = max(forecast.probability or 0.0 for forecast in each.forecasts)
        assert sum(forecast.probability or 0.0 for forecast in each.forecasts) == pytest.approx(1)
        if best < 0.95:
            assert each.sentence.endswith("no claim.")
    assert found.common_flops == 6.0 * 60 * SIZES[-1] ** 2


def test_a_law_that_misses_what_was_measured_by_more_than_the_lead_supports_no_claim() -> None:
    """The last doubling of the compute brings half of what it should.

    The law of the points before does not know it.
    """
    broken = [
        dataclasses.replace(
            run, points=[(f, loss * (1.02 if f > 3e14 else 1.0)) for f, loss in run.points]
        )
        for run in runs_of("broken", STEEP, noise=0.0005)
    ]
    near = runs_of("near", a_law(1.0, 1.26, 0.155), noise=0.0005, seed=1)
    found = scale([*broken, *near])
    miss = found.arms[0].miss
    assert miss is not None
    assert miss > 0.01
    for each in found.extrapolations:
        assert each.sentence.endswith("no claim.")


def test_one_seed_a_size_gives_laws_but_no_intervals_and_no_claim() -> None:
    found = scale(runs_of("steep", STEEP, seeds=1) + runs_of("flat", FLAT, seed=1))
    assert found.arms[0].law is not None
    assert found.arms[0].law.exponent_interval is None
    assert found.arms[0].line[0].low is None
    assert all(
        forecast.probability is None for each in found.extrapolations for forecast in each.forecasts
    )
    assert all(each.sentence.endswith("no claim.") for each in found.extrapolations)
    assert any("one seed" in note and note.startswith("steep") for note in found.notes)


def test_three_sizes_say_that_they_cannot_tell_a_floor() -> None:
    found = scale(runs_of("a", STEEP, sizes=SIZES[:3]))
    law = found.arms[0].law
    assert law is not None
    assert law.floor == 0
    assert law.floor_interval is None
    assert any("too few to tell the irreducible loss" in note for note in found.notes)


def test_the_size_law_is_of_the_largest_budgets() -> None:
    law = scale(runs_of("a", STEEP, noise=1e-6)).arms[0].size_law
    assert law is not None
    for size in SIZES:
        assert law.at(float(size)) == pytest.approx(STEEP.at(6.0 * 60 * size**2), rel=1e-3)


def test_one_point_is_no_law_and_does_not_stop_the_others() -> None:
    lone = [SizedRun(arm="lone", size=10, seed=seed, points=[(1e12, 2.0)]) for seed in (0, 1)]
    found = scale([*lone, *runs_of("a", STEEP)])
    assert found.arms[0].law is None
    assert [forecast.arm for forecast in found.extrapolations[0].forecasts] == ["a"]
    assert any(note.startswith("lone") for note in found.notes)
    assert scale(lone).extrapolations == []


def test_points_that_not_all_runs_of_a_size_have_are_left_out() -> None:
    runs = runs_of("a", STEEP)
    shorter = [dataclasses.replace(runs[0], points=runs[0].points[:2]), *runs[1:]]
    assert len(scale(shorter).arms[0].frontier) <= len(scale(runs).arms[0].frontier)
    apart = [
        SizedRun(arm="a", size=1, seed=0, points=[(1.0, 2.0)]),
        SizedRun(arm="a", size=1, seed=1, points=[(2.0, 2.0)]),
    ]
    with pytest.raises(ConfigError, match="no amount of compute in common"):
        scale(apart)
    with pytest.raises(ConfigError, match="positive finite"):
        scale([SizedRun(arm="a", size=1, seed=0, points=[(1.0, float("inf"))])])


def test_it_is_the_same_every_time_and_goes_through_json() -> None:
    runs = runs_of("a", STEEP) + runs_of("b", FLAT, seed=1)
    found = scale(runs)
    assert scale(runs) == found
    assert (
        from_mapping(Scaling, json.loads(json.dumps(dataclasses.asdict(found))), where="here")
        == found
    )
