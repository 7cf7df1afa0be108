"""Intervals cover as often as they say, tests err as rarely as they say.

And both agree with scipy and brute force.
"""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from inklings.errors import ConfigError
from inklings.evaluation.power import POWER, detectable, least_significant
from inklings.evaluation.statistics import (
    FLIPS_DETECT,
    LEVEL,
    bootstrap_ratio,
    holm,
    mean_interval,
    paired_bootstrap,
    paired_t,
    shared_error_p,
    sign_flip,
)

DIFFERENCES = st.lists(st.integers(-50, 50).map(lambda n: n / 8), min_size=1, max_size=9)


def documents(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Losses of n documents of very different lengths, whose nats per token differ too.

    The true ratio is 2.
    """
    targets = rng.geometric(1 / 20, size=n)
    nats = targets * rng.gamma(4.0, 0.5, size=n)
    return nats, targets


@pytest.mark.parametrize("n", [30, 200])
def test_the_bootstrap_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = sum(
        bootstrap_ratio(*documents(rng, n), resamples=400, seed=i).contains(2.0) for i in range(400)
    )
    assert 0.92 <= covered / 400 <= 0.98


def test_the_paired_bootstrap_covers_and_is_narrower_than_unpaired() -> None:
    rng = np.random.default_rng(0)
    covered, narrower = 0, 0
    for i in range(400):
        nats, targets = documents(rng, 60)
        worse = nats + targets * rng.normal(0.1, 0.2, size=60)
        interval = paired_bootstrap(worse, nats, targets, resamples=400, seed=i)
        covered += interval.contains(0.1)
        alone = bootstrap_ratio(nats, targets, resamples=100, seed=i)
        narrower += interval.high - interval.low < alone.high - alone.low
    assert 0.92 <= covered / 400 <= 0.98
    assert narrower > 390


@pytest.mark.parametrize("n", [3, 5])
def test_students_interval_covers_and_the_test_errs_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    results = [paired_t(rng.normal(0.0, 0.01, size=n)) for _ in range(1000)]
    covered = np.mean([r.interval.contains(0.0) for r in results])
    assert 0.93 <= covered <= 0.97
    assert all((r.p_value >= 0.05) == r.interval.contains(0.0) for r in results)


def test_the_sign_flip_test_errs_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(1)
    rejected = np.mean([sign_flip(rng.standard_t(2, size=7)) <= 0.05 for _ in range(300)])
    assert rejected <= 0.08


@given(DIFFERENCES)
def test_the_sign_flip_test_is_the_enumeration_of_all_signs(values: list[float]) -> None:
    flipped = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    assert sign_flip(values) == pytest.approx(np.mean(np.array(flipped) >= abs(sum(values)) - 1e-9))


@given(DIFFERENCES.filter(lambda v: len(set(v)) > 1))
def test_with_nothing_shared_it_is_the_paired_t_test(values: list[float]) -> None:
    assert shared_error_p(values, 0.0, 50) == pytest.approx(paired_t(values).p_value)


@pytest.mark.parametrize(("n", "shared"), [(3, 1.0), (5, 1.0), (8, 3.0)])
def test_with_a_shared_error_it_errs_as_often_as_it_says(n: int, shared: float) -> None:
    rng = np.random.default_rng(n)
    draws = shared * rng.normal(size=(2000, 1)) + rng.normal(size=(2000, n))
    p_values = np.array(
        [[shared_error_p(draw, shared, 200), paired_t(draw).p_value] for draw in draws]
    )
    wrong, of_seeds = (p_values < 0.05).mean(0)
    assert 0.02 <= wrong <= 0.07
    assert of_seeds > wrong


def test_a_shared_error_leaves_only_what_is_exact_for_sure() -> None:
    assert shared_error_p([0.1, 0.1, 0.1], 0.0, 50) == 0.0
    assert shared_error_p([0.0, 0.0], 0.0, 50) == 1.0
    assert shared_error_p([0.1, 0.1, 0.1], 0.05, 50) == pytest.approx(2 * stats.t.sf(2, 49))


@pytest.mark.parametrize("n", [2, 5, 16, 17])
def test_the_sign_flip_test_is_scipys_however_it_is_computed(n: int) -> None:
    values = np.random.default_rng(n).normal(0.3, 1.0, size=n)
    theirs = stats.permutation_test(
        (values,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**17,
    )
    assert sign_flip(values) == pytest.approx(theirs.pvalue, abs=1e-12 if n <= 16 else 0.005)


def test_many_seeds_draw_signs_and_repeat() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, size=40)
    assert sign_flip(values) == sign_flip(values)
    assert sign_flip(values) == pytest.approx(paired_t(values).p_value, abs=0.02)


@given(DIFFERENCES.filter(lambda v: len(set(v)) > 1), st.floats(0.5, 0.999))
def test_the_paired_t_test_is_scipys(values: list[float], confidence: float) -> None:
    ours = paired_t(values, confidence=confidence)
    theirs = stats.ttest_rel(values, np.zeros(len(values)))
    low, high = theirs.confidence_interval(confidence)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((low, high))
    assert ours.interval.estimate == pytest.approx(np.mean(values))
    assert mean_interval(values, confidence=confidence) == ours.interval


def test_on_well_behaved_units_it_is_scipys_bootstrap() -> None:
    nats, targets = (part.astype(float) for part in documents(np.random.default_rng(0), 1000))
    ours = bootstrap_ratio(nats, targets)
    theirs = stats.bootstrap(
        (nats, targets),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        rng=np.random.default_rng(5),
    )
    width = 4 * theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_of_normal_means_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(5.0, 1.0, size=30)
    ours, students = bootstrap_ratio(values, np.ones(30), resamples=20_000), mean_interval(values)
    assert ours.low == pytest.approx(students.low, abs=0.03)
    assert ours.high == pytest.approx(students.high, abs=0.03)


def test_batches_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nats, targets = documents(np.random.default_rng(0), 50)
    whole = bootstrap_ratio(nats, targets)
    monkeypatch.setattr("inklings.evaluation.statistics.BATCH_ELEMENTS", 50 * 7)
    in_batches = bootstrap_ratio(nats, targets)
    assert in_batches.low == pytest.approx(whole.low)
    assert in_batches.high == pytest.approx(whole.high)


@given(
    arrays.arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 64).map(lambda n: n / 4)),
    st.data(),
)
def test_the_bootstrap_never_fails_and_brackets_the_estimate(
    nats: np.ndarray, data: st.DataObject
) -> None:
    targets = data.draw(
        arrays.arrays(np.int64, len(nats), elements=st.integers(0, 5)).filter(lambda t: t.sum() > 0)
    )
    interval = bootstrap_ratio(nats, targets, resamples=100)
    kept = targets > 0
    assert interval.estimate == pytest.approx(nats[kept].sum() / targets.sum())
    assert not math.isnan(interval.low)
    assert interval.low <= interval.high
    assert interval == bootstrap_ratio(nats, targets, resamples=100)


def test_units_without_a_target_do_not_count() -> None:
    nats, targets = documents(np.random.default_rng(0), 50)
    with_empty = bootstrap_ratio(
        np.append(nats, np.zeros(50)), np.append(targets, np.zeros(50, dtype=np.int64))
    )
    assert with_empty == bootstrap_ratio(nats, targets)


def test_one_unit_claims_nothing_and_goes_into_json() -> None:
    for interval in (
        bootstrap_ratio(np.array([3.0]), np.array([2])),
        mean_interval([1.5]),
        paired_t([1.5]).interval,
    ):
        assert (interval.estimate, interval.low, interval.high) == (1.5, -math.inf, math.inf)
        assert interval.contains(0.0)
        assert json.loads(json.dumps(interval.to_mapping(), allow_nan=False))["low"] is None
    assert paired_t([1.5]).p_value == sign_flip([1.5]) == 1.0


def test_models_that_do_not_depend_on_the_seed_differ_exactly() -> None:
    same = paired_t([0.1, 0.1, 0.1])
    assert (same.interval.low, same.interval.high) == pytest.approx((0.1, 0.1))
    assert same.p_value == 0.0
    assert paired_t([0.0, 0.0]).p_value == sign_flip([0.0, 0.0]) == 1.0
    constant = bootstrap_ratio(np.array([2.0, 4.0, 6.0]), np.array([1, 2, 3]))
    assert (constant.low, constant.high) == (2.0, 2.0)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_its_definition(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        # step down: the greatest, over all that are at most p, of p times the number of those not
        # below it
        steps = [min(1.0, sum(other >= x for other in p_values) * x) for x in p_values if x <= p]
        assert q == pytest.approx(max(steps))
        assert p <= q <= 1


def test_holm_keeps_the_error_of_the_family() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    rng = np.random.default_rng(0)
    family = np.mean([min(holm(list(rng.uniform(size=6)))) < 0.05 for _ in range(2000)])
    assert family < 0.065


@pytest.mark.parametrize(("n", "tests"), [(2, 1), (2, 10), (3, 1), (5, 10), (8, 3)])
def test_the_least_significant_mean_is_where_p_reaches_its_level(n: int, tests: int) -> None:
    noise = np.random.default_rng(n).normal(size=n)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    assert tests * paired_t(noise + least_significant(n, tests=tests)).p_value == pytest.approx(
        LEVEL
    )


@pytest.mark.parametrize(
    ("n", "tests"), [(2, 1), (3, 1), (3, 10), (5, 1), (5, 10), (6, 1), (7, 1), (8, 10), (10, 1)]
)
def test_a_detectable_difference_is_found_as_often_as_it_says(n: int, tests: int) -> None:
    draws = np.random.default_rng(n).normal(detectable(n, tests=tests), 1.0, size=(3000, n))
    found = (tests * stats.ttest_1samp(draws, 0.0, axis=1).pvalue < LEVEL) & (
        np.array([n < 6 or sign_flip(draw) < LEVEL for draw in draws])  # five signs cannot reach it
    )
    assert found.mean() == pytest.approx(POWER, abs=0.03)


def test_more_seeds_or_fewer_pairs_show_smaller_differences_but_where_signs_begin_to_count() -> (
    None
):
    for tests in (1, 3, 45):
        of_t = [detectable(n, tests=tests) for n in range(2, 30) if n not in FLIPS_DETECT]
        assert of_t == sorted(of_t, reverse=True)
    assert all(detectable(n, tests=3) >= detectable(n, tests=1) for n in range(2, 30))
    assert detectable(6) > detectable(5)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -1.0, math.nan])
def test_a_confidence_outside_0_and_1_is_refused(confidence: float) -> None:
    with pytest.raises(ConfigError, match="confidence"):
        bootstrap_ratio(np.ones(3), np.ones(3), confidence=confidence)
    with pytest.raises(ConfigError, match="confidence"):
        mean_interval([1.0, 2.0], confidence=confidence)


def test_what_cannot_be_resampled_is_refused() -> None:
    for function in (paired_t, sign_flip):
        with pytest.raises(ConfigError, match="at least one finite"):
            function([])
        with pytest.raises(ConfigError, match="not finite"):
            function([1.0, math.nan])
    with pytest.raises(ConfigError, match="0 by 0 units"):
        bootstrap_ratio(np.ones(0), np.ones(0))
    with pytest.raises(ConfigError, match="more than 0 to divide by"):
        bootstrap_ratio(np.ones(2), np.zeros(2))
    with pytest.raises(ConfigError, match="not finite"):
        bootstrap_ratio(np.array([1.0, math.inf]), np.ones(2))
    with pytest.raises(ConfigError, match="3 and 2 units"):
        paired_bootstrap(np.ones(3), np.ones(2), np.ones(3))
